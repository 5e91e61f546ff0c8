//! Many caches, each with its share.

use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use cas::{Rendezvous, StoreError};
use reapi::execution::ActionResult;

use crate::ActionCache;

/// A cache that lacks a result is not the only one asked: so many others may have it from before a shard was added.
const OTHERS_ASKED_MAX: usize = 2;

/// One of the caches behind [`sharded`].
pub struct Shard {
    /// What it is called; its share follows from the name.
    pub name: String,
    /// How much it holds beside the others.
    pub weight: u32,
    /// The cache.
    pub cache: Arc<dyn ActionCache>,
}

/// Spreads results over caches by the digest of the action, as [`cas::sharded`] spreads blobs. Writes go to the home. A
/// miss there asks the next bidders, where the result lay before the set of shards was changed, and what they have is
/// copied home. A shard that is down takes its share along: whoever asks is told so.
pub fn sharded(shards: Vec<Shard>) -> Arc<dyn ActionCache> {
    Arc::new(Sharded {
        shares: Rendezvous::new(shards.iter().map(|shard| (shard.name.as_str(), shard.weight))),
        caches: shards.into_iter().map(|shard| shard.cache).collect(),
    })
}

struct Sharded {
    shares: Rendezvous,
    caches: Vec<Arc<dyn ActionCache>>,
}

impl Sharded {
    fn bidders(
        &self,
        action: &ActionDigest,
    ) -> Result<(&dyn ActionCache, Vec<&dyn ActionCache>), StoreError> {
        let places = self.shares.asked(&action.digest(), OTHERS_ASKED_MAX).into_iter();
        let mut caches = places.map(|place| &*self.caches[place]);
        let home = caches.next().ok_or_else(|| StoreError::Unavailable {
            reason: "there are no shards".to_owned(),
        })?;
        Ok((home, caches.collect()))
    }
}

#[async_trait]
impl ActionCache for Sharded {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let (home, others) = self.bidders(action)?;
        if let Some(result) = home.get(action).await? {
            return Ok(Some(result));
        }
        for other in others {
            // One that fails has nothing to say about a result whose home is elsewhere.
            if let Ok(Some(result)) = other.get(action).await {
                if let Err(error) = home.put(action, result.clone()).await {
                    tracing::debug!(%action, %error, "a result could not be copied to its shard");
                }
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let (home, _others) = self.bidders(action)?;
        home.put(action, result).await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::examples::{action, result};
    use crate::{memory, read_only};

    fn shards(caches: &[Arc<dyn ActionCache>]) -> Arc<dyn ActionCache> {
        let shard = |(number, cache): (usize, &Arc<dyn ActionCache>)| Shard {
            name: format!("shard {number}"),
            weight: 1,
            cache: cache.clone(),
        };
        sharded(caches.iter().enumerate().map(shard).collect())
    }

    #[test]
    fn conforms() {
        for count in [1, 3] {
            block_on(conformance::check(async || {
                let caches: Vec<_> = (0..count).map(|_| memory(16 << 20)).collect();
                Fresh::of(shards(&caches))
            }));
        }
    }

    #[test]
    fn a_new_shard_gets_its_share_as_it_is_asked_for() {
        let caches: Vec<_> = (0..3).map(|_| memory(1 << 20)).collect();
        let (before, after) = (shards(&caches[..2]), shards(&caches));
        for number in 0..60 {
            block_on(before.put(&action(number), result(number as i32))).unwrap();
        }
        let at_third = || (0..60).filter(|n| block_on(caches[2].get(&action(*n))).unwrap().is_some());
        assert_eq!(at_third().count(), 0);
        for number in 0..60 {
            let found = block_on(after.get(&action(number))).unwrap();
            assert_eq!(found, Some(result(number as i32)));
        }
        let moved = at_third().count();
        assert!((10..32).contains(&moved), "{moved} of 60");
    }

    #[test]
    fn a_home_that_takes_nothing_harms_no_reader_and_none_at_all_is_said() {
        let (old, new) = (memory(1 << 20), read_only(memory(1 << 20)));
        let cache = shards(&[old.clone(), new]);
        for number in 0..20 {
            block_on(old.put(&action(number), result(1))).unwrap();
            assert_eq!(block_on(cache.get(&action(number))).unwrap(), Some(result(1)));
        }
        assert!(block_on(sharded(Vec::new()).get(&action(1))).is_err());
    }
}
