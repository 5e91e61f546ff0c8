//! A bound on the size of one blob.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};

use crate::{BlobStore, StoreError};

/// Refuses blobs of more than `size_bytes_max` bytes before a byte of them is read. What `inner` already holds
/// stays readable, so a lowered bound takes nothing away.
pub fn size_limited(inner: Arc<dyn BlobStore>, size_bytes_max: u64) -> Arc<dyn BlobStore> {
    Arc::new(SizeLimited {
        inner,
        size_bytes_max,
    })
}

struct SizeLimited {
    inner: Arc<dyn BlobStore>,
    size_bytes_max: u64,
}

#[async_trait]
impl BlobStore for SizeLimited {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        if digest.size_bytes() > self.size_bytes_max {
            return Err(StoreError::TooLarge {
                digest,
                size_bytes_max: self.size_bytes_max,
            });
        }
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.inner.find_missing(digests).await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get_zstd(digest, offset).await
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::memory;

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(size_limited(memory(64 << 20), 16 << 20))
        }));
    }

    #[test]
    fn exactly_the_bound_passes_and_one_byte_more_does_not() {
        let inner = memory(1 << 20);
        let store = size_limited(inner.clone(), 5);
        block_on(store.put(Blob::from_bytes(DigestFunction::Sha256, "12345"))).unwrap();
        let refused = block_on(store.put(Blob::from_bytes(DigestFunction::Sha256, "123456")));
        assert!(matches!(
            refused,
            Err(StoreError::TooLarge {
                size_bytes_max: 5,
                ..
            })
        ));
        let long = DigestSet::from(Digest::of(DigestFunction::Sha256, b"123456"));
        assert_eq!(block_on(inner.find_missing(&long)).unwrap(), long);
    }
}
