//! Blobs kept as lists of their chunks, over any store.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, ByteRange, Digest, DigestSet};
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use crate::{BlobStore, Lru, Recipe, Recipes, SpliceError, StoreError};

/// What a recipe costs beside its chunks, roughly.
const RECIPE_OVERHEAD_BYTES: u64 = 256;
/// Chunks of one recipe. At 2 MiB each, the most that the advised rule cuts, this is 2 TiB.
const RECIPE_CHUNKS_MAX: usize = 1 << 20;

/// Adds [`Recipes`] to `inner`: a spliced blob is only its list of chunks, which stay in `inner`, so versions of a large
/// file share what they have in common. The lists are in memory, at most `recipe_bytes_max` bytes of them, and the one
/// used longest ago goes first; so nothing that is spliced survives a restart. For stores that live no longer either.
pub fn chunked(inner: Arc<dyn BlobStore>, recipe_bytes_max: u64) -> Arc<Chunked> {
    Arc::new(Chunked {
        inner,
        recipe_bytes_max,
        recipes: Mutex::new(Lru::new()),
    })
}

/// A store and the recipes of what it holds in chunks. See [`chunked`].
pub struct Chunked {
    inner: Arc<dyn BlobStore>,
    recipe_bytes_max: u64,
    /// All flat: the chunks are blobs of `inner`, never recipes themselves.
    recipes: Mutex<Lru<Digest, Arc<Recipe>>>,
}

impl Chunked {
    /// The recipe, if all its chunks are here, which this call promises. One whose chunks have gone is forgotten.
    async fn recipe(&self, blob: &Digest) -> Result<Option<Arc<Recipe>>, StoreError> {
        let Some(recipe) = self.recipes.lock().get(blob).cloned() else {
            return Ok(None);
        };
        let missing = self.inner.find_missing(&chunks_of(&recipe)).await?;
        if missing.is_empty() {
            return Ok(Some(recipe));
        }
        self.forget(blob, &recipe);
        Ok(None)
    }

    /// Unless there is a newer one.
    fn forget(&self, blob: &Digest, recipe: &Arc<Recipe>) {
        let mut recipes = self.recipes.lock();
        if recipes.peek(blob).is_some_and(|known| Arc::ptr_eq(known, recipe)) {
            recipes.remove(blob);
        }
    }

    /// The same blob in chunks that are all blobs of `inner`.
    async fn flat(&self, recipe: Recipe) -> Result<Recipe, SpliceError> {
        let absent = self.inner.find_missing(&chunks_of(&recipe)).await?;
        if absent.is_empty() {
            return Ok(recipe);
        }
        let (mut chunks, mut missing) = (Vec::new(), Vec::new());
        for chunk in recipe.chunks {
            if !absent.contains(&chunk) {
                chunks.push(chunk);
                continue;
            }
            match self.recipe(&chunk).await? {
                Some(known) => chunks.extend_from_slice(&known.chunks),
                None => missing.push(chunk),
            }
        }
        if !missing.is_empty() {
            return Err(SpliceError::MissingChunks(missing.into_iter().collect()));
        }
        Ok(Recipe { chunks, ..recipe })
    }
}

#[async_trait]
impl BlobStore for Chunked {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        if let Some(whole) = self.inner.get(digest, range).await? {
            return Ok(Some(whole));
        }
        let Some(recipe) = self.recipe(digest).await? else {
            return Ok(None);
        };
        let Some(within) = range.within(digest.size_bytes()) else {
            return Err(StoreError::OutOfRange {
                digest: *digest,
                offset: range.offset,
            });
        };
        Ok(Some(joined(self.inner.clone(), *digest, &recipe, within)))
    }

    /// What is here in chunks is not stored once more.
    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        if self.recipe(&blob.digest()).await?.is_some() {
            return Ok(());
        }
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let missing = self.inner.find_missing(digests).await?;
        let known: Vec<(Digest, Arc<Recipe>)> = {
            let mut recipes = self.recipes.lock();
            let known = |digest: &Digest| Some((*digest, recipes.get(digest)?.clone()));
            missing.iter().filter_map(known).collect()
        };
        if known.is_empty() {
            return Ok(missing);
        }
        // One question for the chunks of all.
        let chunks: DigestSet = known
            .iter()
            .flat_map(|(_, recipe)| &recipe.chunks)
            .copied()
            .collect();
        let lost = self.inner.find_missing(&chunks).await?;
        let mut here = Vec::new();
        for (digest, recipe) in known {
            if recipe.chunks.iter().any(|chunk| lost.contains(chunk)) {
                self.forget(&digest, &recipe);
            } else {
                here.push(digest);
            }
        }
        Ok(missing.difference(&here.into_iter().collect()))
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get_zstd(digest, offset).await
    }
}

#[async_trait]
impl Recipes for Chunked {
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError> {
        Ok(self.recipe(blob).await?.map(|recipe| (*recipe).clone()))
    }

    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError> {
        if self.recipe(blob).await?.is_some() {
            return Ok(());
        }
        check_sizes(blob, &recipe)?;
        if recipe.chunks[..] == [*blob] {
            // Nothing is learnt, and a blob that is its own chunk would be held up by nothing.
            let missing = self.find_missing(&DigestSet::from(*blob)).await?;
            return match missing.is_empty() {
                true => Ok(()),
                false => Err(SpliceError::MissingChunks(missing)),
            };
        }
        let recipe = self.flat(recipe).await?;
        let weight = list_weight(blob, &recipe, self.recipe_bytes_max)?;
        let whole = joined(self.inner.clone(), *blob, &recipe, 0..blob.size_bytes());
        if let Err(error) = prove(*blob, whole).await {
            let missing = self.inner.find_missing(&chunks_of(&recipe)).await?;
            return Err(match missing.is_empty() {
                true => error.into(),
                false => SpliceError::MissingChunks(missing),
            });
        }
        let mut recipes = self.recipes.lock();
        recipes.insert(*blob, Arc::new(recipe), weight);
        while recipes.weight() > self.recipe_bytes_max {
            recipes.pop_oldest();
        }
        Ok(())
    }
}

/// What a list takes of the `list_bytes_max` that a store keeps; an error if it is too long for it.
pub(crate) fn list_weight(blob: &Digest, recipe: &Recipe, list_bytes_max: u64) -> Result<u64, StoreError> {
    let chunks = recipe.chunks.len();
    let weight = (chunks * size_of::<Digest>()) as u64 + RECIPE_OVERHEAD_BYTES;
    if chunks > RECIPE_CHUNKS_MAX || weight > list_bytes_max {
        return Err(StoreError::NoSpace {
            size_bytes: weight,
            reason: format!(
                "the list of the {chunks} chunks of blob {blob} is too long for a store that keeps {list_bytes_max} \
                 bytes of lists, each of at most {RECIPE_CHUNKS_MAX} chunks; upload the blob as a whole"
            ),
        });
    }
    Ok(weight)
}

pub(crate) fn chunks_of(recipe: &Recipe) -> DigestSet {
    recipe.chunks.iter().copied().collect()
}

/// Cheap, so before anything is read.
pub(crate) fn check_sizes(blob: &Digest, recipe: &Recipe) -> Result<(), StoreError> {
    let size_bytes = recipe
        .chunks
        .iter()
        .fold(0u64, |sum, chunk| sum.saturating_add(chunk.size_bytes()));
    if size_bytes != blob.size_bytes() {
        return Err(BlobError::WrongSize {
            expected: *blob,
            size_bytes,
        }
        .into());
    }
    match recipe
        .chunks
        .iter()
        .find(|chunk| chunk.function() != blob.function())
    {
        None => Ok(()),
        Some(other) => Err(BlobError::Malformed {
            digest: *blob,
            reason: format!("its chunk {other} is named by another digest function"),
        }
        .into()),
    }
}

/// Reads everything and keeps nothing; fine if it is the blob.
pub(crate) async fn prove(digest: Digest, bytes: BlobStream) -> Result<(), StoreError> {
    let mut proven = Blob::checked(digest, bytes).into_stream();
    while proven.try_next().await?.is_some() {}
    Ok(())
}

/// The bytes of `within`, one chunk after the other. A chunk that has gone since it was promised is an error.
pub(crate) fn joined(
    store: Arc<dyn BlobStore>,
    blob: Digest,
    recipe: &Recipe,
    within: std::ops::Range<u64>,
) -> BlobStream {
    let mut parts = VecDeque::new();
    let mut start = 0;
    for chunk in &recipe.chunks {
        let end = start + chunk.size_bytes();
        let part = within.start.max(start)..within.end.min(end);
        if part.start < part.end {
            let range = ByteRange {
                offset: part.start - start,
                limit: Some(part.end - part.start),
            };
            parts.push_back((*chunk, range));
        }
        start = end;
    }
    let streams = stream::try_unfold((store, parts), move |(store, mut parts)| async move {
        let Some((chunk, range)) = parts.pop_front() else {
            return Ok(None);
        };
        match store.get(&chunk, range).await {
            Ok(Some(bytes)) => Ok(Some((bytes, (store, parts)))),
            Ok(None) => Err(BlobError::Corrupt {
                digest: blob,
                reason: format!("its chunk {chunk} is gone"),
            }),
            Err(StoreError::Blob(error)) => Err(error),
            Err(error) => Err(std::io::Error::other(error).into()),
        }
    });
    streams.try_flatten().boxed()
}

#[cfg(test)]
mod tests;
