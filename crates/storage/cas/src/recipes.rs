//! PORT 7: blobs made of other blobs (ADR 0009).

use async_trait::async_trait;
use blob::{Digest, DigestSet};
use thiserror::Error;

use crate::StoreError;

/// How a blob was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkingFunction {
    /// Nobody said.
    #[default]
    Unknown,
    /// FastCDC, 2020 version.
    FastCdc2020,
    /// RepMaxCDC.
    RepMaxCdc,
}

/// Blobs whose concatenation, in this order, is another blob. All have the digest function of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The pieces, in order; one may occur several times.
    pub chunks: Vec<Digest>,
    /// What cut them.
    pub chunking_function: ChunkingFunction,
}

/// A store that can hold a blob as the list of its chunks, each a blob like any other, so that two versions of a
/// large file share what they have in common (checklist 1.5).
#[async_trait]
pub trait Recipes: Send + Sync + 'static {
    /// The chunks of `blob`. All of them and the blob itself are promised, as by an answer of
    /// [`find_missing`](crate::BlobStore::find_missing). `None` if the blob is not here, is not known in chunks, or a
    /// chunk has gone.
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError>;

    /// Makes `blob` present as what its chunks give, after reading and hashing them: the caller is never believed. A
    /// blob that is here as a whole becomes known in chunks; one that is known in chunks is refreshed and stays as it is.
    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError>;
}

/// Why a blob could not be made of chunks.
#[derive(Clone, Debug, Error)]
pub enum SpliceError {
    /// These have to be uploaded first.
    #[error("{} of the chunks are not here", .0.len())]
    MissingChunks(DigestSet),
    /// A [`StoreError::Blob`] among them says that the chunks do not give the blob.
    #[error(transparent)]
    Store(#[from] StoreError),
}
