//! A store that fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};

use crate::{BlobStore, StoreError};

/// Passes everything on, or says that it is unavailable.
pub struct Faulty {
    inner: Arc<dyn BlobStore>,
    fails: AtomicBool,
}

impl Faulty {
    /// Well until it is told otherwise.
    pub fn new(inner: Arc<dyn BlobStore>) -> Arc<Self> {
        Arc::new(Faulty {
            inner,
            fails: AtomicBool::new(false),
        })
    }

    /// Never well.
    pub fn always(inner: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
        let faulty = Faulty::new(inner);
        faulty.fail(true);
        faulty
    }

    /// Whether calls fail from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable {
                reason: "on purpose".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl BlobStore for Faulty {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.check()?;
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.check()?;
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.check()?;
        self.inner.find_missing(digests).await
    }
}
