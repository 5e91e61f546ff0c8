//! Noticing an upload that a server does not go on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an upload is doing, told by its source and watched by its caller.
///
/// The time that the source itself takes is not the server's fault and does not count.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Even: the server has what was sent so far and is to ask for more. Odd: the source is at work.
    steps: Arc<AtomicU64>,
}

impl Pace {
    /// The server asks for more; the source begins to work.
    pub(super) fn asked(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// The source has something, or has ended.
    pub(super) fn given(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends once the server has made no step for `patience`, give or take the same.
    pub(super) async fn stalled(&self, patience: Duration) {
        let mut seen = self.steps.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(patience).await;
            let steps = self.steps.load(Ordering::Relaxed);
            let source_at_work = steps % 2 == 1;
            if steps == seen && !source_at_work {
                return;
            }
            seen = steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stands_still_is_noticed_and_a_slow_source_is_not() {
        let pace = Pace::default();
        pace.asked();
        assert!(
            timeout(PATIENCE * 100, pace.stalled(PATIENCE)).await.is_err(),
            "the source is at work"
        );
        pace.given();
        let start = Instant::now();
        pace.stalled(PATIENCE).await;
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_server_is_not_one_that_stands_still() {
        let pace = Pace::default();
        let steps = async {
            for _ in 0..50 {
                sleep(PATIENCE / 2).await;
                pace.asked();
                pace.given();
            }
        };
        tokio::select! {
            () = steps => {}
            () = pace.stalled(PATIENCE) => panic!("it moved"),
        }
    }
}
