//! Whether anything moves between the server and this machine: what is large or slow is waited for as long as something does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use cas::{BlobStore, StoreError};
use futures::StreamExt;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

/// When something last moved, each way.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Towards this machine.
    pub(crate) down: Clock,
    /// Towards the server, with its answers to that.
    pub(crate) up: Clock,
}

/// When something last moved.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Mutex<Option<Instant>>,
}

/// Nothing has moved for so long.
#[derive(Debug, Error)]
#[error("nothing has come for {0:?}")]
pub(crate) struct Stalled(Duration);

impl Clock {
    /// Something moves.
    pub(crate) fn tick(&self) {
        *self.last.lock() = Some(Instant::now());
    }

    /// How long nothing has moved since `begun`.
    pub(crate) fn still(&self, begun: Instant) -> Duration {
        self.since(begun).elapsed()
    }

    /// Waits for `work` as long as something moves: whatever it is, so that many who share a slow network wait for each other.
    pub(crate) async fn while_moving<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Stalled> {
        let begun = Instant::now();
        let mut work = std::pin::pin!(work);
        loop {
            let until = self.since(begun) + patience;
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep_until(until) => if self.still(begun) >= patience {
                    return Err(Stalled(patience));
                }
            }
        }
    }

    fn since(&self, begun: Instant) -> Instant {
        self.last.lock().map_or(begun, |last| last.max(begun))
    }
}

/// Takes note of what moves to and from `inner`: pieces that are read, blobs that are taken, questions that are answered.
pub(crate) fn timed(inner: Arc<dyn BlobStore>, moves: Arc<Moves>) -> Arc<dyn BlobStore> {
    Arc::new(Timed { inner, moves })
}

struct Timed {
    inner: Arc<dyn BlobStore>,
    moves: Arc<Moves>,
}

impl Timed {
    fn read(&self, stream: BlobStream) -> BlobStream {
        let moves = self.moves.clone();
        stream
            .inspect(move |piece| {
                if piece.is_ok() {
                    moves.down.tick();
                }
            })
            .boxed()
    }
}

#[async_trait]
impl BlobStore for Timed {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let got = self.inner.get(digest, range).await?;
        self.moves.down.tick();
        Ok(got.map(|stream| self.read(stream)))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let blob = match blob.is_stream() {
            false => blob,
            true => {
                let (digest, moves) = (blob.digest(), self.moves.clone());
                // It is taken on only as fast as the server takes it.
                Blob::checked(digest, blob.into_stream().inspect(move |_| moves.up.tick()))
            }
        };
        self.inner.put(blob).await?;
        self.moves.up.tick();
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let missing = self.inner.find_missing(digests).await?;
        self.moves.up.tick();
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;
    use crate::service::FUNCTION;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_waited_for_and_what_does_not_is_not() {
        let clock = Clock::default();
        let begun = Instant::now();
        let stalled = clock.while_moving(SECOND, pending::<()>()).await;
        assert!(stalled.is_err());
        assert_eq!(begun.elapsed(), SECOND);
        // It takes long, and somebody else's bytes come meanwhile.
        let others = async {
            for _ in 0..10 {
                sleep(SECOND / 2).await;
                clock.tick();
            }
        };
        let (done, ()) = tokio::join!(clock.while_moving(SECOND, sleep(5 * SECOND)), others);
        assert!(done.is_ok());
        // What moved before it began is no reason to give up.
        sleep(10 * SECOND).await;
        assert!(clock.while_moving(SECOND, sleep(SECOND / 2)).await.is_ok());
    }

    #[tokio::test]
    async fn conforms() {
        cas::conformance::check(async || {
            cas::conformance::Fresh::of(timed(cas::memory(64 << 20), Arc::default()))
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_has_its_clock() {
        let moves = Arc::new(Moves::default());
        let store = timed(cas::memory(1 << 20), moves.clone());
        let begun = Instant::now();
        let still = || [&moves.down, &moves.up].map(|clock| clock.still(begun));
        let blob = || Blob::from_bytes(FUNCTION, "text");
        sleep(SECOND).await;
        store.put(blob()).await.unwrap();
        assert_eq!(still(), [SECOND, Duration::ZERO]);
        sleep(SECOND).await;
        assert!(
            store
                .get(&blob().digest(), ByteRange::FULL)
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(still(), [Duration::ZERO, SECOND]);
    }
}
