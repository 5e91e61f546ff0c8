//! What is kept from tick to tick: parsed files and listings, each with the state of the disk it is of.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use include_scanner::{File, Source};
use parking_lot::RwLock;

use crate::limits::{HELD_BYTES_MAX, LISTINGS_MAX};
use crate::listing::{Listed, Listing, directory_stamp, list};
use crate::read::read;
use crate::stamp::Stamp;
use crate::tick::DiskView;

const SHARDS: usize = 16;

struct Kept {
    file: Arc<File>,
    stamp: Stamp,
    is_trusted: bool,
    used: AtomicU64,
}

/// Parsed files and listings, shared by all ticks and threads.
pub struct Store {
    files: [RwLock<HashMap<PathBuf, Kept>>; SHARDS],
    listings: RwLock<HashMap<PathBuf, Arc<Listed>>>,
    held_bytes: AtomicUsize,
    held_bytes_max: usize,
    tick: AtomicU64,
    parsed: AtomicU64,
    listed: AtomicU64,
}

/// What a store has done and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCounts {
    /// Files that were read and parsed.
    pub parsed: u64,
    /// Directories that were listed.
    pub listed: u64,
    /// Files that are held.
    pub files: usize,
    /// Bytes of parsed files that are held.
    pub held_bytes: usize,
}

impl Default for Store {
    fn default() -> Store {
        Store::new(HELD_BYTES_MAX)
    }
}

impl Store {
    /// A store that keeps at most `held_bytes_max` of parsed files.
    pub fn new(held_bytes_max: usize) -> Store {
        Store {
            files: std::array::from_fn(|_| RwLock::default()),
            listings: RwLock::default(),
            held_bytes: AtomicUsize::new(0),
            held_bytes_max,
            tick: AtomicU64::new(0),
            parsed: AtomicU64::new(0),
            listed: AtomicU64::new(0),
        }
    }

    /// Begins a tick: a look at the disk as it is from now on.
    pub fn tick(self: &Arc<Store>) -> DiskView {
        self.tick.fetch_add(1, Ordering::Relaxed);
        DiskView::new(self.clone())
    }

    /// What was done so far.
    pub fn counts(&self) -> StoreCounts {
        StoreCounts {
            parsed: self.parsed.load(Ordering::Relaxed),
            listed: self.listed.load(Ordering::Relaxed),
            files: self.files.iter().map(|shard| shard.read().len()).sum(),
            held_bytes: self.held_bytes.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, path: &Path) -> &RwLock<HashMap<PathBuf, Kept>> {
        use std::os::unix::ffi::OsStrExt;
        let hash = include_scanner::hash_bytes(path.as_os_str().as_bytes());
        &self.files[(hash >> 32) as usize % SHARDS]
    }

    /// The parsed file at `path`, whose state is `stamp` now: the kept one, or read anew.
    pub(crate) fn file(&self, path: &Path, stamp: Stamp) -> io::Result<Option<Arc<File>>> {
        let tick = self.tick.load(Ordering::Relaxed);
        let shard = self.shard(path);
        if let Some(kept) = shard.read().get(path)
            && kept.is_trusted
            && kept.stamp == stamp
        {
            kept.used.store(tick, Ordering::Relaxed);
            return Ok(Some(kept.file.clone()));
        }
        let Some(contents) = read(path)? else {
            self.forget(path);
            return Ok(None);
        };
        self.parsed.fetch_add(1, Ordering::Relaxed);
        let file = Arc::new(File {
            path: path.to_owned(),
            source: Arc::new(Source::parse(&contents.bytes)),
            identity: contents.stamp.identity(),
        });
        let kept = Kept {
            file: file.clone(),
            stamp: contents.stamp,
            is_trusted: contents.is_trusted,
            used: AtomicU64::new(tick),
        };
        self.keep(path, kept);
        Ok(Some(file))
    }

    fn keep(&self, path: &Path, kept: Kept) {
        self.forget(path);
        let bytes = held_bytes(&kept);
        if self.held_bytes.load(Ordering::Relaxed) + bytes > self.held_bytes_max {
            self.evict();
            if self.held_bytes.load(Ordering::Relaxed) + bytes > self.held_bytes_max {
                return;
            }
        }
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(other) = self.shard(path).write().insert(path.to_owned(), kept) {
            // Another thread was faster.
            self.held_bytes.fetch_sub(held_bytes(&other), Ordering::Relaxed);
        }
    }

    pub(crate) fn forget(&self, path: &Path) {
        if let Some(kept) = self.shard(path).write().remove(path) {
            self.held_bytes.fetch_sub(held_bytes(&kept), Ordering::Relaxed);
        }
    }

    /// Lets go of what earlier ticks used and this one has not: the oldest first, until a quarter is free.
    fn evict(&self) {
        let now = self.tick.load(Ordering::Relaxed);
        let mut used: Vec<(u64, usize)> = Vec::new();
        for shard in &self.files {
            used.extend(
                shard
                    .read()
                    .values()
                    .map(|kept| (kept.used.load(Ordering::Relaxed), held_bytes(kept))),
            );
        }
        used.retain(|(tick, _)| *tick < now);
        used.sort_unstable();
        let mut free = self
            .held_bytes
            .load(Ordering::Relaxed)
            .saturating_sub(self.held_bytes_max / 4 * 3);
        let mut last = None;
        for (tick, bytes) in used {
            if free == 0 {
                break;
            }
            free = free.saturating_sub(bytes);
            last = Some(tick);
        }
        let Some(last) = last else { return };
        for shard in &self.files {
            shard.write().retain(|_, kept| {
                let keeps = kept.used.load(Ordering::Relaxed) > last;
                if !keeps {
                    self.held_bytes.fetch_sub(held_bytes(kept), Ordering::Relaxed);
                }
                keeps
            });
        }
    }

    /// The names in a directory now.
    pub(crate) fn listing(&self, path: &Path) -> io::Result<Arc<Listed>> {
        let stamp = directory_stamp(path)?;
        if let Some(kept) = self.listings.read().get(path)
            && kept.is_trusted
            && kept.stamp == stamp
        {
            return Ok(kept.clone());
        }
        let Some(stamp) = stamp else {
            return Ok(Arc::new(Listed {
                listing: Listing::Absent,
                stamp: None,
                is_trusted: false,
            }));
        };
        self.listed.fetch_add(1, Ordering::Relaxed);
        let listed = Arc::new(list(path, stamp)?);
        let mut listings = self.listings.write();
        if listings.len() >= LISTINGS_MAX {
            listings.clear();
        }
        listings.insert(path.to_owned(), listed.clone());
        Ok(listed)
    }
}

fn held_bytes(kept: &Kept) -> usize {
    // The path is held twice, and the map has its own cost.
    kept.file.source.held_bytes() + 2 * kept.file.path.as_os_str().len() + 256
}
