//! Whole blobs and whole trees, to and from any store.

use blob::{Blob, BlobError, ByteRange, Digest, DigestSet};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use merkle::{BuiltTree, Directory, DirectoryError, InputTree, Walk, WalkError};
use thiserror::Error;

use crate::{BlobStore, StoreError};

/// Largest encoded `Directory` that is read into memory: room for a few hundred thousand entries.
pub const DIRECTORY_BYTES_MAX: u64 = 32 << 20;
/// Requests to the store at the same time, for one tree. A store that batches turns them into few calls.
const REQUESTS_IN_FLIGHT_MAX: usize = 64;

/// Why a tree could not be fetched. Missing directories are not an error: see [`fetch_input_tree`].
#[derive(Clone, Debug, Error)]
pub enum TreeError {
    /// The store failed, or the directory is larger than [`DIRECTORY_BYTES_MAX`].
    #[error("fetching directory {digest}: {source}")]
    Store {
        /// The directory.
        digest: Digest,
        /// What happened.
        source: StoreError,
    },
    /// A blob that should be a directory is not one, or not a canonical one.
    #[error("blob {digest} is not a valid Directory: {source}")]
    Directory {
        /// The blob.
        digest: Digest,
        /// What is wrong with it.
        source: DirectoryError,
    },
    /// The tree is beyond what is handled here.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

/// What [`upload_missing`] had to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Blobs that were not there.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A whole blob in memory, proven to match its digest whoever the store is. `None` is a miss, also when the blob
/// turned out to be damaged half way: nothing of it has been used, and its store has dropped it.
pub async fn read_all(
    store: &dyn BlobStore,
    digest: &Digest,
    size_bytes_max: u64,
) -> Result<Option<Bytes>, StoreError> {
    if digest.size_bytes() > size_bytes_max {
        return Err(BlobError::TooLarge {
            digest: *digest,
            size_bytes_max,
        }
        .into());
    }
    let Some(stream) = store.get(digest, ByteRange::FULL).await? else {
        return Ok(None);
    };
    match Blob::checked(*digest, stream).into_bytes(size_bytes_max).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(BlobError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Every directory under `root`, level by level, each distinct one fetched once. Directories that are not in the
/// store are collected in [`InputTree::missing`] rather than failing at the first, so that all of them can be named
/// at once (checklist E3). File contents are neither fetched nor looked for.
pub async fn fetch_input_tree(store: &dyn BlobStore, root: Digest) -> Result<InputTree, TreeError> {
    let mut walk = Walk::new(root);
    while !walk.is_done() {
        let mut level = stream::iter(walk.wanted())
            .map(|digest| async move { (digest, fetch_directory(store, digest).await) })
            .buffer_unordered(REQUESTS_IN_FLIGHT_MAX);
        while let Some((digest, directory)) = level.next().await {
            match directory? {
                Some(directory) => walk.supply(digest, directory)?,
                None => walk.missing(digest)?,
            }
        }
    }
    Ok(walk.finish()?)
}

/// One directory, decoded and checked. `None` is a miss.
pub async fn fetch_directory(store: &dyn BlobStore, digest: Digest) -> Result<Option<Directory>, TreeError> {
    let bytes = read_all(store, &digest, DIRECTORY_BYTES_MAX)
        .await
        .map_err(|source| TreeError::Store { digest, source })?;
    bytes
        .map(|bytes| Directory::decode(digest.function(), &bytes))
        .transpose()
        .map_err(|source| TreeError::Directory { digest, source })
}

/// Puts the directories of a tree that the store lacks. The contents of its files are the caller's to upload.
pub async fn upload_tree(store: &dyn BlobStore, tree: &BuiltTree) -> Result<Uploaded, StoreError> {
    upload_missing(store, tree.blobs().collect()).await
}

/// Puts the blobs that the store lacks: one question for all of them, then the answers.
pub async fn upload_missing(store: &dyn BlobStore, blobs: Vec<Blob>) -> Result<Uploaded, StoreError> {
    let missing = store
        .find_missing(&blobs.iter().map(Blob::digest).collect::<DigestSet>())
        .await?;
    let uploaded = Uploaded {
        blobs: missing.len() as u64,
        bytes: missing.iter().map(Digest::size_bytes).sum(),
    };
    let mut to_do = missing.into_iter().collect::<std::collections::HashSet<_>>();
    // Given twice, put once.
    let blobs = blobs
        .into_iter()
        .filter(|blob| to_do.remove(&blob.digest()))
        .collect::<Vec<_>>();
    stream::iter(blobs.into_iter().map(|blob| store.put(blob)))
        .buffer_unordered(REQUESTS_IN_FLIGHT_MAX)
        .try_collect::<()>()
        .await?;
    Ok(uploaded)
}

#[cfg(test)]
mod tests;
