//! An end to every wait for a cache.

use std::sync::Arc;
use std::time::Duration;

use action::ActionDigest;
use async_trait::async_trait;
use cas::{Patience, StoreError};
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Gives up on `inner` where an answer takes longer than `limit`: a cache that hangs becomes one that is down, and is left
/// alone for a while.
pub fn deadlined(
    inner: Arc<dyn ActionCache>,
    patience: Arc<Patience>,
    limit: Duration,
) -> Arc<dyn ActionCache> {
    Arc::new(Deadlined {
        inner,
        patience,
        limit,
    })
}

struct Deadlined {
    inner: Arc<dyn ActionCache>,
    patience: Arc<Patience>,
    limit: Duration,
}

#[async_trait]
impl ActionCache for Deadlined {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let getting = self.inner.get(action);
        self.patience
            .answer(self.limit, "looking for a result", getting)
            .await
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let putting = self.inner.put(action, result);
        self.patience
            .answer(self.limit, "storing a result", putting)
            .await
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::memory;

    fn decorated(inner: Arc<dyn ActionCache>) -> Arc<dyn ActionCache> {
        const LIMIT: Duration = Duration::from_secs(5);
        deadlined(inner, Patience::new("a cache", LIMIT), LIMIT)
    }

    /// Never answers.
    struct Stuck;

    #[async_trait]
    impl ActionCache for Stuck {
        async fn get(&self, _: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
            std::future::pending().await
        }

        async fn put(&self, _: &ActionDigest, _: ActionResult) -> Result<(), StoreError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn conforms() {
        conformance::check(async || Fresh::of(decorated(memory(16 << 20)))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_that_hangs_is_a_cache_that_is_down() {
        let action = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"an action"));
        let unavailable = |error: StoreError| matches!(error, StoreError::Unavailable { .. });
        let stuck = || decorated(Arc::new(Stuck));
        assert!(stuck().get(&action).await.is_err_and(unavailable));
        let put = stuck().put(&action, ActionResult::default()).await;
        assert!(put.is_err_and(unavailable));
    }
}
