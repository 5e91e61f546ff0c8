//! Two caches that hold the same.

use std::collections::HashSet;
use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use cas::{Health, StoreError};
use futures::future;
use parking_lot::Mutex;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// Results known to be newer on the other side. Beyond it one is forgotten, and an older result of the same action may be
/// answered: still a result of that action.
const STALE_MAX: usize = 1 << 16;

/// A pair of caches that stays readable and writable with one of them down. Writes go to both and are acknowledged by
/// either; a side that missed one is not asked for that result until it has it. Reads go to the first and, on a miss or a
/// failure, to the second; what only one has is given to the other. A side that failed is left alone for a while. Fails only
/// when both do. The counterpart of [`cas::mirrored`].
pub fn mirrored(first: Arc<dyn ActionCache>, second: Arc<dyn ActionCache>) -> Arc<dyn ActionCache> {
    let side = |cache| Side {
        cache,
        health: Health::default(),
        stale: Mutex::default(),
    };
    Arc::new(Mirrored {
        sides: [side(first), side(second)],
    })
}

struct Mirrored {
    sides: [Side; 2],
}

struct Side {
    cache: Arc<dyn ActionCache>,
    health: Health,
    /// What the other side took and this one did not.
    stale: Mutex<HashSet<ActionDigest>>,
}

impl Side {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        if self.stale.lock().contains(action) {
            return Ok(None);
        }
        let result = self.cache.get(action).await;
        self.health.note(&result);
        result
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let put = self.cache.put(action, result).await;
        self.health.note(&put);
        put?;
        self.stale.lock().remove(action);
        Ok(())
    }

    /// Whether it is up, and known to have an older one, or none.
    fn lacks(&self, action: &ActionDigest) -> bool {
        self.health.is_up() && self.stale.lock().contains(action)
    }

    fn missed(&self, action: &ActionDigest) {
        let mut stale = self.stale.lock();
        if stale.len() >= STALE_MAX
            && let Some(forgotten) = stale.iter().next().copied()
        {
            stale.remove(&forgotten);
        }
        stale.insert(*action);
    }
}

impl Mirrored {
    /// Those that are up; both where neither is, so that somebody says why.
    fn up(&self) -> [bool; 2] {
        let up = self.sides.each_ref().map(|side| side.health.is_up());
        if up == [false; 2] { [true; 2] } else { up }
    }
}

#[async_trait]
impl ActionCache for Mirrored {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let [first, second] = &self.sides;
        let (mut failure, mut is_miss) = (None, false);
        let turns = [(first, second), (second, first)];
        for ((side, other), is_up) in turns.into_iter().zip(self.up()) {
            if !is_up {
                continue;
            }
            match side.get(action).await {
                Ok(Some(result)) => {
                    let is_wanted = is_miss || other.lacks(action);
                    if is_wanted && let Err(error) = other.put(action, result.clone()).await {
                        tracing::debug!(%action, %error, "a result could not be copied to its mirror");
                    }
                    return Ok(Some(result));
                }
                Ok(None) => is_miss = true,
                Err(error) => failure = Some(error),
            }
        }
        // With one side down, the other one's word counts: at worst an action runs again.
        match failure {
            Some(error) if !is_miss => Err(error),
            _ => Ok(None),
        }
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let [first, second] = &self.sides;
        match self.up() {
            [true, false] => {
                first.put(action, result).await?;
                second.missed(action);
                return Ok(());
            }
            [false, true] => {
                second.put(action, result).await?;
                first.missed(action);
                return Ok(());
            }
            _both => {}
        }
        match future::join(first.put(action, result.clone()), second.put(action, result)).await {
            (Ok(()), Ok(())) => Ok(()),
            (Ok(()), Err(_)) => {
                second.missed(action);
                Ok(())
            }
            (Err(_), Ok(())) => {
                first.missed(action);
                Ok(())
            }
            (Err(error), Err(_)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};
    use crate::examples::{action, result};
    use crate::memory;

    /// Fails while it is told to.
    struct Switched {
        inner: Arc<dyn ActionCache>,
        is_down: AtomicBool,
    }

    impl Switched {
        fn new() -> Arc<Self> {
            Arc::new(Switched {
                inner: memory(16 << 20),
                is_down: AtomicBool::new(false),
            })
        }

        fn down(&self, is_down: bool) {
            self.is_down.store(is_down, Ordering::Relaxed);
        }

        fn answers(&self) -> Result<(), StoreError> {
            match self.is_down.load(Ordering::Relaxed) {
                false => Ok(()),
                true => Err(StoreError::Unavailable {
                    reason: "on purpose".to_owned(),
                }),
            }
        }
    }

    #[async_trait]
    impl ActionCache for Switched {
        async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
            self.answers()?;
            self.inner.get(action).await
        }

        async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
            self.answers()?;
            self.inner.put(action, result).await
        }
    }

    #[test]
    fn conforms_with_both_and_with_either_side_down() {
        for down in [None, Some(0), Some(1)] {
            block_on(conformance::check(async || {
                let sides = [Switched::new(), Switched::new()];
                if let Some(side) = down {
                    sides[side].down(true);
                }
                let [first, second] = sides;
                Fresh::of(mirrored(first, second))
            }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_missed_a_result_does_not_answer_with_an_older_one() {
        for down in [0, 1] {
            let sides = [Switched::new(), Switched::new()];
            let cache = mirrored(sides[0].clone(), sides[1].clone());
            cache.put(&action(1), result(1)).await.unwrap();
            sides[down].down(true);
            cache.put(&action(1), result(2)).await.unwrap();
            cache.put(&action(1), result(3)).await.unwrap();
            sides[down].down(false);
            assert_eq!(cache.get(&action(1)).await.unwrap(), Some(result(3)), "at rest");
            tokio::time::advance(Duration::from_secs(60)).await;
            assert_eq!(
                cache.get(&action(1)).await.unwrap(),
                Some(result(3)),
                "not asked for it"
            );
            {
                let there = sides[down].get(&action(1)).await.unwrap();
                assert_eq!(there, Some(result(3)), "given to the side that came back");
            }
        }
    }

    #[test]
    fn what_one_side_lost_comes_back_and_both_down_is_an_error() {
        let sides = [Switched::new(), Switched::new()];
        let cache = mirrored(sides[0].clone(), sides[1].clone());
        block_on(sides[1].put(&action(1), result(7))).unwrap();
        assert_eq!(block_on(cache.get(&action(1))).unwrap(), Some(result(7)));
        assert_eq!(block_on(sides[0].get(&action(1))).unwrap(), Some(result(7)));
        for side in &sides {
            side.down(true);
        }
        assert!(block_on(cache.get(&action(1))).is_err());
        assert!(block_on(cache.put(&action(2), result(1))).is_err());
    }
}
