//! The clock that a command's timeout counts by: a client can stop it while the command waits for something that is the
//! client's to bring.

use std::time::{Duration, Instant};

use runner_api::CLOCK_STOPPED_MAX;

/// Since when a command runs, and for how long of that its time stood still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Until the command starts, whatever is said is only remembered.
    started: Option<Instant>,
    stopped_since: Option<Instant>,
    stopped_before: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock {
            started: None,
            stopped_since: None,
            stopped_before: Duration::ZERO,
        }
    }

    /// The command starts now.
    pub(crate) fn start(&mut self, now: Instant) {
        self.started = Some(now);
        self.stopped_before = Duration::ZERO;
        self.stopped_since = self.stopped_since.map(|_| now);
    }

    /// It is to stand still from now on, or to go on. Saying it twice changes nothing.
    pub(crate) fn set(&mut self, stands_still: bool, now: Instant) {
        self.stopped_before = self.total(now);
        self.stopped_since = stands_still.then_some(now);
    }

    /// For how long it stood still; at most [`CLOCK_STOPPED_MAX`], whatever the client says.
    pub(crate) fn stopped(&self, now: Instant) -> Duration {
        self.total(now).min(CLOCK_STOPPED_MAX)
    }

    /// When the command's time is over if nothing more is said. `None`: it has not started, or never.
    pub(crate) fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        let stopped = match self.stopped_since {
            // It goes on by itself when it has stood still for the longest.
            Some(_) => CLOCK_STOPPED_MAX,
            None => self.stopped_before.min(CLOCK_STOPPED_MAX),
        };
        self.started?.checked_add(timeout?)?.checked_add(stopped)
    }

    fn total(&self, now: Instant) -> Duration {
        let running = self
            .stopped_since
            .map(|since| now.saturating_duration_since(since));
        self.stopped_before.saturating_add(running.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(10));

    /// `said` at those seconds after the start; the deadline and what it stood still at second `at`.
    fn check(said: &[(u64, bool)], at: u64, expected_deadline: Duration, expected_stopped: Duration) {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::new();
        clock.start(start);
        for (seconds, stands_still) in said {
            clock.set(*stands_still, after(*seconds));
        }
        let deadline = clock.deadline(TIMEOUT).unwrap() - start;
        assert_eq!(
            (deadline, clock.stopped(after(at))),
            (expected_deadline, expected_stopped),
            "{said:?}"
        );
    }

    #[test]
    fn time_that_stood_still_does_not_count_up_to_a_bound() {
        let s = Duration::from_secs;
        let max = CLOCK_STOPPED_MAX.as_secs();
        check(&[], 5, s(10), s(0));
        check(&[(2, true), (5, false)], 9, s(13), s(3));
        check(&[(2, true), (4, true), (5, false), (6, false)], 9, s(13), s(3));
        check(&[(2, true)], 5, s(10 + max), s(3));
        check(&[(2, true)], 5 + max, s(10 + max), s(max));
        check(
            &[(0, true), (max + 9, false), (max + 10, true)],
            max + 11,
            s(10 + max),
            s(max),
        );
    }

    #[test]
    fn nothing_counts_before_the_command_starts() {
        let start = Instant::now();
        let mut clock = Clock::new();
        clock.set(true, start);
        assert_eq!(clock.deadline(TIMEOUT), None);
        let started = start + Duration::from_secs(100);
        clock.start(started);
        assert_eq!(clock.stopped(started), Duration::ZERO);
        clock.set(false, started + Duration::from_secs(1));
        assert_eq!(clock.deadline(TIMEOUT), Some(started + Duration::from_secs(11)));
        assert_eq!(clock.deadline(None), None);
    }
}
