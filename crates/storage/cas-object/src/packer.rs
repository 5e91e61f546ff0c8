//! Small blobs travel together: puts wait until the segment that holds them is stored.
//!
//! One task gathers blobs, at most [`SEGMENT_WAIT`] and [`SEGMENT_BYTES_MAX`](crate::limits::SEGMENT_BYTES_MAX) for a
//! segment, and starts a task that stores it. When [`SEGMENT_UPLOADS_MAX`] are being stored, the next segment goes on
//! filling until one of them is done: under load segments are large by themselves.

use std::sync::Arc;

use blob::Digest;
use bytes::Bytes;
use cas::StoreError;
use object_store::PutPayload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::keys::{Keys, TimedId, Unit};
use crate::limits::{
    PACKING_BYTES_MAX, PACKING_ENTRY_BYTES, PACKING_QUEUE_MAX, SEGMENT_UPLOADS_MAX, SEGMENT_WAIT,
};
use crate::liveness::Liveness;
use crate::requests::Requests;
use crate::segment::Builder;
use crate::segments::Segments;
use crate::statistics::Counters;

pub(crate) struct Packer {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// A blob on its way into a segment.
struct Waiting {
    digest: Digest,
    bytes: Bytes,
    stored: oneshot::Sender<Result<(), StoreError>>,
    /// Given back when the segment is stored, or could not be.
    _room: OwnedSemaphorePermit,
}

/// What storing a segment needs.
pub(crate) struct Shelf {
    pub(crate) requests: Arc<Requests>,
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    pub(crate) segments: Arc<Segments>,
    pub(crate) liveness: Arc<Liveness>,
}

impl Packer {
    /// Starts the task that gathers. It ends, after storing what it has, when the store is dropped.
    pub(crate) fn start(shelf: Shelf, group: &tasks::Group) -> Self {
        let (queue, incoming) = mpsc::channel(PACKING_QUEUE_MAX);
        group.spawn("packing", gather(incoming, Arc::new(shelf), group.clone()));
        Packer {
            queue,
            room: Arc::new(Semaphore::new(PACKING_BYTES_MAX as usize)),
        }
    }

    /// Returns when the blob is stored. A caller that goes away earlier leaves it to be stored all the same.
    pub(crate) async fn pack(&self, digest: Digest, bytes: Bytes) -> Result<(), StoreError> {
        let size_bytes = u32::try_from(bytes.len()).expect("a small blob") + PACKING_ENTRY_BYTES;
        let room = self
            .room
            .clone()
            .acquire_many_owned(size_bytes)
            .await
            .expect("never closed");
        let (stored, answer) = oneshot::channel();
        let waiting = Waiting {
            digest,
            // A window of a larger buffer would keep all of it until the segment is full.
            bytes: Bytes::copy_from_slice(&bytes),
            stored,
            _room: room,
        };
        let closed = || StoreError::Unavailable {
            reason: "the store is being closed".into(),
        };
        self.queue.send(waiting).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn gather(mut incoming: mpsc::Receiver<Waiting>, shelf: Arc<Shelf>, group: tasks::Group) {
    let uploads = Arc::new(Semaphore::new(SEGMENT_UPLOADS_MAX));
    let stopping = group.stopping();
    loop {
        let Some(first) = next(&mut incoming, &stopping).await else {
            return;
        };
        let mut batch = Batch::new();
        batch.add(first);
        let until = Instant::now() + SEGMENT_WAIT;
        let mut more = true;
        while more && !batch.builder.is_full() {
            match tokio::time::timeout_at(until, next(&mut incoming, &stopping)).await {
                Ok(Some(next)) => batch.add(next),
                Ok(None) => more = false,
                Err(_) => break,
            }
        }
        let slot = uploads.clone().acquire_owned();
        tokio::pin!(slot);
        let slot = loop {
            tokio::select! {
                biased;
                slot = &mut slot => break slot.expect("never closed"),
                next = next(&mut incoming, &stopping), if more && !batch.builder.is_full() => match next {
                    Some(next) => batch.add(next),
                    None => more = false,
                },
            }
        };
        let shelf = shelf.clone();
        group.spawn("segment", async move {
            batch.store(&shelf).await;
            drop(slot);
        });
    }
}

/// Once closing has begun, only what is queued already.
async fn next(
    incoming: &mut mpsc::Receiver<Waiting>,
    stopping: &tasks::CancellationToken,
) -> Option<Waiting> {
    if let Some(next) = stopping.run_until_cancelled(incoming.recv()).await {
        return next;
    }
    incoming.close();
    incoming.recv().await
}

struct Batch {
    builder: Builder,
    waiting: Vec<(oneshot::Sender<Result<(), StoreError>>, OwnedSemaphorePermit)>,
}

impl Batch {
    fn new() -> Self {
        Batch {
            builder: Builder::new(),
            waiting: Vec::new(),
        }
    }

    fn add(&mut self, blob: Waiting) {
        let Waiting {
            digest,
            bytes,
            stored,
            _room,
        } = blob;
        self.builder.add(digest, &bytes);
        self.waiting.push((stored, _room));
    }

    async fn store(self, shelf: &Shelf) {
        let (bytes, entries) = self.builder.finish();
        let id = TimedId::new(shelf.clock.now());
        let path = shelf.keys.unit(Unit::Segment(id));
        let result = shelf.requests.create(&path, &PutPayload::from(bytes)).await;
        match &result {
            Ok(()) => {
                shelf.segments.stored(id, &entries);
                shelf.liveness.created(id);
                Counters::add(&shelf.requests.counters.segments_written, 1);
                Counters::add(&shelf.requests.counters.blobs_packed, entries.len() as u64);
            }
            // It may be there all the same, when only the answer was lost. Then a listing finds it: no harm.
            Err(error) => tracing::warn!(blobs = entries.len(), "cannot store a segment: {error}"),
        }
        for (stored, _room) in self.waiting {
            // An error says that nobody waits any more.
            let _gone = stored.send(result.clone());
        }
    }
}
