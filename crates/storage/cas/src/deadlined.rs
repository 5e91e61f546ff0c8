//! An end to every wait for a store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::stream::{self, StreamExt};

use crate::{BlobStore, StoreError};

/// How long a store may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For an answer: to a question, or up to the first byte of a read.
    pub answer: Duration,
    /// For each next piece of a read. The time that a reader takes between pieces does not count.
    pub piece: Duration,
    /// For a write, its body's arrival included: long enough for the largest blob at the slowest rate.
    pub write: Duration,
}

/// Gives up on `inner` where it takes too long, with [`StoreError::Unavailable`]: a store that hangs becomes one that is
/// down, which decorators around it know how to treat.
pub fn deadlined(inner: Arc<dyn BlobStore>, deadlines: Deadlines) -> Arc<dyn BlobStore> {
    Arc::new(Deadlined { inner, deadlines })
}

struct Deadlined {
    inner: Arc<dyn BlobStore>,
    deadlines: Deadlines,
}

fn late(what: &str, limit: Duration) -> String {
    format!("{what} took longer than {limit:?}")
}

async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable {
            reason: late(what, limit),
        }),
    }
}

impl Deadlined {
    fn pieces(&self, stream: BlobStream) -> BlobStream {
        let limit = self.deadlines.piece;
        stream::unfold(Some(stream), move |stream| async move {
            let mut stream = stream?;
            match tokio::time::timeout(limit, stream.next()).await {
                Ok(item) => item.map(|item| (item, Some(stream))),
                Err(_) => {
                    let error =
                        std::io::Error::new(std::io::ErrorKind::TimedOut, late("the next piece", limit));
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
        let got = within(
            self.deadlines.answer,
            "reading a blob",
            self.inner.get(digest, range),
        )
        .await?;
        Ok(got.map(|stream| self.pieces(stream)))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        within(self.deadlines.write, "storing a blob", self.inner.put(blob)).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        within(
            self.deadlines.answer,
            "looking for blobs",
            self.inner.find_missing(digests),
        )
        .await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        let got = within(
            self.deadlines.answer,
            "reading a blob",
            self.inner.get_zstd(digest, offset),
        )
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
            piece: SECOND,
            write: 10 * SECOND,
        };
        deadlined(inner, deadlines)
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
