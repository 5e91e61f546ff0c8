//! Reads a small blob into memory.

use blob::{BlobError, ByteRange, Digest};
use bytes::{Bytes, BytesMut};
use cas::{BlobStore, StoreError};
use futures::TryStreamExt;

/// The bytes of a blob the caller knows to be small; `None` is a miss. A store that yields another number of bytes
/// than the digest says is in error, never believed. The hash is the store's business.
pub(crate) async fn read(store: &dyn BlobStore, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
    let Some(mut chunks) = store.get(digest, ByteRange::FULL).await? else {
        return Ok(None);
    };
    let size_bytes = digest.size_bytes();
    let mut bytes = chunks.try_next().await?.unwrap_or_default();
    if (bytes.len() as u64) < size_bytes {
        let mut joined = BytesMut::with_capacity(size_bytes as usize);
        joined.extend_from_slice(&bytes);
        while let Some(chunk) = chunks.try_next().await? {
            joined.extend_from_slice(&chunk);
            if joined.len() as u64 > size_bytes {
                break;
            }
        }
        bytes = joined.freeze();
    } else if let Some(more) = chunks.try_next().await?
        && !more.is_empty()
    {
        return Err(wrong_size(digest, (bytes.len() + more.len()) as u64));
    }
    if bytes.len() as u64 != size_bytes {
        return Err(wrong_size(digest, bytes.len() as u64));
    }
    Ok(Some(bytes))
}

fn wrong_size(digest: &Digest, size_bytes: u64) -> StoreError {
    BlobError::WrongSize {
        expected: *digest,
        size_bytes,
    }
    .into()
}
