//! Lists of chunks beside a store that keeps blobs whole.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, Digest, DigestSet};
use parking_lot::Mutex;

use crate::chunked::{check_sizes, chunks_of, joined, list_weight, prove};
use crate::{BlobStore, Lru, Recipe, Recipes, SpliceError, StoreError};

/// Adds [`Recipes`] to `inner` for what it saves on the wire: a blob that is spliced is read from its chunks and stored
/// whole, so whoever shares `inner` has it, and it is as durable as any other. The lists are in memory, at most
/// `list_bytes_max` bytes of them; one that was dropped is made again by whoever cuts the blob again.
///
/// For stores of several owners, such as a bucket, where a list would be known to one of them only. A store that can
/// keep lists itself saves space as well.
pub fn spelled_out(inner: Arc<dyn BlobStore>, list_bytes_max: u64) -> Arc<dyn Recipes> {
    Arc::new(SpelledOut {
        inner,
        list_bytes_max,
        lists: Mutex::new(Lru::new()),
    })
}

struct SpelledOut {
    inner: Arc<dyn BlobStore>,
    list_bytes_max: u64,
    lists: Mutex<Lru<Digest, Arc<Recipe>>>,
}

impl SpelledOut {
    async fn is_here(&self, blob: &Digest) -> Result<bool, StoreError> {
        Ok(self.inner.find_missing(&DigestSet::from(*blob)).await?.is_empty())
    }
}

#[async_trait]
impl Recipes for SpelledOut {
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError> {
        let Some(list) = self.lists.lock().get(blob).cloned() else {
            return Ok(None);
        };
        // One question promises all of them.
        let promised = chunks_of(&list).union(&DigestSet::from(*blob));
        let missing = self.inner.find_missing(&promised).await?;
        if missing.is_empty() {
            return Ok(Some((*list).clone()));
        }
        self.lists.lock().remove(blob);
        Ok(None)
    }

    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError> {
        if self.split(blob).await?.is_some() {
            return Ok(());
        }
        check_sizes(blob, &recipe)?;
        let missing = self.inner.find_missing(&chunks_of(&recipe)).await?;
        if !missing.is_empty() {
            return Err(SpliceError::MissingChunks(missing));
        }
        if recipe.chunks[..] == [*blob] {
            // Nothing is learnt.
            return Ok(());
        }
        let weight = list_weight(blob, &recipe, self.list_bytes_max)?;
        let whole = joined(self.inner.clone(), *blob, &recipe, 0..blob.size_bytes());
        let proven = match self.is_here(blob).await? {
            true => prove(*blob, whole).await,
            false => self.inner.put(Blob::checked(*blob, whole)).await,
        };
        if let Err(error) = proven {
            let missing = self.inner.find_missing(&chunks_of(&recipe)).await?;
            return Err(match missing.is_empty() {
                true => error.into(),
                false => SpliceError::MissingChunks(missing),
            });
        }
        let mut lists = self.lists.lock();
        lists.insert(*blob, Arc::new(recipe), weight);
        while lists.weight() > self.list_bytes_max {
            lists.pop_oldest();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Forgetful, FreshRecipes};
    use crate::{ChunkingFunction, memory, read_through};

    #[test]
    fn conforms() {
        block_on(conformance::check_recipes(async || {
            let inner = Arc::new(Forgetful::over(read_through(memory(4 << 20), memory(64 << 20))));
            let lose = {
                let inner = inner.clone();
                move |digest: Digest| {
                    inner.lose(digest);
                    std::future::ready(()).boxed()
                }
            };
            FreshRecipes {
                recipes: spelled_out(inner.clone(), 8 << 20),
                store: inner,
                lose: Box::new(lose),
                keep: Box::new(()),
            }
        }));
    }

    #[test]
    fn what_was_spliced_is_whole_for_others() {
        let shared = memory(1 << 20);
        let recipes = spelled_out(shared.clone(), 1 << 16);
        let blob = |bytes: Vec<u8>| Blob::from_bytes(DigestFunction::Sha256, bytes);
        let halves = [vec![1; 3000], vec![2; 4000]];
        let chunks = halves.iter().map(|half| blob(half.clone()).digest()).collect();
        let whole = blob(halves.concat()).digest();
        for half in halves {
            block_on(shared.put(blob(half))).unwrap();
        }
        let recipe = Recipe {
            chunks,
            chunking_function: ChunkingFunction::FastCdc2020,
        };
        block_on(recipes.splice(&whole, recipe)).unwrap();
        drop(recipes);
        assert!(
            block_on(shared.find_missing(&DigestSet::from(whole)))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn lists_stay_within_their_bound() {
        let store = memory(1 << 20);
        let recipes = spelled_out(store.clone(), 2048);
        let blob = |bytes: Vec<u8>| Blob::from_bytes(DigestFunction::Sha256, bytes);
        let mut wholes = Vec::new();
        for seed in 0..20u8 {
            let halves = [vec![seed; 300], vec![seed, 1]];
            for half in &halves {
                block_on(store.put(blob(half.clone()))).unwrap();
            }
            let recipe = Recipe {
                chunks: halves.iter().map(|half| blob(half.clone()).digest()).collect(),
                chunking_function: ChunkingFunction::Unknown,
            };
            let whole = blob(halves.concat()).digest();
            block_on(recipes.splice(&whole, recipe)).unwrap();
            wholes.push(whole);
        }
        let known = wholes
            .iter()
            .filter(|whole| block_on(recipes.split(whole)).unwrap().is_some());
        assert!((1..8).contains(&known.count()));
    }
}
