//! Whether a side of a pair is worth asking.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::StoreError;

/// A side that failed is left alone for so long, doubling up to …
const REST_MIN: Duration = Duration::from_secs(1);
/// … so long.
pub(crate) const REST_MAX: Duration = Duration::from_secs(30);

/// What the last calls to a store or a cache said of it. One that failed rests for a while, so that not every caller waits
/// for it to fail once more; then it is tried again.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
}

impl Health {
    /// Whether it is not at rest.
    pub fn is_up(&self) -> bool {
        let rests_until = self.state.lock().rests_until;
        rests_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Notes how a call went. What the sender did wrong, or a full store, says nothing of its health.
    pub fn note<T>(&self, result: &Result<T, StoreError>) {
        let mut state = self.state.lock();
        match result {
            Err(StoreError::Unavailable { .. } | StoreError::Io { .. }) => {
                // Those that were under way together fail together.
                let rests = state.rests_until.is_some_and(|until| Instant::now() < until);
                if !rests {
                    let rest = REST_MIN * 2u32.saturating_pow(state.failures.min(10));
                    state.failures += 1;
                    state.rests_until = Some(Instant::now() + rest.min(REST_MAX));
                }
            }
            _ => *state = State::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_followed_by_a_rest_that_grows_and_ends() {
        let health = Health::default();
        let fails = || {
            health.note::<()>(&Err(StoreError::Unavailable {
                reason: "on purpose".to_owned(),
            }));
        };
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            fails();
            fails();
            tokio::time::advance(Duration::from_millis(seconds * 1000 - 1)).await;
            assert!(!health.is_up(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(health.is_up(), "{seconds}");
        }
        fails();
        health.note(&Ok(()));
        assert!(health.is_up());
        let full = StoreError::NoSpace {
            size_bytes: 1,
            reason: "on purpose".to_owned(),
        };
        health.note::<()>(&Err(full));
        assert!(health.is_up(), "a full store is not an absent one");
    }
}
