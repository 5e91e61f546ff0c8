//! A server in front of another one.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};

use crate::tee::filling;
use crate::{BlobStore, StoreError};

/// As [`overlaid`](crate::overlaid), and what is read from `upstream` as a whole is kept in `own` on the way: a proxy
/// near its clients, or the way from one server to another without a day on which nothing is cached. Writes go to `own`
/// only. While `upstream` fails, what `own` has is served and the rest is missing: builds go on, with less from the
/// cache.
pub fn pulled_through(own: Arc<dyn BlobStore>, upstream: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    Arc::new(PulledThrough { own, upstream })
}

struct PulledThrough {
    own: Arc<dyn BlobStore>,
    upstream: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for PulledThrough {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        if let Some(stream) = self.own.get(digest, range).await? {
            return Ok(Some(stream));
        }
        match self.upstream.get(digest, range).await {
            Ok(Some(stream)) if range.is_full(digest.size_bytes()) => {
                Ok(Some(filling(stream, *digest, self.own.clone())))
            }
            Ok(other) => Ok(other),
            Err(error @ StoreError::OutOfRange { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(%digest, %error, "the server behind this one failed; the blob counts as missing");
                Ok(None)
            }
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.own.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let missing = self.own.find_missing(digests).await?;
        if missing.is_empty() {
            return Ok(missing);
        }
        match self.upstream.find_missing(&missing).await {
            Ok(missing) => Ok(missing),
            Err(error) => {
                tracing::warn!(%error, "the server behind this one failed; what only it has counts as missing");
                Ok(missing)
            }
        }
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.own.get_zstd(digest, offset).await
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use futures::StreamExt;
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Faulty, Fresh};
    use crate::memory;

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(pulled_through(memory(64 << 20), memory(64 << 20)))
        }));
        block_on(conformance::check(async || {
            Fresh::of(pulled_through(memory(64 << 20), Faulty::always(memory(1))))
        }));
    }

    #[test]
    fn what_passes_by_stays_and_an_outage_is_a_miss() {
        let (own, behind) = (memory(1 << 20), memory(1 << 20));
        let upstream = Faulty::new(behind.clone());
        let store = pulled_through(own.clone(), upstream.clone());
        let blob = |bytes: &'static str| Blob::from_bytes(DigestFunction::Sha256, bytes);
        for bytes in ["read", "not read"] {
            block_on(behind.put(blob(bytes))).unwrap();
        }
        let both = ["read", "not read"]
            .map(|bytes| blob(bytes).digest())
            .into_iter()
            .collect();
        assert!(block_on(store.find_missing(&both)).unwrap().is_empty());
        let stream = block_on(store.get(&blob("read").digest(), ByteRange::FULL))
            .unwrap()
            .unwrap();
        assert_eq!(block_on(stream.count()), 1);
        upstream.fail(true);
        assert_eq!(
            block_on(store.find_missing(&both)).unwrap(),
            DigestSet::from(blob("not read").digest())
        );
        assert!(
            block_on(store.get(&blob("not read").digest(), ByteRange::FULL))
                .unwrap()
                .is_none()
        );
        block_on(store.put(blob("new"))).unwrap();
    }
}
