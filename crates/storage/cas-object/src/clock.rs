//! Time, as it comes in from outside.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time of day. Only promises and collections ask, by the hour; it need not be exact, see
/// [`CLOCK_SKEW_MAX`](crate::CLOCK_SKEW_MAX).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Clock::of(SystemTime::now)
    }

    /// Another one, for tests.
    pub fn of(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from(self.0())
    }
}

/// Milliseconds since 1970, as names of objects carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(pub(crate) u64);

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Moment {
    pub(crate) fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(millis(duration)))
    }

    pub(crate) fn minus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_sub(millis(duration)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Time is cut into epochs of one length, the same for everyone who uses a bucket. What is touched in an epoch counts
/// as touched until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Epoch(pub(crate) u64);

impl Epoch {
    pub(crate) fn of(moment: Moment, length: Duration) -> Self {
        Epoch(moment.0 / millis(length).max(1))
    }

    pub(crate) fn end(self, length: Duration) -> Moment {
        Moment(self.0.saturating_add(1).saturating_mul(millis(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_what_lies_before_its_end() {
        let length = Duration::from_secs(60);
        let epoch = Epoch::of(Moment(119_999), length);
        assert_eq!(epoch, Epoch(1));
        assert_eq!(epoch.end(length), Moment(120_000));
        assert_eq!(Epoch::of(epoch.end(length), length), Epoch(2));
    }

    #[test]
    fn time_before_1970_and_after_the_end_of_numbers_is_no_panic() {
        assert_eq!(Moment::from(UNIX_EPOCH - Duration::from_secs(1)), Moment(0));
        assert_eq!(Moment(1).minus(Duration::from_secs(1)), Moment(0));
        assert_eq!(Moment(u64::MAX).plus(Duration::MAX), Moment(u64::MAX));
    }
}
