//! PORT 2: what a cache of action results must do.

use action::ActionDigest;
use async_trait::async_trait;
use cas::StoreError;
use reapi::execution::ActionResult;

/// Results of actions, by the digest of the action. The digest's function is part of the key (checklist A6);
/// the instance is not: each instance has its own cache.
#[async_trait]
pub trait ActionCache: Send + Sync + 'static {
    /// The result last put; `None` is a miss.
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError>;

    /// Replaces what was there. Visible to every `get` that starts after this returns.
    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError>;
}
