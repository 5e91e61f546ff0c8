//! How long a build still waits for a server that does not answer: pure.
//!
//! What it has waited for in vain is taken off, and comes back slowly: so much is what a server that hangs again and again
//! costs a build, however long that takes.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{PATIENCE_BACK_IN, PATIENCE_MAX, PATIENCE_MIN};

/// The patience of one build.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// What was lost, as of then.
    lost: Option<(Duration, Instant)>,
}

impl Patience {
    /// How long it waits at most; `None` where that is too little to be of any use.
    pub(crate) fn left(self, now: Instant) -> Option<Duration> {
        let left = PATIENCE_MAX.saturating_sub(self.lost(now));
        (left >= PATIENCE_MIN).then_some(left)
    }

    /// So much was waited in vain.
    pub(crate) fn lose(&mut self, time: Duration, now: Instant) {
        let lost = self.lost(now).saturating_add(time).min(PATIENCE_MAX);
        self.lost = Some((lost, now));
    }

    fn lost(self, now: Instant) -> Duration {
        let Some((lost, then)) = self.lost else {
            return Duration::ZERO;
        };
        let share = now.saturating_duration_since(then).as_secs_f64() / PATIENCE_BACK_IN.as_secs_f64();
        lost.saturating_sub(PATIENCE_MAX.mul_f64(share.min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_waited_in_vain_comes_back_slowly() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let millis = |left: Option<Duration>| left.map(|left| left.as_millis());
        let mut patience = Patience::default();
        assert_eq!(millis(patience.left(at(0))), Some(2000));
        patience.lose(Duration::from_millis(1500), at(0));
        assert_eq!(millis(patience.left(at(0))), Some(500));
        patience.lose(Duration::from_millis(400), at(0));
        assert_eq!(patience.left(at(0)), None, "too little to be of use");
        // All of it is back after ten minutes.
        assert_eq!(millis(patience.left(at(60))), Some(300));
        patience.lose(Duration::from_secs(3600), at(60));
        assert_eq!(patience.left(at(60)), None);
        assert_eq!(millis(patience.left(at(360))), Some(1000));
        assert_eq!(millis(patience.left(at(660))), Some(2000));
        assert_eq!(millis(patience.left(at(100_000))), Some(2000));
    }
}
