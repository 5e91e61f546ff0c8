//! A store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;

use crate::{BlobStore, Lru, StoreError};

/// What an entry costs beside its bytes, roughly: its slot, its place in the map, its allocation. Counted, so that
/// a million tiny blobs stay within the bound too.
const ENTRY_BYTES: u64 = 256;
/// Digests looked up under one lock, so that a large batch does not hold up everybody else.
const DIGESTS_PER_LOCK: usize = 1024;

/// A store in memory that holds at most `capacity_bytes`, entries included, and drops what was used longest ago.
/// Nothing survives a restart. A body that is still arriving is not counted: whoever admits requests bounds those.
pub fn memory(capacity_bytes: u64) -> Arc<dyn BlobStore> {
    Arc::new(Memory {
        capacity_bytes,
        blobs: Mutex::new(Lru::new()),
    })
}

struct Memory {
    capacity_bytes: u64,
    blobs: Mutex<Lru<Digest, Bytes>>,
}

#[async_trait]
impl BlobStore for Memory {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let Some(bytes) = self.blobs.lock().get(digest).cloned() else {
            return Ok(None);
        };
        let Some(range) = range.within(digest.size_bytes()) else {
            return Err(StoreError::OutOfRange {
                digest: *digest,
                offset: range.offset,
            });
        };
        // Both ends lie inside bytes that are in memory.
        let bytes = bytes.slice(range.start as usize..range.end as usize);
        Ok(Some(
            stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed(),
        ))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let size_bytes_max = self.capacity_bytes.saturating_sub(ENTRY_BYTES);
        if digest.size_bytes() > size_bytes_max {
            return Err(StoreError::TooLarge {
                digest,
                size_bytes_max,
            });
        }
        if self.blobs.lock().get(&digest).is_some() {
            return Ok(());
        }
        let bytes = blob.into_bytes(size_bytes_max).await?;
        // Copied on purpose: what arrives is often a small window of a large receive buffer, which keeping the
        // window would keep too.
        let bytes = Bytes::copy_from_slice(&bytes);
        let mut blobs = self.blobs.lock();
        blobs.insert(digest, bytes, digest.size_bytes() + ENTRY_BYTES);
        while blobs.weight() > self.capacity_bytes {
            blobs.pop_oldest();
        }
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let mut missing = Vec::new();
        for digests in digests.as_slice().chunks(DIGESTS_PER_LOCK) {
            let mut blobs = self.blobs.lock();
            missing.extend(
                digests
                    .iter()
                    .filter(|digest| blobs.get(digest).is_none())
                    .copied(),
            );
        }
        Ok(missing.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};

    #[test]
    fn conforms() {
        block_on(conformance::check(async || Fresh::of(memory(64 << 20))));
    }

    #[test]
    fn conforms_when_bounded() {
        block_on(conformance::check_bounded(
            async |capacity_bytes| Fresh::of(memory(capacity_bytes)),
            4 << 20,
        ));
    }

    #[test]
    fn a_blob_larger_than_the_store_is_refused_before_it_is_read() {
        let store = memory(1000);
        let digest = Digest::of(blob::DigestFunction::Sha256, &[7; 2000]);
        let unread = Blob::checked(
            digest,
            stream::poll_fn(|_| -> Poll<Option<Result<Bytes, std::io::Error>>> {
                panic!("a byte was asked for")
            }),
        );
        assert!(matches!(
            block_on(store.put(unread)),
            Err(StoreError::TooLarge {
                size_bytes_max: 744,
                ..
            })
        ));
    }
}
