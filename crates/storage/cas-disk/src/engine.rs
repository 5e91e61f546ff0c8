//! The engine: a store, the thread that writes it, and how to reach both.

use std::fs;
use std::sync::Arc;

use blob::Digest;
use cas::StoreError;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::directory_lock::DirectoryLock;
use crate::encode::encode_record;
use crate::format::read_or_write_format;
use crate::index::Slot;
use crate::key::Key;
use crate::leases::Ticket;
use crate::record::{Header, Kind};
use crate::recover::{Recovered, recover};
use crate::store::Store;
use crate::tombstone;
use crate::volume::{DirectoryVolume, Volume};
use crate::writer::{Append, Operation};
use crate::{DiskOptions, OpenError};

/// Operations that wait for the writer at most, and bytes in them, in KiB.
const QUEUE_OPERATIONS_MAX: usize = 8192;
const QUEUE_KIB_MAX: usize = 64 << 10;
/// Content up to this is encoded where it is; more is handed to a thread that may take its time.
const ENCODE_HERE_BYTES_MAX: usize = 64 << 10;

/// One log of entries on disk.
pub(crate) struct Engine {
    pub(crate) store: Arc<Store>,
    operations: Mutex<Option<mpsc::Sender<Operation>>>,
    queue: Arc<Semaphore>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    _locks: Vec<DirectoryLock>,
}

/// What is to be appended.
pub(crate) struct NewEntry {
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    pub(crate) digest: Digest,
    pub(crate) scope: u64,
    /// Whether an entry that is there already stays as it is.
    pub(crate) keep: bool,
}

impl Engine {
    /// Opens the log `name` below each of the directories, or makes one there. Blocks while it reads what is there.
    pub(crate) fn open(name: &'static str, options: DiskOptions) -> Result<Arc<Self>, OpenError> {
        options.check()?;
        let mut locks = Vec::new();
        let mut volumes: Vec<Arc<dyn Volume>> = Vec::new();
        for directory in &options.directories {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(OpenError::io(format!("create {}", path.display())))?;
            locks.push(DirectoryLock::take(&path)?);
            volumes.push(Arc::new(DirectoryVolume::new(path)));
        }
        Self::open_volumes(name, options, volumes, locks)
    }

    /// As `open`, on any volumes.
    pub(crate) fn open_volumes(
        name: &'static str,
        options: DiskOptions,
        volumes: Vec<Arc<dyn Volume>>,
        locks: Vec<DirectoryLock>,
    ) -> Result<Arc<Self>, OpenError> {
        let keys = read_or_write_format(&*volumes[0])?;
        let path = volumes[0].path().to_owned();
        let Recovered { store, writer } = recover(name, options, keys, volumes)
            .map_err(OpenError::io(format!("read {}", path.display())))?;
        let (sender, receiver) = mpsc::channel(QUEUE_OPERATIONS_MAX);
        let thread = std::thread::Builder::new()
            .name(format!("{name} writer"))
            .spawn(move || writer.run(receiver))
            .map_err(OpenError::io("start the thread that writes"))?;
        tracing::info!(directory = %path.display(), usage = ?store.usage(), "{name} opened");
        Ok(Arc::new(Engine {
            store,
            operations: Mutex::new(Some(sender)),
            queue: Arc::new(Semaphore::new(QUEUE_KIB_MAX)),
            thread: Mutex::new(Some(thread)),
            _locks: locks,
        }))
    }

    /// Asks the writer for something and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        operation: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Operation,
    ) -> Result<T, StoreError> {
        let sender = self.operations.lock().clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        sender.send(operation(reply)).await.map_err(|_| closed())?;
        drop(sender);
        answer.await.map_err(|_| closed())?
    }

    /// Appends an entry and waits until it is as durable as was asked for, and visible.
    pub(crate) async fn append(
        &self,
        entry: NewEntry,
        content: bytes::Bytes,
        ticket: Option<Ticket>,
    ) -> Result<(), StoreError> {
        let NewEntry {
            key,
            kind,
            digest,
            scope,
            keep,
        } = entry;
        let permit = self
            .queue
            .clone()
            .acquire_many_owned((content.len() >> 10) as u32 + 1)
            .await
            .map_err(|_| closed())?;
        let header = Header {
            kind,
            digest,
            content_bytes: content.len() as u64,
            stored_bytes: 0,
            scope,
        };
        let compression = self.store.options.compression;
        let record = if content.len() <= ENCODE_HERE_BYTES_MAX {
            encode_record(&header, &content, compression)
        } else {
            blocking(move || Ok(encode_record(&header, &content, compression))).await?
        };
        self.ask(move |reply| {
            Operation::Append(Append {
                key,
                kind,
                record,
                keep,
                ticket,
                reply,
                permit,
            })
        })
        .await
    }

    /// Drops an entry that turned out to be damaged, here and for the next start.
    pub(crate) async fn drop_damaged(&self, scope: u64, digest: &Digest, slot: &Slot, reason: &str) {
        let key = self.store.keys.of(scope, digest);
        if self.store.drop_damaged(key, Some(digest), slot, reason) {
            self.bury(tombstone::of_entry(key, scope, *digest)).await;
        }
    }

    /// The same for an entry whose name can no longer be read; its key is enough to take it out.
    pub(crate) async fn drop_unnamed(&self, key: Key, slot: &Slot, reason: &str) {
        if self.store.drop_damaged(key, None, slot, reason) {
            self.bury(tombstone::of_key(key)).await;
        }
    }

    /// Writes down that an entry has been dropped.
    async fn bury(&self, tombstone: NewEntry) {
        if let Err(error) = self.append(tombstone, bytes::Bytes::new(), None).await {
            tracing::warn!(kind = self.store.name, %error, "that an entry has been dropped could not be written down");
        }
    }

    /// Finishes the segment in use and stops. Whoever asks afterwards is told so.
    pub(crate) fn close(&self) {
        self.operations.lock().take();
        self.queue.close();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!(kind = self.store.name, "the thread that writes has panicked");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs what may wait for a disk on the pool that is there for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    finished(tokio::task::spawn_blocking(work)).await
}

/// The result of such work. Its panic goes on in whoever waits for it.
pub(crate) async fn finished<T>(work: JoinHandle<Result<T, StoreError>>) -> Result<T, StoreError> {
    match work.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(closed()),
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable {
        reason: "the server is shutting down".into(),
    }
}
