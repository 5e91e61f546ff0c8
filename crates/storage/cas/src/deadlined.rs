//! An end to every wait for a store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::stream::{self, StreamExt};

use crate::{BlobStore, Patience, StoreError};

/// How long a store may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For an answer: to a question, or up to the first byte of a read.
    pub answer: Duration,
    /// For a write whose body is in memory.
    pub write: Duration,
    /// For each next piece of a read. The time that a reader takes between pieces does not count.
    pub piece: Duration,
    /// For a write of a stream, its arrival included: long enough for the largest blob at the slowest rate.
    pub stream: Duration,
}

/// Gives up on `inner` where it takes too long, with [`StoreError::Unavailable`]: a store that hangs becomes one that is
/// down, which decorators around it know how to treat, and which is left alone for a while ([`Patience`]).
pub fn deadlined(
    inner: Arc<dyn BlobStore>,
    patience: Arc<Patience>,
    deadlines: Deadlines,
) -> Arc<dyn BlobStore> {
    Arc::new(Deadlined {
        inner,
        patience,
        deadlines,
    })
}

struct Deadlined {
    inner: Arc<dyn BlobStore>,
    patience: Arc<Patience>,
    deadlines: Deadlines,
}

impl Deadlined {
    fn pieces(&self, stream: BlobStream) -> BlobStream {
        let (limit, patience) = (self.deadlines.piece, self.patience.clone());
        stream::unfold(Some((stream, patience)), move |state| async move {
            let (mut stream, patience) = state?;
            match tokio::time::timeout(limit, stream.next()).await {
                Ok(item) => item.map(|item| (item, Some((stream, patience)))),
                Err(_) => {
                    let late = patience.late("the next piece", limit);
                    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, late);
                    Some((Err(error.into()), None))
                }
            }
        })
        .boxed()
    }
}

#[async_trait]
impl BlobStore for Deadlined {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let reading = self.inner.get(digest, range);
        let got = self
            .patience
            .answer(self.deadlines.answer, "reading a blob", reading)
            .await?;
        Ok(got.map(|stream| self.pieces(stream)))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let Deadlines { write, stream, .. } = self.deadlines;
        let is_stream = blob.is_stream();
        let storing = self.inner.put(blob);
        match is_stream {
            // Its sender may be the slow one.
            true => self.patience.within(stream, "storing a blob", storing).await,
            false => self.patience.answer(write, "storing a blob", storing).await,
        }
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let looking = self.inner.find_missing(digests);
        self.patience
            .answer(self.deadlines.answer, "looking for blobs", looking)
            .await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        let reading = self.inner.get_zstd(digest, offset);
        let got = self
            .patience
            .answer(self.deadlines.answer, "reading a blob", reading)
            .await?;
        Ok(got.map(|stream| self.pieces(stream)))
    }
}

#[cfg(test)]
mod tests {
    use blob::{BlobError, DigestFunction};
    use bytes::Bytes;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::memory;

    const SECOND: Duration = Duration::from_secs(1);

    fn decorated(inner: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
        let deadlines = Deadlines {
            answer: SECOND,
            write: 5 * SECOND,
            piece: SECOND,
            stream: 10 * SECOND,
        };
        deadlined(inner, Patience::new("a slow store", Duration::ZERO), deadlines)
    }

    /// Answers late, and sends a first piece and then nothing.
    struct Slow(Duration);

    #[async_trait]
    impl BlobStore for Slow {
        async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
            tokio::time::sleep(self.0).await;
            let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
            Ok(Some(first.chain(stream::pending()).boxed()))
        }

        async fn put(&self, blob: Blob) -> Result<(), StoreError> {
            blob.into_bytes(100).await?;
            Ok(())
        }

        async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
            tokio::time::sleep(self.0).await;
            Ok(digests.clone())
        }
    }

    #[tokio::test]
    async fn conforms() {
        conformance::check(async || Fresh::of(decorated(memory(64 << 20)))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_a_store_that_is_down() {
        let digest = Digest::of(DigestFunction::Sha256, b"something");
        let store = decorated(Arc::new(Slow(SECOND * 2)));
        let unavailable = |error: StoreError| matches!(error, StoreError::Unavailable { .. });
        assert!(store.get(&digest, ByteRange::FULL).await.is_err_and(unavailable));
        assert!(
            store
                .find_missing(&DigestSet::from(digest))
                .await
                .is_err_and(unavailable)
        );
        let never = Blob::checked(digest, stream::pending::<Result<Bytes, BlobError>>());
        assert!(store.put(never).await.is_err_and(unavailable));

        let store = decorated(Arc::new(Slow(SECOND / 2)));
        let mut stream = store.get(&digest, ByteRange::FULL).await.unwrap().unwrap();
        // A reader that takes its time is not the store's fault.
        tokio::time::sleep(SECOND * 10).await;
        assert_eq!(stream.next().await.unwrap().unwrap(), "first");
        tokio::time::sleep(SECOND * 10).await;
        assert!(matches!(stream.next().await, Some(Err(BlobError::Io(_)))));
        assert!(stream.next().await.is_none());
    }
}
