//! A cache in front of another server's.

use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use cas::StoreError;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Reads go to `own` and, on a miss, to `upstream`, whose answers are kept in `own`; writes go to `own` only. While
/// `upstream` fails, what only it has is a miss: actions run again, and no build waits for a server that is away. The
/// counterpart of [`cas::pulled_through`].
pub fn pulled_through(own: Arc<dyn ActionCache>, upstream: Arc<dyn ActionCache>) -> Arc<dyn ActionCache> {
    Arc::new(PulledThrough { own, upstream })
}

struct PulledThrough {
    own: Arc<dyn ActionCache>,
    upstream: Arc<dyn ActionCache>,
}

#[async_trait]
impl ActionCache for PulledThrough {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        if let Some(result) = self.own.get(action).await? {
            return Ok(Some(result));
        }
        let result = match self.upstream.get(action).await {
            Ok(result) => result,
            Err(error) => {
                tracing::warn!(%action, %error, "the server behind this one failed; the result counts as missing");
                None
            }
        };
        if let Some(result) = &result
            && let Err(error) = self.own.put(action, result.clone()).await
        {
            tracing::debug!(%action, %error, "a result from the server behind this one could not be kept");
        }
        Ok(result)
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        self.own.put(action, result).await
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::memory;

    /// A server that is away.
    struct Away;

    #[async_trait]
    impl ActionCache for Away {
        async fn get(&self, _: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
            Err(StoreError::Unavailable {
                reason: "on purpose".to_owned(),
            })
        }

        async fn put(&self, _: &ActionDigest, _: ActionResult) -> Result<(), StoreError> {
            panic!("nothing is ever written there")
        }
    }

    #[test]
    fn conforms_with_a_server_behind_it_or_none_that_answers() {
        block_on(conformance::check(async || {
            Fresh::of(pulled_through(memory(16 << 20), memory(16 << 20)))
        }));
        block_on(conformance::check(async || {
            Fresh::of(pulled_through(memory(16 << 20), Arc::new(Away)))
        }));
    }

    #[test]
    fn what_was_found_behind_stays() {
        let (own, upstream) = (memory(1 << 20), memory(1 << 20));
        let action = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"action"));
        let result = ActionResult {
            exit_code: 3,
            ..ActionResult::default()
        };
        block_on(upstream.put(&action, result.clone())).unwrap();
        let found = block_on(pulled_through(own.clone(), upstream).get(&action)).unwrap();
        assert_eq!(found, Some(result.clone()));
        assert_eq!(block_on(own.get(&action)).unwrap(), Some(result));
    }
}
