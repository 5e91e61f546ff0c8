//! A cache that takes nothing new.

use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use cas::StoreError;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Reads go to `inner`; results are refused.
pub fn read_only(inner: Arc<dyn ActionCache>) -> Arc<dyn ActionCache> {
    Arc::new(ReadOnly { inner })
}

struct ReadOnly {
    inner: Arc<dyn ActionCache>,
}

#[async_trait]
impl ActionCache for ReadOnly {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        self.inner.get(action).await
    }

    async fn put(&self, action: &ActionDigest, _: ActionResult) -> Result<(), StoreError> {
        let digest = action.digest();
        Err(StoreError::ReadOnly { digest })
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};
    use futures::executor::block_on;

    use super::*;
    use crate::memory;

    #[test]
    fn what_is_there_is_read_and_nothing_is_taken() {
        let inner = memory(1 << 20);
        let action = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"an action"));
        let result = |exit_code| ActionResult {
            exit_code,
            ..ActionResult::default()
        };
        block_on(inner.put(&action, result(1))).unwrap();
        let cache = read_only(inner);
        assert!(matches!(
            block_on(cache.put(&action, result(2))),
            Err(StoreError::ReadOnly { .. })
        ));
        assert_eq!(block_on(cache.get(&action)).unwrap(), Some(result(1)));
    }
}
