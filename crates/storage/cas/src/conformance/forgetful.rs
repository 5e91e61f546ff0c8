//! A store that loses what it is told to, as eviction and damage do.

use std::collections::HashSet;

use async_trait::async_trait;
use blob::BlobStream;
use parking_lot::Mutex;

use super::*;

/// For checks of what stands on other blobs: a lost blob is a miss until it is put again.
pub struct Forgetful {
    inner: Arc<dyn BlobStore>,
    lost: Mutex<HashSet<Digest>>,
}

impl Forgetful {
    /// Loses nothing yet.
    pub fn over(inner: Arc<dyn BlobStore>) -> Self {
        Forgetful {
            inner,
            lost: Mutex::default(),
        }
    }

    /// Loses a blob.
    pub fn lose(&self, digest: Digest) {
        self.lost.lock().insert(digest);
    }
}

#[async_trait]
impl BlobStore for Forgetful {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        if self.lost.lock().contains(digest) {
            return Ok(None);
        }
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        self.inner.put(blob).await?;
        self.lost.lock().remove(&digest);
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let missing = self.inner.find_missing(digests).await?;
        let lost = self.lost.lock();
        let lost = digests.iter().filter(|digest| lost.contains(digest));
        Ok(missing.union(&lost.copied().collect()))
    }
}
