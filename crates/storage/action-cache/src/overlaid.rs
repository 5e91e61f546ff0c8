//! One's own results over somebody else's.

use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use cas::StoreError;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Reads go to `own` and, on a miss, to `base`; writes go to `own` only: a pull request uses what main has built, and
/// nobody who reads main sees what it made of it.
pub fn overlaid(own: Arc<dyn ActionCache>, base: Arc<dyn ActionCache>) -> Arc<dyn ActionCache> {
    Arc::new(Overlaid { own, base })
}

struct Overlaid {
    own: Arc<dyn ActionCache>,
    base: Arc<dyn ActionCache>,
}

#[async_trait]
impl ActionCache for Overlaid {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        match self.own.get(action).await? {
            Some(result) => Ok(Some(result)),
            None => self.base.get(action).await,
        }
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

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(overlaid(memory(16 << 20), memory(16 << 20)))
        }));
    }

    #[test]
    fn the_base_is_read_and_never_written() {
        let (own, base) = (memory(1 << 20), memory(1 << 20));
        let cache = overlaid(own, base.clone());
        let action = |name: &str| ActionDigest::new(Digest::of(DigestFunction::Sha256, name.as_bytes()));
        let result = |exit_code| ActionResult {
            exit_code,
            ..ActionResult::default()
        };
        block_on(base.put(&action("both"), result(1))).unwrap();
        assert_eq!(block_on(cache.get(&action("both"))).unwrap(), Some(result(1)));
        block_on(cache.put(&action("both"), result(2))).unwrap();
        block_on(cache.put(&action("mine"), result(3))).unwrap();
        assert_eq!(block_on(cache.get(&action("both"))).unwrap(), Some(result(2)));
        assert_eq!(block_on(base.get(&action("both"))).unwrap(), Some(result(1)));
        assert_eq!(block_on(base.get(&action("mine"))).unwrap(), None);
    }
}
