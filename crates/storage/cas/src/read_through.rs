//! A fast store in front of a slow one.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};

use crate::tee::{filling, put_both};
use crate::{BlobStore, StoreError};

/// `slow` is the truth; `fast` holds copies of what was asked for lately.
///
/// Reads go to `fast`; a miss streams from `slow` to the reader and into `fast` at the same time. Only a read of the
/// whole fills `fast`: a part says nothing of the rest. Writes go to both in one pass and are acknowledged by `slow`.
/// Questions go to `slow`, whose promise counts. Whatever goes wrong with `fast` harms nobody.
pub fn read_through(fast: Arc<dyn BlobStore>, slow: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    Arc::new(ReadThrough { fast, slow })
}

struct ReadThrough {
    fast: Arc<dyn BlobStore>,
    slow: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for ReadThrough {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        match self.fast.get(digest, range).await {
            Ok(Some(stream)) => return Ok(Some(stream)),
            Ok(None) => {}
            Err(error @ StoreError::OutOfRange { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%digest, %error, "the fast store failed; reading from the slow one")
            }
        }
        let Some(stream) = self.slow.get(digest, range).await? else {
            return Ok(None);
        };
        if !range.is_full(digest.size_bytes()) {
            return Ok(Some(stream));
        }
        Ok(Some(filling(stream, *digest, self.fast.clone())))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let (fast, slow) = put_both(blob, &*self.fast, &*self.slow).await;
        if let Err(error) = fast {
            tracing::debug!(%digest, %error, "the fast store did not take a blob");
        }
        slow
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.slow.find_missing(digests).await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        match self.fast.get_zstd(digest, offset).await {
            Ok(Some(stream)) => Ok(Some(stream)),
            // Read plainly instead, so that the fast store is filled.
            Ok(None) | Err(_) => Ok(None),
        }
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

    fn blob(seed: u8, size: usize) -> Blob {
        Blob::from_bytes(DigestFunction::Sha256, vec![seed; size])
    }

    fn holds(store: &Arc<dyn BlobStore>, digest: Digest) -> bool {
        block_on(store.find_missing(&DigestSet::from(digest)))
            .unwrap()
            .is_empty()
    }

    async fn read(store: &dyn BlobStore, digest: &Digest, range: ByteRange) -> usize {
        let mut stream = store.get(digest, range).await.unwrap().unwrap();
        let mut bytes = 0;
        while let Some(piece) = stream.next().await {
            bytes += piece.unwrap().len();
        }
        bytes
    }

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(read_through(memory(64 << 20), memory(64 << 20)))
        }));
        block_on(conformance::check(async || {
            Fresh::of(read_through(memory(1 << 20), memory(64 << 20)))
        }));
    }

    #[test]
    fn a_whole_read_fills_the_fast_store_and_a_part_does_not() {
        let (fast, slow) = (memory(16 << 20), memory(16 << 20));
        let store = read_through(fast.clone(), slow.clone());
        let digest = blob(1, 5000).digest();
        block_on(slow.put(blob(1, 5000))).unwrap();
        let part = ByteRange {
            offset: 1,
            limit: Some(10),
        };
        assert_eq!(block_on(read(&*store, &digest, part)), 10);
        assert!(!holds(&fast, digest));
        // Nor does a read that ends early.
        let stream = block_on(store.get(&digest, ByteRange::FULL)).unwrap();
        drop(stream);
        assert!(!holds(&fast, digest));
        assert_eq!(block_on(read(&*store, &digest, ByteRange::FULL)), 5000);
        assert!(holds(&fast, digest));
    }

    #[test]
    fn the_slow_store_decides_and_the_fast_one_may_fail() {
        let slow = memory(16 << 20);
        let store = read_through(Faulty::always(memory(16 << 20)), slow.clone());
        block_on(store.put(blob(2, 300_000))).unwrap();
        let digest = blob(2, 300_000).digest();
        assert!(holds(&slow, digest));
        assert_eq!(block_on(read(&*store, &digest, ByteRange::FULL)), 300_000);
        let store = read_through(memory(16 << 20), Faulty::always(slow));
        assert!(block_on(store.put(blob(3, 10))).is_err());
        assert!(block_on(store.find_missing(&DigestSet::from(digest))).is_err());
    }
}
