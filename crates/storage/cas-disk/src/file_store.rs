//! Entries of any kind, one checked file each: what the store of blobs and the action cache share.
//!
//! The index in memory says what is here and in which order it was used; the disk holds the bytes. An entry is
//! added to the index after its file has its name, and removed before its file goes. What happens to one path is
//! in order because its stripe's lock is held around each change of name together with the index's view of it; the
//! index's own lock is held for moments only, never around a system call.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob::{Digest, DigestSet};
use cas::{Lru, StoreError};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::checked_file::{CheckedFile, ReadError, Seal, file_bytes};
use crate::directory_lock::DirectoryLock;
use crate::incoming::{Incoming, Sealed};
use crate::layout::Layout;
use crate::options::{DiskOptions, OpenError, Usage, on_disk_bytes};
use crate::recover;

/// Disk operations of one store at the same time, each on a thread of the runtime's blocking pool. More wait their
/// turn, so that a burst takes neither all threads nor memory for more pieces than this.
const OPERATIONS_MAX: usize = 64;
/// Locks for changes of names; a path always takes the same one.
const STRIPES: usize = 64;
/// Digests looked up under one lock, so that a large batch does not hold up everybody else.
const DIGESTS_PER_LOCK: usize = 1024;

/// What the entries of a store are.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Part of every checksum, and the word in messages.
    pub(crate) name: &'static str,
    /// Whether an entry's payload has as many bytes as its digest says.
    pub(crate) has_size_of_digest: bool,
}

/// Entries in files below one directory.
pub(crate) struct FileStore {
    kind: Kind,
    layout: Layout,
    capacity_bytes: u64,
    index: Mutex<Index>,
    stripes: [Mutex<()>; STRIPES],
    incoming_created: AtomicU64,
    evicted: AtomicU64,
    corrupt: AtomicU64,
    operations: Arc<Semaphore>,
    _lock: DirectoryLock,
}

/// What is here, what is on its way, and a number for each arrival.
struct Index {
    entries: Lru<Digest, Generation>,
    room_taken_bytes: u64,
    generations: u64,
}

/// Which of the files that have had this name one means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// What to do with an entry that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// The new one is the same.
    Keep,
    /// The new one counts.
    Replace,
}

impl FileStore {
    /// Takes the directory and lists what is there. Blocks.
    pub(crate) fn open(root: &Path, options: &DiskOptions, kind: Kind) -> Result<Arc<Self>, OpenError> {
        options.check()?;
        let layout = Layout::new(root.to_owned());
        fs::create_dir_all(root).map_err(OpenError::io(format!("create {}", root.display())))?;
        let lock = DirectoryLock::take(root)?;
        let found = recover::recover(&layout, kind)?;
        let mut index = Index {
            entries: Lru::new(),
            room_taken_bytes: 0,
            generations: 0,
        };
        for entry in found.entries {
            index.insert(entry.digest, entry.on_disk_bytes);
        }
        let store = FileStore {
            kind,
            layout,
            capacity_bytes: options.capacity_bytes,
            index: Mutex::new(index),
            stripes: [const { Mutex::new(()) }; STRIPES],
            incoming_created: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            corrupt: AtomicU64::new(found.damaged),
            operations: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            _lock: lock,
        };
        // The capacity may be smaller than last time.
        store
            .make_room(0)
            .expect("no bytes more always fit once enough is evicted");
        Ok(Arc::new(store))
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        self.layout.root()
    }

    pub(crate) fn usage(&self) -> Usage {
        let index = self.index.lock();
        Usage {
            blobs: index.entries.len() as u64,
            bytes: index.entries.weight() + index.room_taken_bytes,
            capacity_bytes: self.capacity_bytes,
            evicted: self.evicted.load(Ordering::Relaxed),
            corrupt: self.corrupt.load(Ordering::Relaxed),
        }
    }

    /// Most bytes of payload that fit into the capacity.
    pub(crate) fn payload_bytes_max(&self) -> u64 {
        // Down to what a file system would give, then less what the checksums of that much take.
        let files_bytes = self.capacity_bytes / on_disk_bytes(1) * on_disk_bytes(1);
        files_bytes.saturating_sub(file_bytes(files_bytes) - files_bytes)
    }

    /// Whether the entry is here; if so it is now the most recently used.
    pub(crate) fn touch(&self, digest: &Digest) -> Option<Generation> {
        self.index.lock().entries.get(digest).copied()
    }

    /// Which are not here; the others are now the most recently used.
    pub(crate) fn touch_all(&self, digests: &DigestSet) -> DigestSet {
        let mut missing = Vec::new();
        for digests in digests.as_slice().chunks(DIGESTS_PER_LOCK) {
            let mut index = self.index.lock();
            missing.extend(
                digests
                    .iter()
                    .filter(|digest| index.entries.get(digest).is_none())
                    .copied(),
            );
        }
        missing.into_iter().collect()
    }

    /// Opens an entry's file and reads from it with `read`. A file that is gone or damaged is dropped, which makes
    /// it a miss. Blocks.
    pub(crate) fn read<T>(
        &self,
        digest: &Digest,
        generation: Generation,
        read: impl FnOnce(CheckedFile) -> Result<T, ReadError>,
    ) -> Result<Option<T>, StoreError> {
        let path = self.layout.entry(digest);
        let opened = CheckedFile::open(&path, self.seal(digest)).and_then(|file| {
            if self.kind.has_size_of_digest && file.payload_bytes() != digest.size_bytes() {
                return Err(ReadError::Damaged(format!(
                    "it holds {} bytes",
                    file.payload_bytes()
                )));
            }
            read(file)
        });
        match opened {
            Ok(value) => Ok(Some(value)),
            Err(ReadError::Gone) => {
                // Usually evicted just now, by somebody who has told the index.
                self.drop_damaged(digest, generation, "its file has vanished from the disk");
                Ok(None)
            }
            Err(ReadError::Damaged(reason)) => {
                self.drop_damaged(digest, generation, &reason);
                Ok(None)
            }
            Err(ReadError::Failed(error)) => {
                Err(StoreError::io(format!("reading {}", path.display()), error))
            }
        }
    }

    /// Forgets an entry that cannot be served, unless it has been replaced in the meantime. Blocks.
    pub(crate) fn drop_damaged(&self, digest: &Digest, generation: Generation, reason: &str) {
        let _stripe = self.stripe(digest).lock();
        {
            let mut index = self.index.lock();
            if index.entries.peek(digest) != Some(&generation) {
                return;
            }
            index.entries.remove(digest);
        }
        self.corrupt.fetch_add(1, Ordering::Relaxed);
        tracing::error!(kind = self.kind.name, %digest, reason, "a stored entry was damaged and has been dropped");
        self.remove_file(digest);
    }

    /// A file for an entry that is about to arrive. Blocks.
    pub(crate) fn create_incoming(self: &Arc<Self>, digest: &Digest) -> Result<Incoming, StoreError> {
        let number = self.incoming_created.fetch_add(1, Ordering::Relaxed);
        Incoming::create(
            self.clone(),
            self.layout.incoming().join(number.to_string()),
            self.seal(digest),
        )
    }

    /// Makes an entry visible. Blocks.
    pub(crate) fn commit(
        &self,
        digest: &Digest,
        sealed: Sealed,
        existing: Existing,
    ) -> Result<(), StoreError> {
        let _stripe = self.stripe(digest).lock();
        if existing == Existing::Keep && self.touch(digest).is_some() {
            return Ok(());
        }
        let room_bytes = sealed.rename(&self.layout.entry(digest))?;
        let mut index = self.index.lock();
        index.room_taken_bytes -= room_bytes;
        index.insert(*digest, room_bytes);
        Ok(())
    }

    /// Writes a whole entry. Blocks.
    pub(crate) fn write(
        self: &Arc<Self>,
        digest: &Digest,
        payload: &[u8],
        existing: Existing,
    ) -> Result<(), StoreError> {
        let mut incoming = self.create_incoming(digest)?;
        incoming.write(payload)?;
        self.commit(digest, incoming.seal()?, existing)
    }

    /// Takes room for something that is being written; what was used longest ago goes. Blocks.
    pub(crate) fn make_room(&self, more_bytes: u64) -> Result<(), StoreError> {
        loop {
            let oldest = {
                let mut index = self.index.lock();
                let taken_bytes = index.entries.weight() + index.room_taken_bytes;
                if taken_bytes.saturating_add(more_bytes) <= self.capacity_bytes {
                    index.room_taken_bytes += more_bytes;
                    return Ok(());
                }
                index.entries.pop_oldest()
            };
            let Some((digest, _)) = oldest else {
                return Err(StoreError::NoSpace {
                    size_bytes: more_bytes,
                    reason: format!(
                        "uploads in progress already fill the capacity of {} bytes; try again later, or give the store more",
                        self.capacity_bytes
                    ),
                });
            };
            self.evicted.fetch_add(1, Ordering::Relaxed);
            let _stripe = self.stripe(&digest).lock();
            // Put again since it was taken from the index: then this is a new file, with a right to stay.
            if self.index.lock().entries.peek(&digest).is_none() {
                self.remove_file(&digest);
            }
        }
    }

    /// The reverse of [`make_room`](Self::make_room).
    pub(crate) fn give_room_back(&self, bytes: u64) {
        self.index.lock().room_taken_bytes -= bytes;
    }

    /// Starts a disk operation on a thread that may block, once there are few enough of them. It runs to its end
    /// even if nobody waits for it any more.
    pub(crate) async fn start<T: Send + 'static>(
        self: &Arc<Self>,
        operation: impl FnOnce(&Arc<FileStore>) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let permit = self
            .operations
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let store = self.clone();
        tokio::task::spawn_blocking(move || {
            let result = operation(&store);
            drop(permit);
            result
        })
    }

    /// Runs a disk operation to its end.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        operation: impl FnOnce(&Arc<FileStore>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        finished(self.start(operation).await).await
    }

    fn seal(&self, digest: &Digest) -> Seal {
        Seal::of(self.kind.name, digest)
    }

    fn stripe(&self, digest: &Digest) -> &Mutex<()> {
        // The first byte of a hash is as good as any hash of it.
        &self.stripes[usize::from(digest.hash_bytes()[0]) % STRIPES]
    }

    /// The caller holds the stripe, and the index does not know the entry.
    fn remove_file(&self, digest: &Digest) {
        let path = self.layout.entry(digest);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot remove a file; it takes room until the next start");
            }
        }
    }
}

impl Index {
    fn insert(&mut self, digest: Digest, on_disk_bytes: u64) {
        self.generations += 1;
        self.entries
            .insert(digest, Generation(self.generations), on_disk_bytes);
    }
}

/// What a started operation came to. Its panic goes on in whoever waits for it.
pub(crate) async fn finished<T>(operation: JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
    match operation.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Unavailable {
            reason: "the server is shutting down".into(),
        }),
    }
}
