//! The shell's clock, as a number.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds on the shell's monotonic clock. Where zero lies is the shell's choice, and the same for a scheduler that
/// is restored; only differences matter.
///
/// A `Time` that runs backwards is harmless: the scheduler takes it for the latest one it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// The moment `micros` microseconds after the clock's zero.
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros)
    }

    /// Microseconds since the clock's zero.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

/// Saturates: a deadline too far away to be represented never comes.
impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

/// The time between two moments, zero when `earlier` is the later one.
impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_saturate() {
        assert_eq!(Time(1) + Duration::from_micros(2), Time(3));
        assert_eq!(Time(1) + Duration::MAX, Time(u64::MAX));
        assert_eq!(Time(3) - Time(1), Duration::from_micros(2));
        assert_eq!(Time(1) - Time(3), Duration::ZERO);
    }
}
