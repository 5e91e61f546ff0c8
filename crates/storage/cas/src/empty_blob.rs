//! The empty blob, which is always there.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::stream::{self, StreamExt};

use crate::{BlobStore, StoreError};

/// The empty blob of every digest function is present without ever being stored (checklist G6), so `inner` never
/// hears of it: no request, no entry, nothing that eviction could take away.
pub fn always_has_empty(inner: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    Arc::new(AlwaysHasEmpty { inner })
}

struct AlwaysHasEmpty {
    inner: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for AlwaysHasEmpty {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        if !digest.is_empty() {
            return self.inner.get(digest, range).await;
        }
        match range.within(0) {
            Some(_) => Ok(Some(stream::empty().boxed())),
            None => Err(StoreError::OutOfRange {
                digest: *digest,
                offset: range.offset,
            }),
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        if !blob.digest().is_empty() {
            return self.inner.put(blob).await;
        }
        // Bytes sent as the empty blob are still a mistake of the sender.
        blob.into_bytes(0).await?;
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        if !digests.iter().any(Digest::is_empty) {
            return self.inner.find_missing(digests).await;
        }
        self.inner
            .find_missing(
                &digests
                    .iter()
                    .filter(|digest| !digest.is_empty())
                    .copied()
                    .collect(),
            )
            .await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get_zstd(digest, offset).await
    }
}

#[cfg(test)]
mod tests {
    use blob::{BlobError, DigestFunction};
    use bytes::Bytes;
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::memory;

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(always_has_empty(memory(64 << 20)))
        }));
    }

    #[test]
    fn empty_blobs_are_there_from_the_start_and_never_reach_the_inner_store() {
        let inner = memory(1 << 20);
        let store = always_has_empty(inner.clone());
        for function in DigestFunction::ALL {
            let empty = Digest::empty(function);
            let other = Digest::of(function, b"absent");
            let asked = [empty, other].into_iter().collect();
            assert_eq!(
                block_on(store.find_missing(&asked)).unwrap(),
                DigestSet::from(other)
            );
            let stream = block_on(store.get(&empty, ByteRange::FULL)).unwrap().unwrap();
            assert_eq!(block_on(stream.count()), 0);
            block_on(store.put(Blob::from_bytes(function, ""))).unwrap();
            assert_eq!(block_on(inner.find_missing(&asked)).unwrap(), asked);
        }
    }

    #[test]
    fn bytes_sent_as_the_empty_blob_are_refused() {
        let store = always_has_empty(memory(1 << 20));
        let chunks = stream::iter([Ok::<_, BlobError>(Bytes::from_static(b"not nothing"))]);
        let blob = Blob::checked(Digest::empty(DigestFunction::Sha256), chunks);
        assert!(matches!(
            block_on(store.put(blob)),
            Err(StoreError::Blob(BlobError::WrongSize { .. }))
        ));
    }
}
