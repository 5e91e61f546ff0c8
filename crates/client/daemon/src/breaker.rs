//! Whether a server is asked: pure, out of what became of the requests so far.
//!
//! What has failed is not asked again before a wait that doubles from one outage to the next. An outage is forgotten only
//! when the very thing that failed has succeeded since: a server that answers everything but that is as good as down.

use std::time::Duration;

use crate::limits::{PROBE_AFTER_MAX, PROBE_AFTER_MIN};

/// What a server does for a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It is connected to.
    Connect,
    /// It says what it knows of an action.
    Lookup,
    /// It hands out what a result refers to.
    Fetch,
    /// It takes what it is to keep, or what an action needs.
    Store,
    /// It has an action executed.
    Execute,
}

/// An outage that is not over, or of which that is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// What failed.
    pub(crate) deed: Deed,
    /// How often in a row.
    pub(crate) count: u32,
}

/// Whether it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// By everybody. What failed last has not been seen to succeed yet, if there is something.
    Up(Option<Outage>),
    /// By nobody.
    Down(Outage),
    /// By one, who finds out for all.
    Trial(Outage),
}

/// What became of a request, or of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Failed(Deed),
    Did(Deed),
    /// It has been left alone for long enough.
    Waited,
    /// Whoever tried it has gone before anything came of that.
    GivenUp,
}

impl Breaker {
    /// What it is then.
    pub(crate) fn after(self, event: Event) -> Self {
        let once_more = |deed, last: Option<Outage>| Outage {
            deed,
            count: last.map_or(0, |last| last.count).saturating_add(1),
        };
        match (self, event) {
            (Breaker::Up(last), Event::Failed(deed)) => Breaker::Down(once_more(deed, last)),
            (Breaker::Up(Some(last)), Event::Did(deed)) if deed == last.deed => Breaker::Up(None),
            (Breaker::Down(last), Event::Waited) => Breaker::Trial(last),
            (Breaker::Trial(last), Event::Failed(deed)) => Breaker::Down(once_more(deed, Some(last))),
            (Breaker::Trial(last), Event::Did(deed)) if deed == last.deed => Breaker::Up(Some(last)),
            (Breaker::Trial(last), Event::GivenUp) => Breaker::Down(last),
            // Also whatever was under way when it went down: that is the same outage.
            (same, _) => same,
        }
    }

    /// Whether everybody asks it.
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Breaker::Up(_))
    }

    /// How long it is left alone, where it is.
    pub(crate) fn wait(self) -> Option<Duration> {
        match self {
            Breaker::Down(last) => Some(wait(last.count)),
            Breaker::Up(_) | Breaker::Trial(_) => None,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::Up(None)
    }
}

/// Doubles from one outage to the next, up to its bound.
fn wait(count: u32) -> Duration {
    let doublings = count.saturating_sub(1).min(16);
    PROBE_AFTER_MIN
        .saturating_mul(1 << doublings)
        .min(PROBE_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKUP: Deed = Deed::Lookup;
    const FETCH: Deed = Deed::Fetch;

    fn outage(deed: Deed, count: u32) -> Outage {
        Outage { deed, count }
    }

    #[test]
    fn every_event_in_every_state() {
        use Breaker::{Down, Trial, Up};
        use Event::{Did, Failed, GivenUp, Waited};
        let (one, two) = (outage(FETCH, 1), outage(FETCH, 2));
        for (state, event, expected) in [
            (Up(None), Failed(FETCH), Down(one)),
            (Up(None), Did(FETCH), Up(None)),
            (Up(None), Waited, Up(None)),
            (Up(None), GivenUp, Up(None)),
            // It failed again before it was of any use.
            (Up(Some(one)), Failed(FETCH), Down(two)),
            (Up(Some(one)), Failed(LOOKUP), Down(outage(LOOKUP, 2))),
            (Up(Some(one)), Did(FETCH), Up(None)),
            // That results are known says nothing of what they refer to.
            (Up(Some(one)), Did(LOOKUP), Up(Some(one))),
            (Down(one), Failed(LOOKUP), Down(one)),
            (Down(one), Did(FETCH), Down(one)),
            (Down(one), GivenUp, Down(one)),
            (Down(one), Waited, Trial(one)),
            (Trial(one), Waited, Trial(one)),
            (Trial(one), Failed(FETCH), Down(two)),
            (Trial(one), Failed(LOOKUP), Down(outage(LOOKUP, 2))),
            (Trial(one), Did(LOOKUP), Trial(one)),
            (Trial(one), Did(FETCH), Up(Some(one))),
            (Trial(one), GivenUp, Down(one)),
        ] {
            assert_eq!(state.after(event), expected, "{state:?} {event:?}");
        }
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let seconds = |count| wait(count).as_secs();
        let found = [1, 2, 3, 4, 7, 8, u32::MAX].map(seconds);
        assert_eq!(found, [5, 10, 20, 40, 300, 300, 300]);
        assert_eq!(Breaker::Down(outage(FETCH, 2)).wait(), Some(wait(2)));
        assert_eq!(Breaker::Trial(outage(FETCH, 2)).wait(), None);
        assert_eq!(Breaker::default().wait(), None);
    }
}
