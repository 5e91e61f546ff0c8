//! The suite notices what it is there to notice.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::block_on;
use parking_lot::Mutex;

use super::*;
use crate::{Chunked, chunked, memory};

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Not wrong at all.
    None,
    /// Takes a splice for good without looking.
    BelievesTheClient,
    /// Answers with the chunks in another order.
    ForgetsTheOrder,
    /// Answers without saying who cut.
    ForgetsTheFunction,
    /// Answers with what was, whatever has gone since.
    IgnoresLoss,
    /// Says that all chunks are missing when one is.
    NamesTooMany,
    /// Lets the last recipe win.
    ReplacesTheRecipe,
    /// Says that nothing is known.
    NeverKnows,
}

struct Faulty {
    inner: Arc<Chunked>,
    fault: Fault,
    spliced: Mutex<HashMap<Digest, Recipe>>,
}

#[async_trait]
impl Recipes for Faulty {
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError> {
        let right = self.inner.split(blob).await?;
        Ok(match self.fault {
            Fault::ForgetsTheOrder => right.map(|mut recipe| {
                recipe.chunks.sort();
                recipe
            }),
            Fault::ForgetsTheFunction => right.map(|recipe| Recipe {
                chunking_function: ChunkingFunction::Unknown,
                ..recipe
            }),
            Fault::IgnoresLoss | Fault::ReplacesTheRecipe => self.spliced.lock().get(blob).cloned(),
            Fault::NeverKnows => None,
            _ => right,
        })
    }

    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError> {
        let spliced = self.inner.splice(blob, recipe.clone()).await;
        match (self.fault, spliced) {
            (Fault::BelievesTheClient, _) => Ok(()),
            (Fault::NamesTooMany, Err(SpliceError::MissingChunks(_))) => {
                Err(SpliceError::MissingChunks(recipe.chunks.into_iter().collect()))
            }
            (fault, Ok(())) => {
                let mut spliced = self.spliced.lock();
                if fault == Fault::ReplacesTheRecipe || !spliced.contains_key(blob) {
                    spliced.insert(*blob, recipe);
                }
                Ok(())
            }
            (_, Err(error)) => Err(error),
        }
    }
}

fn passes(fault: Fault) -> bool {
    let fresh = async || {
        let below = Arc::new(Forgetful::over(memory(64 << 20)));
        let store = chunked(below.clone(), 4 << 20);
        FreshRecipes {
            store: store.clone(),
            recipes: Arc::new(Faulty {
                inner: store,
                fault,
                spliced: Mutex::default(),
            }),
            lose: Box::new(move |digest| {
                below.lose(digest);
                std::future::ready(()).boxed()
            }),
            keep: Box::new(()),
        }
    };
    block_on(AssertUnwindSafe(check_recipes(fresh)).catch_unwind()).is_ok()
}

#[test]
fn every_fault_is_noticed() {
    assert!(
        passes(Fault::None),
        "the faults are what fails, not what carries them"
    );
    for fault in [
        Fault::BelievesTheClient,
        Fault::ForgetsTheOrder,
        Fault::ForgetsTheFunction,
        Fault::IgnoresLoss,
        Fault::NamesTooMany,
        Fault::ReplacesTheRecipe,
        Fault::NeverKnows,
    ] {
        assert!(!passes(fault), "a store with fault {fault:?} passes the suite");
    }
}
