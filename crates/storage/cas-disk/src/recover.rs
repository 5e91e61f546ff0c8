//! What a store finds when it starts.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use blob::{Digest, DigestFunction};
use parking_lot::Mutex;

use crate::OpenError;
use crate::checked_file::file_bytes;
use crate::file_store::Kind;
use crate::layout::Layout;
use crate::options::on_disk_bytes;

/// Threads that list directories: enough to keep a disk busy while a cold directory is read.
const THREADS: usize = 8;

/// What is on the disk.
pub(crate) struct Recovered {
    /// Longest ago first.
    pub(crate) entries: Vec<Entry>,
    /// Files that could not be what their name says and have been removed.
    pub(crate) damaged: u64,
}

/// One file.
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) on_disk_bytes: u64,
    written: SystemTime,
}

/// Clears away what was being written and lists what was complete. No content is read: names and lengths are
/// enough to tell a file torn by a power cut, and the rest shows at the first read. Asking for each file's length
/// also gives the time it was written, the best order of use there is: reads leave no trace on disk.
pub(crate) fn recover(layout: &Layout, kind: Kind) -> Result<Recovered, OpenError> {
    empty_directory(&layout.incoming())?;
    let shards: Vec<(DigestFunction, PathBuf)> = layout.shards().collect();
    let recovered = Mutex::new(Recovered {
        entries: Vec::new(),
        damaged: 0,
    });
    let next = AtomicUsize::new(0);
    let list = || {
        while let Some((function, shard)) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = list_shard(kind, *function, shard)?;
            let mut recovered = recovered.lock();
            recovered.entries.extend(found.entries);
            recovered.damaged += found.damaged;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(list)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("listing a directory does not panic"))
    })?;
    let mut recovered = recovered.into_inner();
    recovered.entries.sort_unstable_by_key(|entry| entry.written);
    Ok(recovered)
}

fn list_shard(kind: Kind, function: DigestFunction, shard: &Path) -> Result<Recovered, OpenError> {
    let listing = || OpenError::io(format!("list {}", shard.display()));
    let mut found = Recovered {
        entries: Vec::new(),
        damaged: 0,
    };
    let files = match fs::read_dir(shard) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(listing()(error)),
    };
    for file in files {
        let file = file.map_err(listing())?;
        let name = file.file_name();
        let Some(digest) = name
            .to_str()
            .and_then(|name| Layout::digest_of(function, shard, name))
        else {
            tracing::warn!(path = %file.path().display(), "this file is not ours; it is left alone and not counted");
            continue;
        };
        match check(kind, &digest, &file).map_err(listing())? {
            Ok(entry) => found.entries.push(entry),
            Err(reason) => {
                tracing::error!(kind = kind.name, %digest, reason, "a stored entry was damaged and has been dropped");
                found.damaged += 1;
                let path = file.path();
                fs::remove_file(&path).map_err(OpenError::io(format!("remove {}", path.display())))?;
            }
        }
    }
    Ok(found)
}

/// The entry, or why the file cannot be it.
fn check(kind: Kind, digest: &Digest, file: &DirEntry) -> io::Result<Result<Entry, String>> {
    let metadata = file.metadata()?;
    let length = metadata.len();
    if !metadata.is_file() {
        return Ok(Err("it is not a file".into()));
    }
    if kind.has_size_of_digest && length != file_bytes(digest.size_bytes()) {
        return Ok(Err(format!(
            "it has {length} bytes instead of {}",
            file_bytes(digest.size_bytes())
        )));
    }
    if length < file_bytes(0) {
        return Ok(Err(format!("{length} bytes are too few")));
    }
    Ok(Ok(Entry {
        digest: *digest,
        on_disk_bytes: on_disk_bytes(length),
        written: metadata.modified()?,
    }))
}

/// Makes sure that a directory is there and empty.
fn empty_directory(directory: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(directory).map_err(OpenError::io(format!("create {}", directory.display())))?;
    let emptying = || OpenError::io(format!("empty {}", directory.display()));
    for file in fs::read_dir(directory).map_err(emptying())? {
        let path = file.map_err(emptying())?.path();
        fs::remove_file(&path).map_err(OpenError::io(format!("remove {}", path.display())))?;
    }
    Ok(())
}
