//! The uploads that go on in several messages, and those that were interrupted and may be resumed.
//!
//! An upload belongs to the newest call that writes under its resource name. When that call breaks, the upload is
//! parked for a while; the client comes back, asks how far it got, and goes on. Everything here is bounded: the number
//! of uploads, of parked ones, and how long they wait.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob::WriteName;
use cas::BlobStore;
use parking_lot::Mutex;
use tasks::{CancellationToken, Group};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, Status};

use super::upload::Upload;
use crate::limits::{PARKED_UPLOAD_IDLE_MAX, PARKED_UPLOADS_MAX, UPLOAD_TAKEOVER_WAIT_MAX, UPLOADS_MAX};
use crate::status;

/// All of them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct Uploads {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    /// Something was parked or left.
    changed: Notify,
    count: Arc<Semaphore>,
}

struct Table {
    entries: HashMap<Key, Entry>,
    next_id: u64,
    /// Nothing is parked any more: the server stops.
    closed: bool,
}

/// The resource name without trailing metadata: an upload id alone is not unique (checklist B3).
type Key = String;

enum Entry {
    Live {
        id: u64,
        committed_bytes: Arc<AtomicU64>,
        taken_over: CancellationToken,
    },
    Parked {
        upload: Upload,
        until: Instant,
    },
}

/// How an upload begins.
pub(super) enum Opened {
    /// It is this call's now.
    Live(LiveUpload),
    /// There is nothing to resume. `ended_meanwhile`: there was, when the call came; perhaps it was completed.
    Nothing { ended_meanwhile: bool },
}

/// An upload that this call feeds. Dropping it parks the upload.
pub(super) struct LiveUpload {
    uploads: Uploads,
    key: Key,
    id: u64,
    taken_over: CancellationToken,
    /// `None` only while it is being dropped.
    upload: Option<Upload>,
}

impl Uploads {
    /// An empty table, and a task that gives up what was parked too long.
    pub(super) fn start(group: &Group) -> Self {
        let shared = Shared {
            table: Mutex::new(Table {
                entries: HashMap::new(),
                next_id: 0,
                closed: false,
            }),
            changed: Notify::new(),
            count: Arc::new(Semaphore::new(UPLOADS_MAX)),
        };
        let uploads = Uploads {
            shared: Arc::new(shared),
        };
        let (watched, stopping) = (uploads.clone(), group.stopping());
        group.spawn("parked uploads", async move {
            watched.give_up_expired(stopping).await
        });
        uploads
    }

    /// Uncompressed bytes taken so far, if there is anything to resume.
    pub(super) fn committed_bytes(&self, name: &WriteName) -> Option<u64> {
        match self.shared.table.lock().entries.get(&name.to_string())? {
            Entry::Live { committed_bytes, .. } => Some(committed_bytes.load(Ordering::Relaxed)),
            Entry::Parked { upload, .. } => Some(upload.committed_bytes()),
        }
    }

    /// An upload that has taken at least `offset` bytes: a new one for 0, else the one that was interrupted. If
    /// another call still feeds it, which usually only means that the server has not yet noticed that the other call
    /// broke, it is taken over.
    pub(super) async fn open(
        &self,
        name: &WriteName,
        offset: u64,
        store: &Arc<dyn BlobStore>,
    ) -> Result<Opened, Status> {
        let key = name.to_string();
        if offset == 0 {
            return self.begin(key, name, store).map(Opened::Live);
        }
        let deadline = Instant::now() + UPLOAD_TAKEOVER_WAIT_MAX;
        let mut waited = false;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that what happens after the look is not missed.
            changed.as_mut().enable();
            match self.resume(&key, offset)? {
                Resumed::Live(upload) => return Ok(Opened::Live(upload)),
                Resumed::Nothing => {
                    return Ok(Opened::Nothing {
                        ended_meanwhile: waited,
                    });
                }
                Resumed::Busy => waited = true,
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(status::status(
                    Code::Aborted,
                    format!("another call still writes `{key}`; try again, or write under another upload id"),
                ));
            }
        }
    }

    /// From the start, whatever there was: that must always be possible (B6).
    fn begin(&self, key: Key, name: &WriteName, store: &Arc<dyn BlobStore>) -> Result<LiveUpload, Status> {
        let counted = self.shared.count.clone().try_acquire_owned().map_err(|_| {
            status::overloaded(format!(
                "{UPLOADS_MAX} uploads are going on already; try again later"
            ))
        })?;
        let upload = Upload::start(store.clone(), name.digest, counted);
        let mut table = self.shared.table.lock();
        // A live one goes on by itself, without a name: both calls write the same blob, and both will succeed (B13).
        let replaced = table.entries.remove(&key);
        let live = table.go_live(self, key, upload);
        drop(table);
        // Outside the lock, because a store may have something to clean up.
        drop(replaced);
        Ok(live)
    }

    fn resume(&self, key: &Key, offset: u64) -> Result<Resumed, Status> {
        let mut table = self.shared.table.lock();
        match table.entries.get(key) {
            None => Ok(Resumed::Nothing),
            Some(Entry::Live { taken_over, .. }) => {
                taken_over.cancel();
                Ok(Resumed::Busy)
            }
            Some(Entry::Parked { upload, .. }) if offset > upload.committed_bytes() => {
                Err(out_of_range(offset, upload.committed_bytes()))
            }
            Some(Entry::Parked { .. }) => {
                let Some(Entry::Parked { upload, .. }) = table.entries.remove(key) else {
                    unreachable!("looked at under the same lock");
                };
                Ok(Resumed::Live(table.go_live(self, key.clone(), upload)))
            }
        }
    }

    /// Ends a call's hold on an upload, parking what can be resumed.
    fn leave(&self, key: &Key, id: u64, upload: Option<Upload>) {
        let mut given_up = Vec::new();
        let mut table = self.shared.table.lock();
        let owns = matches!(table.entries.get(key), Some(Entry::Live { id: owner, .. }) if *owner == id);
        if owns {
            table.entries.remove(key);
        }
        match upload {
            Some(upload) if owns && upload.is_open() && upload.committed_bytes() > 0 && !table.closed => {
                given_up.extend(table.make_room());
                let until = Instant::now() + PARKED_UPLOAD_IDLE_MAX;
                table.entries.insert(key.clone(), Entry::Parked { upload, until });
            }
            other => given_up.extend(other),
        }
        drop(table);
        drop(given_up);
        self.shared.changed.notify_waiters();
    }

    async fn give_up_expired(&self, stopping: CancellationToken) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (expired, next) = self.shared.table.lock().take_expired(Instant::now());
            drop(expired);
            let next_expiry = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopping.cancelled() => break,
                () = changed => {}
                () = next_expiry => {}
            }
        }
        let mut table = self.shared.table.lock();
        table.closed = true;
        let rest = std::mem::take(&mut table.entries);
        drop(table);
        drop(rest);
    }
}

enum Resumed {
    Live(LiveUpload),
    Busy,
    Nothing,
}

impl Table {
    fn go_live(&mut self, uploads: &Uploads, key: Key, upload: Upload) -> LiveUpload {
        let id = self.next_id;
        self.next_id += 1;
        let taken_over = CancellationToken::new();
        let live = Entry::Live {
            id,
            committed_bytes: upload.progress(),
            taken_over: taken_over.clone(),
        };
        self.entries.insert(key.clone(), live);
        LiveUpload {
            uploads: uploads.clone(),
            key,
            id,
            taken_over,
            upload: Some(upload),
        }
    }

    /// Gives up the oldest parked upload if there are as many as there may be.
    fn make_room(&mut self) -> Option<Upload> {
        let parked = self.entries.iter().filter_map(|(key, entry)| match entry {
            Entry::Parked { until, .. } => Some((*until, key)),
            Entry::Live { .. } => None,
        });
        let (count, oldest) = parked.fold(
            (0, None),
            |(count, oldest): (usize, Option<(Instant, &Key)>), next| {
                (count + 1, Some(oldest.map_or(next, |oldest| oldest.min(next))))
            },
        );
        if count < PARKED_UPLOADS_MAX {
            return None;
        }
        let key = oldest?.1.clone();
        self.entries.remove(&key).and_then(Entry::into_parked)
    }

    /// What was parked too long, and when to look again.
    fn take_expired(&mut self, now: Instant) -> (Vec<Upload>, Option<Instant>) {
        let expired = self
            .entries
            .extract_if(|_, entry| matches!(entry, Entry::Parked { until, .. } if *until <= now));
        let expired = expired.filter_map(|(_, entry)| entry.into_parked()).collect();
        let next = self.entries.values().filter_map(|entry| match entry {
            Entry::Parked { until, .. } => Some(*until),
            Entry::Live { .. } => None,
        });
        (expired, next.min())
    }
}

impl Entry {
    fn into_parked(self) -> Option<Upload> {
        match self {
            Entry::Parked { upload, .. } => Some(upload),
            Entry::Live { .. } => None,
        }
    }
}

impl LiveUpload {
    /// Resolves when another call wants to go on with this upload.
    pub(super) fn taken_over(&self) -> CancellationToken {
        self.taken_over.clone()
    }

    /// There is nothing to come back to: it was stored, or what was sent can never become the blob.
    pub(super) fn over(mut self) {
        let upload = self.upload.take();
        self.uploads.leave(&self.key, self.id, None);
        drop(upload);
    }
}

impl Drop for LiveUpload {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.uploads.leave(&self.key, self.id, Some(upload));
        }
    }
}

impl Deref for LiveUpload {
    type Target = Upload;

    fn deref(&self) -> &Upload {
        self.upload
            .as_ref()
            .expect("taken only by `over` and `drop`, which end it")
    }
}

impl DerefMut for LiveUpload {
    fn deref_mut(&mut self) -> &mut Upload {
        self.upload
            .as_mut()
            .expect("taken only by `over` and `drop`, which end it")
    }
}

/// The first offset is past what is here.
pub(super) fn out_of_range(offset: u64, committed_bytes: u64) -> Status {
    let message = format!(
        "write_offset {offset} is past the {committed_bytes} bytes committed; go on from there or from 0"
    );
    status::status(Code::OutOfRange, message)
}
