//! Counting what a cache does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use action::ActionDigest;
use async_trait::async_trait;
use cas::{Calls, StoreError};
use reapi::execution::ActionResult;

use crate::ActionCache;

/// What has been counted. Plain numbers that only grow; a page or an exporter reads them as it likes.
#[derive(Debug, Default)]
pub struct Meters {
    /// Questions.
    pub gets: Calls,
    /// Results handed in.
    pub puts: Calls,
    /// Questions that were answered with a result; the other answers were misses.
    pub hits: AtomicU64,
}

/// Counts calls, hits and durations of `inner` in `meters`.
pub fn metered(inner: Arc<dyn ActionCache>, meters: Arc<Meters>) -> Arc<dyn ActionCache> {
    Arc::new(Metered { inner, meters })
}

struct Metered {
    inner: Arc<dyn ActionCache>,
    meters: Arc<Meters>,
}

#[async_trait]
impl ActionCache for Metered {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let began = Instant::now();
        let result = self.inner.get(action).await;
        self.meters.gets.note(began, &result);
        if matches!(result, Ok(Some(_))) {
            self.meters.hits.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let began = Instant::now();
        let result = self.inner.put(action, result).await;
        self.meters.puts.note(began, &result);
        result
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
            Fresh::of(metered(memory(16 << 20), Arc::default()))
        }));
    }

    #[test]
    fn hits_misses_and_failures_are_told_apart() {
        let inner = memory(1 << 20);
        let action = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"an action"));
        let other = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"another"));
        let meters = Arc::new(Meters::default());
        let cache = metered(inner.clone(), meters.clone());
        block_on(cache.put(&action, ActionResult::default())).unwrap();
        block_on(cache.get(&action)).unwrap();
        block_on(cache.get(&other)).unwrap();
        let cache = metered(read_only(inner), meters.clone());
        assert!(block_on(cache.put(&action, ActionResult::default())).is_err());
        assert_eq!((meters.gets.count(), meters.hits.load(Ordering::Relaxed)), (2, 1));
        let failed = meters.puts.failed.load(Ordering::Relaxed);
        assert_eq!((meters.puts.count(), failed), (1, 1));
    }
}
