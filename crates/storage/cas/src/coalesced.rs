//! The same thing at the same time, once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use crate::tree::read_all;
use crate::{BlobStore, StoreError};

/// How long a write waits for another one of the same digest. The first may be a broken upload that is kept for its
/// client to come back; and to send something twice is better than to wait for that.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Calls about one digest that come while another is under way share what that one brings.
///
/// Whole reads of blobs of at most `read_bytes_max` are fetched once into memory; larger ones, and parts, pass. Writes of
/// one digest wait for the one that came first: if it succeeds the blob is there, if it fails the next brings its own
/// body. Whoever goes away does not take the others along: the next in line goes on. Nor does a writer whose sender
/// rests hold up the others: after five seconds they write beside it.
pub fn coalesced(inner: Arc<dyn BlobStore>, read_bytes_max: u64) -> Arc<dyn BlobStore> {
    Arc::new(Coalesced {
        inner,
        read_bytes_max,
        reads: Turns::default(),
        writes: Turns::default(),
    })
}

struct Coalesced {
    inner: Arc<dyn BlobStore>,
    read_bytes_max: u64,
    /// A miss is nobody's but the caller's.
    reads: Turns<Option<Bytes>>,
    writes: Turns<()>,
}

/// One at a time for each digest; the outcome of the first stays for those who came meanwhile. As many entries as there
/// are calls under way.
struct Turns<T> {
    by_digest: Mutex<HashMap<Digest, Weak<Turn<T>>>>,
}

type Turn<T> = tokio::sync::Mutex<Option<T>>;

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Turns {
            by_digest: Mutex::default(),
        }
    }
}

impl<T: Clone> Turns<T> {
    /// What somebody else's call brought, if that is `for_all`, or what `call` brings. After `wait_max` of waiting for the
    /// others `call` is made beside them.
    async fn take(
        &self,
        digest: &Digest,
        wait_max: Option<Duration>,
        for_all: impl Fn(&T) -> bool,
        call: impl AsyncFnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut seat = self.sit(digest);
        let Some(mut outcome) = turn_of(seat.turn(), wait_max).await else {
            return call().await;
        };
        match &*outcome {
            Some(outcome) if for_all(outcome) => Ok(outcome.clone()),
            Some(_) => {
                drop(outcome);
                call().await
            }
            None => {
                let brought = call().await;
                if let Ok(brought) = &brought {
                    *outcome = Some(brought.clone());
                }
                drop(outcome);
                // Whoever comes from now on begins anew: the outcome is about the time of the call.
                seat.is_over = true;
                brought
            }
        }
    }

    fn sit(&self, digest: &Digest) -> Seat<'_, T> {
        let turn = {
            let mut by_digest = self.by_digest.lock();
            match by_digest.get(digest).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn: Arc<Turn<T>> = Arc::default();
                    by_digest.insert(*digest, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        Seat {
            turns: self,
            digest: *digest,
            turn: Some(turn),
            is_over: false,
        }
    }
}

/// Somebody who waits for a turn or has it. Also whoever is dropped there leaves nothing behind.
struct Seat<'a, T> {
    turns: &'a Turns<T>,
    digest: Digest,
    /// Gone only while this goes.
    turn: Option<Arc<Turn<T>>>,
    is_over: bool,
}

impl<T> Seat<'_, T> {
    fn turn(&self) -> &Turn<T> {
        self.turn.as_deref().expect("it goes only while this goes")
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut by_digest = self.turns.by_digest.lock();
        let Some(turn) = self.turn.take() else { return };
        let is_listed = by_digest
            .get(&self.digest)
            .is_some_and(|other| other.as_ptr() == Arc::as_ptr(&turn));
        // Others sit down, and get up, under this lock only.
        let is_last = Arc::strong_count(&turn) <= 1;
        drop(turn);
        if is_listed && (self.is_over || is_last) {
            by_digest.remove(&self.digest);
        }
    }
}

/// The turn, or `None` if it has not come within `wait_max`.
async fn turn_of<T>(turn: &Turn<T>, wait_max: Option<Duration>) -> Option<MutexGuard<'_, Option<T>>> {
    if let Ok(outcome) = turn.try_lock() {
        return Some(outcome);
    }
    match wait_max {
        None => Some(turn.lock().await),
        Some(wait_max) => tokio::time::timeout(wait_max, turn.lock()).await.ok(),
    }
}

#[async_trait]
impl BlobStore for Coalesced {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let size_bytes = digest.size_bytes();
        if size_bytes > self.read_bytes_max || !range.is_full(size_bytes) {
            return self.inner.get(digest, range).await;
        }
        let fetch = async || read_all(&*self.inner, digest, self.read_bytes_max).await;
        // Not a miss: it may be older than a write that this caller knows of.
        let bytes = self.reads.take(digest, None, Option::is_some, fetch).await?;
        Ok(bytes.map(|bytes| stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed()))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.writes
            .take(
                &blob.digest(),
                Some(WRITE_WAIT_MAX),
                |()| true,
                async || self.inner.put(blob).await,
            )
            .await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.inner.find_missing(digests).await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get_zstd(digest, offset).await
    }
}

#[cfg(test)]
mod schedules;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use blob::{BlobError, DigestFunction};
    use futures::executor::block_on;
    use futures::future;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::{Meters, memory, metered};

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(coalesced(memory(64 << 20), 1 << 20))
        }));
    }

    #[tokio::test]
    async fn many_at_once_cost_one() {
        let meters = Arc::new(Meters::default());
        let store = coalesced(metered(memory(1 << 20), meters.clone()), 1 << 20);
        let bytes = Bytes::from_static(b"some bytes");
        let digest = Digest::of(DigestFunction::Sha256, &bytes);
        let puts = (0..10).map(|_| {
            let bytes = bytes.clone();
            let body = stream::once(async move {
                tokio::task::yield_now().await;
                Ok::<_, BlobError>(bytes)
            });
            store.put(Blob::checked(digest, body))
        });
        assert!(future::join_all(puts).await.into_iter().all(|put| put.is_ok()));
        assert_eq!(meters.puts.count(), 1);
        let gets = (0..10).map(|_| store.get(&digest, ByteRange::FULL));
        for stream in future::join_all(gets).await {
            assert_eq!(stream.unwrap().unwrap().next().await.unwrap().unwrap(), bytes);
        }
        assert!(meters.gets.count() <= 10);
        assert_eq!(meters.get_misses.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn after_a_failure_the_next_brings_its_own_body() {
        let store = coalesced(memory(1 << 20), 1 << 20);
        let digest = Digest::of(DigestFunction::Sha256, b"right");
        let tried = Arc::new(AtomicU64::new(0));
        let put = |bytes: &'static [u8]| {
            let tried = tried.clone();
            let body = stream::once(async move {
                tried.fetch_add(1, Ordering::SeqCst);
                Ok::<_, BlobError>(Bytes::from_static(bytes))
            });
            store.put(Blob::checked(digest, body))
        };
        let (wrong, right, also) = future::join3(put(b"wrong"), put(b"right"), put(b"never read")).await;
        assert!(wrong.is_err() && right.is_ok() && also.is_ok());
        assert_eq!(tried.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_whose_sender_rests_holds_nobody_up() {
        let store = coalesced(memory(1 << 20), 1 << 20);
        let digest = Digest::of(DigestFunction::Sha256, b"right");
        let resting = store.put(Blob::checked(
            digest,
            stream::pending::<Result<Bytes, BlobError>>(),
        ));
        let other = store.put(Blob::from_bytes(DigestFunction::Sha256, "right"));
        tokio::select! {
            biased;
            _ = resting => panic!("its body never ends"),
            done = other => done.unwrap(),
        }
        assert!(
            store
                .find_missing(&DigestSet::from(digest))
                .await
                .unwrap()
                .is_empty()
        );
    }
}
