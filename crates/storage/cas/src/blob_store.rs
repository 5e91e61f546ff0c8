//! PORT 1: what a store of blobs must do.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, ByteRange, Digest, DigestSet};
use thiserror::Error;

/// Content-addressable storage. Everything that holds blobs implements this and passes
/// [`conformance`](crate::conformance); every feature around it is a decorator.
///
/// Dropping a call's future, or the stream it returned, is always safe and leaves nothing half-done.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// The bytes of `range`, which must start inside the blob or at its end. `None` is a miss, an ordinary
    /// answer. Damage that is found before the first byte is a miss too; found later, it is an error of the stream,
    /// never wrong bytes and never a quiet end.
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError>;

    /// Visible only if the whole body arrived and matched. Idempotent: putting what is there already is fine and
    /// refreshes its life.
    async fn put(&self, blob: Blob) -> Result<(), StoreError>;

    /// Exactly those that are not here. Whatever is not in the answer is promised: it stays readable for the build
    /// that asked (see [`Invocation`](crate::Invocation)), as what was just put does.
    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError>;

    /// The bytes from `offset` on as a sequence of complete zstd frames, for a store that holds them so and can give
    /// them without compressing anything. `None` says only that: the blob is read by [`get`](Self::get) then, which
    /// also tells a miss. What is damaged ends as in `get`. Decorators hand it on where that keeps their promise.
    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        let (_, _) = (digest, offset);
        Ok(None)
    }
}

/// Why a store could not do what was asked. A miss is not an error.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The body did not match its digest, or its source failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The blob is larger than this store takes.
    #[error("blob {digest} has {} bytes; this store takes at most {size_bytes_max}", digest.size_bytes())]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// The store's bound.
        size_bytes_max: u64,
    },
    /// No room, and nothing that may be evicted.
    #[error("no space for {size_bytes} more bytes: {reason}")]
    NoSpace {
        /// What was to be written.
        size_bytes: u64,
        /// What stands in the way and what to do.
        reason: String,
    },
    /// The store takes nothing new.
    #[error("this store is read-only and does not have {digest}")]
    ReadOnly {
        /// The blob, or the action whose result it is.
        digest: Digest,
    },
    /// The range starts past the end of the blob.
    #[error("offset {offset} is past the end of blob {digest}")]
    OutOfRange {
        /// The blob.
        digest: Digest,
        /// The start asked for.
        offset: u64,
    },
    /// The store cannot be reached just now; trying again may help.
    #[error("storage is unavailable: {reason}")]
    Unavailable {
        /// What failed, on what.
        reason: String,
    },
    /// The disk or the system failed.
    #[error("storage failed: {what}: {source}")]
    Io {
        /// What was being done, on what.
        what: String,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
}

impl StoreError {
    /// An I/O failure while doing `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        StoreError::Io {
            what: what.into(),
            source: Arc::new(source),
        }
    }
}
