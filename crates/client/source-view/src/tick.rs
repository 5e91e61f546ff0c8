//! One look at the disk: every file and directory is checked once, and what was found is the same for all who ask.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use include_scanner::{Directories, File, Lookup, SourceView, Unreadable, hash_bytes};
use parking_lot::RwLock;

use crate::limits::REMEMBERED_MAX;
use crate::listing::Listed;
use crate::read::is_absent;
use crate::stamp::Stamp;
use crate::store::Store;

const SHARDS: usize = 16;

/// Answers by name, found by the name's hash.
type Answers<T> = RwLock<HashTable<(u64, Box<[u8]>, T)>>;

struct Sharded<T> {
    shards: [Answers<T>; SHARDS],
}

impl<T: Clone> Sharded<T> {
    fn new() -> Sharded<T> {
        Sharded {
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }

    fn get(&self, hash: u64, name: &[u8]) -> Option<T> {
        self.shards[(hash >> 32) as usize % SHARDS]
            .read()
            .find(hash, |(other, key, _)| *other == hash && **key == *name)
            .map(|(_, _, value)| value.clone())
    }

    /// Keeps `value` unless somebody was faster; gives what is kept.
    fn insert(&self, hash: u64, name: &[u8], value: T) -> T {
        let mut shard = self.shards[(hash >> 32) as usize % SHARDS].write();
        if let Some((_, _, kept)) = shard.find(hash, |(other, key, _)| *other == hash && **key == *name) {
            return kept.clone();
        }
        shard.insert_unique(hash, (hash, name.into(), value.clone()), |(hash, _, _)| *hash);
        value
    }
}

/// A chain of directories with what searches along it found.
struct Chain {
    directories: Directories,
    listings: Vec<Arc<Listed>>,
    found: Sharded<Lookup>,
}

/// A tick. Threads share it.
pub struct DiskView {
    store: Arc<Store>,
    files: Sharded<Option<Arc<File>>>,
    listings: Sharded<Arc<Listed>>,
    chains: RwLock<Vec<Arc<Chain>>>,
    remembered: AtomicUsize,
}

impl DiskView {
    pub(crate) fn new(store: Arc<Store>) -> DiskView {
        DiskView {
            store,
            files: Sharded::new(),
            listings: Sharded::new(),
            chains: RwLock::default(),
            remembered: AtomicUsize::new(0),
        }
    }

    fn may_remember(&self) -> bool {
        self.remembered.fetch_add(1, Ordering::Relaxed) < REMEMBERED_MAX
    }

    fn listing(&self, directory: &Path) -> Result<Arc<Listed>, Unreadable> {
        let name = directory.as_os_str().as_bytes();
        let hash = hash_bytes(name);
        if let Some(listed) = self.listings.get(hash, name) {
            return Ok(listed);
        }
        let listed = self
            .store
            .listing(directory)
            .map_err(|error| unreadable(directory, &error))?;
        Ok(if self.may_remember() {
            self.listings.insert(hash, name, listed)
        } else {
            listed
        })
    }

    fn chain(&self, directories: &Directories) -> Result<Arc<Chain>, Unreadable> {
        let id = directories.id();
        let of = |chain: &&Arc<Chain>| chain.directories.id() == id && chain.directories.is_same(directories);
        if let Some(chain) = self.chains.read().iter().rev().find(of) {
            return Ok(chain.clone());
        }
        let listings = directories
            .paths()
            .iter()
            .map(|directory| self.listing(directory))
            .collect::<Result<_, _>>()?;
        let chain = Arc::new(Chain {
            directories: directories.clone(),
            listings,
            found: Sharded::new(),
        });
        if self.may_remember() {
            self.chains.write().push(chain.clone());
        }
        Ok(chain)
    }

    fn search(&self, chain: &Chain, from: usize, name: &[u8]) -> Result<Lookup, Unreadable> {
        let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        let hash = hash_bytes(first);
        // A header of the directory itself may be there in its precompiled form only.
        let precompiled =
            (chain.directories.precompiled() && first.len() == name.len()).then(|| [name, b".gch"].concat());
        let precompiled_hash = precompiled.as_deref().map(hash_bytes);
        let directories = chain.directories.paths();
        for (index, (directory, listed)) in directories.iter().zip(&chain.listings).enumerate().skip(from) {
            let has = listed.listing.may_have(hash, first);
            let has_precompiled = match (&precompiled, precompiled_hash) {
                (Some(name), Some(hash)) => listed.listing.may_have(hash, name),
                _ => has && chain.directories.precompiled(),
            };
            if !has && !has_precompiled {
                continue;
            }
            let path = joined(directory, name);
            if has_precompiled {
                let mut compiled = path.clone().into_os_string();
                compiled.push(".gch");
                let compiled = PathBuf::from(compiled);
                if self.exists(&compiled)? {
                    return Ok(Lookup::Precompiled(compiled));
                }
            }
            if has && let Some(file) = self.file(&path)? {
                return Ok(Lookup::Found {
                    directory: index,
                    file,
                });
            }
        }
        Ok(Lookup::Absent)
    }
}

impl SourceView for DiskView {
    fn file(&self, path: &Path) -> Result<Option<Arc<File>>, Unreadable> {
        let name = path.as_os_str().as_bytes();
        let hash = hash_bytes(name);
        if let Some(file) = self.files.get(hash, name) {
            return Ok(file);
        }
        let file = self.checked(path).map_err(|error| unreadable(path, &error))?;
        Ok(if self.may_remember() {
            self.files.insert(hash, name, file)
        } else {
            file
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, Unreadable> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(true);
        };
        let name = name.as_bytes();
        if !self.listing(parent)?.listing.may_have(hash_bytes(name), name) {
            return Ok(false);
        }
        match fs::metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    fn find(&self, directories: &Directories, from: usize, name: &[u8]) -> Result<Lookup, Unreadable> {
        let chain = self.chain(directories)?;
        let hash = hash_bytes(name) ^ (from as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut key = name.to_vec();
        key.push(0);
        key.extend_from_slice(&(from as u32).to_le_bytes());
        if let Some(lookup) = chain.found.get(hash, &key) {
            return Ok(lookup);
        }
        let lookup = self.search(&chain, from, name)?;
        Ok(if self.may_remember() {
            chain.found.insert(hash, &key, lookup)
        } else {
            lookup
        })
    }
}

impl DiskView {
    fn checked(&self, path: &Path) -> io::Result<Option<Arc<File>>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => self.store.file(path, Stamp::of(&metadata)),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => {
                self.store.forget(path);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Unreadable {
    Unreadable {
        path: path.to_owned(),
        kind: error.kind(),
    }
}

/// `directory/name` by bytes, as compilers join them.
fn joined(directory: &Path, name: &[u8]) -> PathBuf {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let mut path = directory.as_os_str().as_bytes().to_vec();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    PathBuf::from(OsString::from_vec(path))
}
