//! One's own blobs over somebody else's.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};

use crate::{BlobStore, StoreError};

/// Reads go to `own` and, on a miss, to `base`; writes go to `own` only, so that what a pull request builds is never
/// seen by those who read `base`. A blob that `base` has need not be uploaded. When `base` fails, what `own` has is
/// still served, and a question about the rest fails.
pub fn overlaid(own: Arc<dyn BlobStore>, base: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    Arc::new(Overlaid { own, base })
}

struct Overlaid {
    own: Arc<dyn BlobStore>,
    base: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for Overlaid {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        match self.own.get(digest, range).await? {
            Some(stream) => Ok(Some(stream)),
            None => self.base.get(digest, range).await,
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.own.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        // One after the other on purpose: what is in `own` need not be promised by `base` as well.
        let missing = self.own.find_missing(digests).await?;
        if missing.is_empty() {
            return Ok(missing);
        }
        self.base.find_missing(&missing).await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        match self.own.get_zstd(digest, offset).await? {
            Some(stream) => Ok(Some(stream)),
            None => self.base.get_zstd(digest, offset).await,
        }
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
            Fresh::of(overlaid(memory(64 << 20), memory(64 << 20)))
        }));
    }

    #[test]
    fn the_base_is_read_and_never_written() {
        let (own, base) = (memory(1 << 20), memory(1 << 20));
        let blob = |bytes: &'static str| Blob::from_bytes(DigestFunction::Sha256, bytes);
        block_on(base.put(blob("of base"))).unwrap();
        let store = overlaid(own.clone(), base.clone());
        block_on(store.put(blob("mine"))).unwrap();
        for bytes in ["of base", "mine"] {
            assert!(
                block_on(store.get(&blob(bytes).digest(), ByteRange::FULL))
                    .unwrap()
                    .is_some()
            );
        }
        let both = ["of base", "mine", "nobody's"]
            .map(|bytes| blob(bytes).digest())
            .into_iter()
            .collect();
        assert_eq!(
            block_on(store.find_missing(&both)).unwrap(),
            DigestSet::from(blob("nobody's").digest())
        );
        let mine = DigestSet::from(blob("mine").digest());
        assert_eq!(block_on(base.find_missing(&mine)).unwrap(), mine);
    }
}
