//! A fast cache in front of a slow one.

use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use cas::StoreError;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Reads go to `fast` and, on a miss, to `slow`, whose answers are kept in `fast`; writes go to both, and are acknowledged by
/// `slow`. While `slow` fails, what only it has is a miss. For caches of one owner: a result that somebody else replaces in
/// `slow` is still answered from `fast`. The counterpart of [`cas::read_through`].
pub fn read_through(fast: Arc<dyn ActionCache>, slow: Arc<dyn ActionCache>) -> Arc<dyn ActionCache> {
    Arc::new(ReadThrough {
        reads: crate::pulled_through(fast.clone(), slow.clone()),
        fast,
        slow,
    })
}

struct ReadThrough {
    reads: Arc<dyn ActionCache>,
    fast: Arc<dyn ActionCache>,
    slow: Arc<dyn ActionCache>,
}

#[async_trait]
impl ActionCache for ReadThrough {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        self.reads.get(action).await
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        self.slow.put(action, result.clone()).await?;
        if let Err(error) = self.fast.put(action, result).await {
            tracing::debug!(%action, %error, "the fast cache did not take a result");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::{memory, read_only};

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(read_through(memory(16 << 20), memory(16 << 20)))
        }));
    }

    #[test]
    fn what_is_written_is_in_both_or_refused_by_the_slow_one() {
        let (fast, slow) = (memory(1 << 20), memory(1 << 20));
        let action = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"action"));
        let result = ActionResult {
            exit_code: 3,
            ..ActionResult::default()
        };
        block_on(read_through(fast.clone(), slow.clone()).put(&action, result.clone())).unwrap();
        for cache in [&fast, &slow] {
            assert_eq!(block_on(cache.get(&action)).unwrap(), Some(result.clone()));
        }
        let fast = memory(1 << 20);
        let refuses = read_through(fast.clone(), read_only(memory(1 << 20)));
        block_on(refuses.put(&action, result)).unwrap_err();
        assert_eq!(
            block_on(fast.get(&action)).unwrap(),
            None,
            "nobody else would find it"
        );
    }
}
