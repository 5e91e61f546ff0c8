//! A store that takes nothing new.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};

use crate::{BlobStore, StoreError};

/// Reads and questions pass; blobs that are not there already are refused. A blob that is there may be put again, as a
/// client does that does not know: nothing changes.
pub fn read_only(inner: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    Arc::new(ReadOnly { inner })
}

struct ReadOnly {
    inner: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for ReadOnly {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        match self
            .inner
            .find_missing(&DigestSet::from(digest))
            .await?
            .is_empty()
        {
            true => Ok(()),
            false => Err(StoreError::ReadOnly { digest }),
        }
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
    use crate::memory;

    #[test]
    fn what_is_there_can_be_read_and_nothing_is_added() {
        let inner = memory(1 << 20);
        let blob = |bytes: &'static str| Blob::from_bytes(DigestFunction::Sha256, bytes);
        block_on(inner.put(blob("there"))).unwrap();
        let store = read_only(inner.clone());
        assert!(
            block_on(store.get(&blob("there").digest(), ByteRange::FULL))
                .unwrap()
                .is_some()
        );
        block_on(store.put(blob("there"))).unwrap();
        let refused = block_on(store.put(blob("new"))).unwrap_err();
        assert!(refused.to_string().contains("read-only"), "{refused}");
        let new = DigestSet::from(blob("new").digest());
        assert_eq!(block_on(inner.find_missing(&new)).unwrap(), new);
    }
}
