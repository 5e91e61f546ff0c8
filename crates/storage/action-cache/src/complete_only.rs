//! Never a result whose outputs are gone.

use std::collections::HashMap;
use std::sync::Arc;

use action::{ActionDigest, ResultReferences, check_action_result};
use async_trait::async_trait;
use blob::{Digest, DigestSet};
use cas::tree::{TreeError, fetch_input_tree, read_all};
use cas::{BlobStore, StoreError};
use futures::stream::{self, StreamExt, TryStreamExt};
use merkle::Tree;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Largest `Tree` that is looked into. A result with a larger one is never complete here, so its action runs again.
pub const TREE_BYTES_MAX: u64 = 64 << 20;
/// Trees of one result that are in memory at the same time.
const TREES_IN_FLIGHT_MAX: usize = 4;

/// Serves a result from `inner` only if everything it refers to is in `cas`: output files, stdout and stderr, and
/// output directories with all that is in them (checklist A1). Anything else is a miss, so that the action runs
/// again. Whatever was looked for has its life refreshed, so that what is served stays for a while.
///
/// A client that builds without the bytes downloads outputs hours after it was told that they exist, if at all. A
/// result that is served without them breaks its build in a way that it cannot repair by itself.
pub fn complete_only(inner: Arc<dyn ActionCache>, cas: Arc<dyn BlobStore>) -> Arc<dyn ActionCache> {
    Arc::new(CompleteOnly { inner, cas })
}

struct CompleteOnly {
    inner: Arc<dyn ActionCache>,
    cas: Arc<dyn BlobStore>,
}

#[async_trait]
impl ActionCache for CompleteOnly {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let Some(result) = self.inner.get(action).await? else {
            return Ok(None);
        };
        let references = match check_action_result(action.function(), &result) {
            Ok(references) => references,
            Err(error) => {
                tracing::warn!(%action, %error, "a stored action result makes no sense; it is not served");
                return Ok(None);
            }
        };
        Ok(self.is_complete(action, &references).await?.then_some(result))
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        self.inner.put(action, result).await
    }
}

impl CompleteOnly {
    /// Two questions at most: for what the result names, and for what is inside its directories.
    async fn is_complete(
        &self,
        action: &ActionDigest,
        references: &ResultReferences,
    ) -> Result<bool, StoreError> {
        let named = references.direct();
        if !self.all_present(action, &named).await? {
            return Ok(false);
        }
        if references.trees.is_empty() && references.root_directories.is_empty() {
            return Ok(true);
        }
        let Some(inside) = self.inside(action, references).await? else {
            return Ok(false);
        };
        self.all_present(action, &inside.difference(&named)).await
    }

    async fn all_present(&self, action: &ActionDigest, digests: &DigestSet) -> Result<bool, StoreError> {
        let missing = self.cas.find_missing(digests).await?;
        if let Some(first) = missing.iter().next() {
            tracing::debug!(%action, missing = missing.len(), %first, "an action result is no longer complete");
        }
        Ok(missing.is_empty())
    }

    /// All that is inside the output directories of a result. `None` if that cannot be told, because a tree has
    /// gone meanwhile or is not one.
    async fn inside(
        &self,
        action: &ActionDigest,
        references: &ResultReferences,
    ) -> Result<Option<DigestSet>, StoreError> {
        let trees: Vec<Option<Inside>> = stream::iter(references.trees.clone())
            .map(|tree| self.inside_tree(action, tree))
            .buffer_unordered(TREES_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        let Some(trees) = trees.into_iter().collect::<Option<Vec<Inside>>>() else {
            return Ok(None);
        };
        let mut digests: Vec<Digest> = trees.iter().flat_map(|tree| &tree.files).copied().collect();
        let directories_of: HashMap<Digest, &DigestSet> =
            trees.iter().map(|tree| (tree.root, &tree.directories)).collect();
        for root in &references.root_directories {
            // Usually a tree of the result tells what is below (checklist E23); otherwise the directories do.
            match directories_of.get(root) {
                Some(directories) => digests.extend(directories.iter()),
                None => match self.below(action, *root).await? {
                    Some(files) => digests.extend(files),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(digests.into_iter().collect()))
    }

    async fn inside_tree(&self, action: &ActionDigest, digest: Digest) -> Result<Option<Inside>, StoreError> {
        if digest.size_bytes() > TREE_BYTES_MAX {
            tracing::warn!(%action, tree = %digest, "an output tree is too large to be looked into");
            return Ok(None);
        }
        let Some(bytes) = read_all(&*self.cas, &digest, TREE_BYTES_MAX).await? else {
            return Ok(None);
        };
        match Tree::decode(digest.function(), bytes) {
            Ok(tree) => Ok(Some(Inside {
                root: tree.root_digest(),
                files: tree.file_digests().collect(),
                directories: tree.directory_digests().collect(),
            })),
            Err(error) => {
                tracing::warn!(%action, tree = %digest, %error, "an output tree of a stored result makes no sense");
                Ok(None)
            }
        }
    }

    /// The files below a directory, which has been read with all that it refers to.
    async fn below(&self, action: &ActionDigest, root: Digest) -> Result<Option<DigestSet>, StoreError> {
        match fetch_input_tree(&*self.cas, root).await {
            Ok(tree) if tree.missing().is_empty() => Ok(Some(tree.files().clone())),
            Ok(_) => Ok(None),
            Err(TreeError::Store { source, .. }) => Err(source),
            Err(error) => {
                tracing::warn!(%action, %root, %error, "an output directory of a stored result makes no sense");
                Ok(None)
            }
        }
    }
}

/// What a tree refers to.
struct Inside {
    root: Digest,
    files: DigestSet,
    directories: DigestSet,
}

#[cfg(test)]
mod tests;
