//! Small blobs here, large ones there.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::future;

use crate::{BlobStore, StoreError};

/// Blobs of less than `at` bytes are kept in `small`, the others in `large`. The size is part of the digest, so every
/// call knows where to go; a changed `at` hides what lies on the other side of it.
pub fn size_split(small: Arc<dyn BlobStore>, large: Arc<dyn BlobStore>, at: u64) -> Arc<dyn BlobStore> {
    Arc::new(SizeSplit { small, large, at })
}

struct SizeSplit {
    small: Arc<dyn BlobStore>,
    large: Arc<dyn BlobStore>,
    at: u64,
}

impl SizeSplit {
    fn home(&self, digest: &Digest) -> &dyn BlobStore {
        if digest.size_bytes() < self.at {
            &*self.small
        } else {
            &*self.large
        }
    }
}

#[async_trait]
impl BlobStore for SizeSplit {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.home(digest).get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.home(&blob.digest()).put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let is_small = |digest: &&Digest| digest.size_bytes() < self.at;
        let small: DigestSet = digests.iter().filter(is_small).copied().collect();
        let large = digests.difference(&small);
        let ask = async |store: &Arc<dyn BlobStore>, digests: &DigestSet| match digests.is_empty() {
            true => Ok(DigestSet::default()),
            false => store.find_missing(digests).await,
        };
        let (small, large) = future::try_join(ask(&self.small, &small), ask(&self.large, &large)).await?;
        Ok(small.union(&large))
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.home(digest).get_zstd(digest, offset).await
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
            Fresh::of(size_split(memory(64 << 20), memory(64 << 20), 65_536))
        }));
    }

    #[test]
    fn the_size_tells_where_a_blob_is() {
        let (small, large) = (memory(1 << 20), memory(1 << 20));
        let store = size_split(small.clone(), large.clone(), 5);
        for (bytes, is_small) in [("1234", true), ("12345", false)] {
            let blob = Blob::from_bytes(DigestFunction::Sha256, bytes);
            let digest = DigestSet::from(blob.digest());
            block_on(store.put(blob)).unwrap();
            assert_eq!(
                block_on(small.find_missing(&digest)).unwrap().is_empty(),
                is_small
            );
            assert_eq!(
                block_on(large.find_missing(&digest)).unwrap().is_empty(),
                !is_small
            );
        }
    }
}
