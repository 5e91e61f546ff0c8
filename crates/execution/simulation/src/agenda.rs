//! What is going to happen, earliest first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Microseconds of true time, which nobody in the simulation can read but its own clocks.
pub(crate) type Moment = u64;

pub(crate) const SECOND: Moment = 1_000_000;
pub(crate) const MILLISECOND: Moment = 1_000;

/// Happenings by their time; those of one time in the order in which they were planned.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    planned: BTreeMap<(Moment, Reverse<u64>), T>,
    number: u64,
    now: Moment,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Agenda {
            planned: BTreeMap::new(),
            number: u64::MAX,
            now: 0,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// At `at`, or now if that is past.
    pub(crate) fn plan(&mut self, at: Moment, happening: T) {
        self.number -= 1;
        self.planned
            .insert((at.max(self.now), Reverse(self.number)), happening);
    }

    /// Goes on to the next happening that is not after `end`; to `end` if there is none.
    pub(crate) fn next_until(&mut self, end: Moment) -> Option<T> {
        let is_due = self
            .planned
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= end);
        if !is_due {
            self.now = self.now.max(end);
            return None;
        }
        let ((at, _), happening) = self.planned.pop_first()?;
        self.now = at;
        Some(happening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_as_planned() {
        let mut agenda = Agenda::new();
        for (at, name) in [(5, "c"), (3, "a"), (3, "b"), (9, "d")] {
            agenda.plan(at, name);
        }
        let mut seen = Vec::new();
        while let Some(name) = agenda.next_until(8) {
            seen.push((agenda.now(), name));
        }
        assert_eq!(seen, [(3, "a"), (3, "b"), (5, "c")]);
        assert_eq!(agenda.now(), 8);
        agenda.plan(1, "late");
        assert_eq!((agenda.next_until(20), agenda.now()), (Some("late"), 8));
    }
}
