//! Large blobs: an object each.

use std::ops::Range;
use std::sync::Arc;

use blob::{Blob, BlobError, BlobStream, ByteRange, Digest};
use bytes::Bytes;
use cas::{Lru, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::GetRange;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::frames::{self, Piece, object_bytes};
use crate::keys::{Keys, Touch, Unit};
use crate::limits::{
    BLOB_BYTES_MAX, CREATES_MAX, DAMAGED_MAX, HEADS_MAX, PIECES_AHEAD_MAX, SINGLE_PUT_BYTES_MAX,
};
use crate::liveness::{Liveness, Verdict};
use crate::requests::Requests;
use crate::statistics::Counters;
use crate::upload;

#[derive(Clone)]
pub(crate) struct Large(Arc<Shared>);

struct Shared {
    requests: Arc<Requests>,
    keys: Keys,
    liveness: Arc<Liveness>,
    /// Found damaged, so missing until they are put again, which then replaces the object.
    damaged: Mutex<Lru<Digest, ()>>,
    /// Bytes of memory that uploads may take.
    room: Semaphore,
    room_bytes: u32,
    group: tasks::Group,
}

/// Why a piece of an object was not had.
enum NotRead {
    Gone,
    Damaged,
    Failed(StoreError),
}

impl Large {
    pub(crate) fn new(
        requests: Arc<Requests>,
        keys: Keys,
        liveness: Arc<Liveness>,
        upload_bytes_max: u32,
        group: tasks::Group,
    ) -> Self {
        Large(Arc::new(Shared {
            requests,
            keys,
            liveness,
            damaged: Mutex::new(Lru::new()),
            room: Semaphore::new(upload_bytes_max as usize),
            room_bytes: upload_bytes_max,
            group,
        }))
    }

    pub(crate) async fn get(
        &self,
        digest: &Digest,
        range: ByteRange,
    ) -> Result<Option<BlobStream>, StoreError> {
        let size_bytes = digest.size_bytes();
        let within = range.within(size_bytes);
        let Some(range) = within.clone().filter(|range| !range.is_empty()) else {
            // Nothing to read, so nothing shows whether it is there.
            return match (self.0.is_there(digest).await?, within) {
                (false, _) => Ok(None),
                (true, Some(_)) => Ok(Some(stream::empty().boxed())),
                (true, None) => Err(StoreError::OutOfRange {
                    digest: *digest,
                    offset: range.offset,
                }),
            };
        };
        self.read(*digest, range).await
    }

    async fn read(&self, digest: Digest, range: Range<u64>) -> Result<Option<BlobStream>, StoreError> {
        let mut pieces = frames::pieces(digest.size_bytes(), range);
        let Some(first) = pieces.next() else {
            return Ok(Some(stream::empty().boxed()));
        };
        let first = match self.0.read_piece(&digest, &first).await {
            Ok(frames) => frames,
            Err(NotRead::Gone | NotRead::Damaged) => return Ok(None),
            Err(NotRead::Failed(error)) => return Err(error),
        };
        self.0.liveness.used(Unit::Blob(digest));
        let shared = self.0.clone();
        let rest = stream::iter(pieces)
            .map(move |piece| {
                let shared = shared.clone();
                async move {
                    let frames = shared.read_piece(&digest, &piece).await;
                    frames.map_err(|why| broken(digest, why))
                }
            })
            .buffered(PIECES_AHEAD_MAX);
        let frames = stream::once(async { Ok(first) })
            .chain(rest)
            .map_ok(|frames| stream::iter(frames.into_iter().map(Ok)))
            .try_flatten();
        Ok(Some(until_error(frames).boxed()))
    }

    pub(crate) async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let shared = &*self.0;
        let length = object_bytes(digest.size_bytes());
        if digest.size_bytes() > BLOB_BYTES_MAX {
            return Err(StoreError::TooLarge {
                digest,
                size_bytes_max: BLOB_BYTES_MAX,
            });
        }
        let unit = Unit::Blob(digest);
        let path = shared.keys.unit(unit);
        let mut replace = shared.is_damaged(&digest);
        if !replace {
            if shared.liveness.is_confirmed(unit) {
                return Ok(());
            }
            match shared.requests.head(&path).await? {
                Some(found) if found == length && shared.liveness.promise_settled(unit).await? => {
                    return Ok(());
                }
                // It has gone meanwhile.
                Some(found) if found == length => {}
                // An object of another length cannot be right.
                Some(_) => replace = true,
                None => {}
            }
        }
        if length > SINGLE_PUT_BYTES_MAX {
            let _room = shared.room_for(2 * upload::part_bytes(length)).await;
            upload::in_parts(&shared.requests, &path, blob, &shared.group).await?;
            if shared.settle(&digest).await? {
                return Ok(());
            }
            return Err(removed_meanwhile(unit));
        }
        let _room = shared.room_for(length).await;
        let payload = upload::encode(blob).await?;
        for _ in 0..CREATES_MAX {
            match replace {
                true => shared.requests.replace(&path, &payload).await?,
                false => shared.requests.create(&path, &payload).await?,
            }
            if shared.settle(&digest).await? {
                return Ok(());
            }
        }
        Err(removed_meanwhile(unit))
    }

    /// Those of `digests` that are here; each of them is promised.
    pub(crate) async fn promise(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let looks = digests.iter().map(|digest| {
            let (shared, digest) = (self.0.clone(), *digest);
            async move { Ok::<_, StoreError>(shared.is_there(&digest).await?.then_some(Unit::Blob(digest))) }
        });
        // Before anything is recorded: most digests that are asked for are not here.
        let found: Vec<Option<Unit>> = stream::iter(looks.collect::<Vec<_>>())
            .buffer_unordered(HEADS_MAX)
            .try_collect()
            .await?;
        let touches: Vec<Touch> = found.into_iter().flatten().map(Touch::Whole).collect();
        let verdicts = self.0.liveness.promise(&touches).await?;
        let alive = verdicts
            .into_iter()
            .filter_map(|(touch, verdict)| match (touch.unit(), verdict) {
                (Unit::Blob(digest), Verdict::Alive) => Some(digest),
                _ => None,
            });
        Ok(alive.collect())
    }
}

impl Shared {
    /// Whether there is an object that can be this blob's. Promises nothing.
    async fn is_there(&self, digest: &Digest) -> Result<bool, StoreError> {
        let unit = Unit::Blob(*digest);
        if self.is_damaged(digest) {
            return Ok(false);
        }
        if self.liveness.is_confirmed(unit) {
            return Ok(true);
        }
        let length = object_bytes(digest.size_bytes());
        Ok(self.requests.head(&self.keys.unit(unit)).await? == Some(length))
    }

    /// Promises what was just stored. `false` if a collection has removed it.
    async fn settle(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.damaged.lock().remove(digest);
        self.liveness.promise_settled(Unit::Blob(*digest)).await
    }

    async fn room_for(&self, bytes: u64) -> tokio::sync::SemaphorePermit<'_> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.room_bytes);
        self.room.acquire_many(bytes).await.expect("never closed")
    }

    async fn read_piece(&self, digest: &Digest, piece: &Piece) -> Result<Vec<Bytes>, NotRead> {
        if self.is_damaged(digest) {
            return Err(NotRead::Gone);
        }
        let unit = Unit::Blob(*digest);
        let range = GetRange::Bounded(piece.object_range.clone());
        let part = self.requests.get(&self.keys.unit(unit), Some(range)).await;
        let Some(part) = part.map_err(NotRead::Failed)? else {
            self.liveness.forget(unit);
            return Err(NotRead::Gone);
        };
        let right_length = part.object_bytes == object_bytes(digest.size_bytes());
        match piece.open(digest, part.bytes).filter(|_| right_length) {
            Some(frames) => Ok(frames),
            None => {
                self.found_damaged(digest);
                Err(NotRead::Damaged)
            }
        }
    }

    fn is_damaged(&self, digest: &Digest) -> bool {
        self.damaged.lock().get(digest).is_some()
    }

    fn found_damaged(&self, digest: &Digest) {
        tracing::error!(%digest, "a large object is damaged; its blob counts as missing until it is uploaded again");
        Counters::add(&self.requests.counters.damaged, 1);
        self.liveness.forget(Unit::Blob(*digest));
        let mut damaged = self.damaged.lock();
        damaged.insert(*digest, (), 1);
        while damaged.weight() > DAMAGED_MAX {
            damaged.pop_oldest();
        }
    }
}

fn removed_meanwhile(unit: Unit) -> StoreError {
    StoreError::Unavailable {
        reason: format!("a collection removed `{unit}` while it was uploaded; upload it again"),
    }
}

fn broken(digest: Digest, why: NotRead) -> BlobError {
    match why {
        NotRead::Gone => std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("blob {digest} went away while it was read"),
        )
        .into(),
        NotRead::Damaged => BlobError::Corrupt {
            digest,
            reason: "a block has another checksum than when it was written".into(),
        },
        NotRead::Failed(error) => std::io::Error::other(error).into(),
    }
}

/// Ends after the first error.
fn until_error<T: Send, E: Send>(
    items: impl stream::Stream<Item = Result<T, E>> + Send,
) -> impl stream::Stream<Item = Result<T, E>> + Send {
    items.scan(false, |failed, item| {
        let over = std::mem::replace(failed, item.is_err());
        std::future::ready((!over).then_some(item))
    })
}
