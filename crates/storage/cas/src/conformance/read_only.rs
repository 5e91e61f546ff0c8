//! Checks of stores that take nothing new: what is behind them reads as anywhere else, and stays as it is.

use async_trait::async_trait;
use blob::BlobStream;

use super::*;

/// A store that takes nothing, over one that holds nothing yet.
pub struct FreshReadOnly {
    /// As everybody sees it.
    pub store: Arc<dyn BlobStore>,
    /// What is behind it, as its owner sees it.
    pub behind: Arc<dyn BlobStore>,
    /// What must live as long; dropped after the check.
    pub keep: Box<dyn Any>,
}

/// Checks everything that holds for every store that takes nothing. Each check gets a store of its own; see
/// [`check`](super::check) for what the one behind it must hold.
pub async fn check_read_only(fresh: impl AsyncFn() -> FreshReadOnly) {
    // Whatever is put behind it is seen through it, as the whole contract wants.
    check(async || {
        let FreshReadOnly { store, behind, keep } = fresh().await;
        Fresh {
            store: Arc::new(FilledBehind { store, behind }),
            keep,
        }
    })
    .await;
    nothing_new_is_taken(&fresh().await).await;
}

async fn nothing_new_is_taken(fresh: &FreshReadOnly) {
    let FreshReadOnly { store, behind, .. } = fresh;
    let bytes = bytes_of(1, 100_000);
    let there = Blob::from_bytes(F, bytes.clone()).digest();
    for size_bytes in [10, 100_000, 2_500_000] {
        let new = bytes_of(2, size_bytes);
        let digest = Digest::of(F, &new);
        for blob in [
            Blob::from_bytes(F, new.clone()),
            Blob::checked(digest, cut(new, 10_000)),
        ] {
            let refused = store.put(blob).await;
            assert!(
                matches!(refused, Err(StoreError::ReadOnly { .. })),
                "a new blob gave {refused:?}"
            );
            assert_absent(&**store, &digest, "refused").await;
            assert_absent(&**behind, &digest, "refused, behind it").await;
        }
    }
    behind
        .put(Blob::from_bytes(F, bytes.clone()))
        .await
        .expect("its owner may");
    // As a client does that has not asked.
    store
        .put(Blob::from_bytes(F, bytes.clone()))
        .await
        .expect("what is there may be put again");
    assert_present(&**store, &there, &bytes, "after refusals").await;
}

/// Writes go behind, everything else goes through.
struct FilledBehind {
    store: Arc<dyn BlobStore>,
    behind: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for FilledBehind {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.store.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.behind.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.store.find_missing(digests).await
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.store.get_zstd(digest, offset).await
    }
}
