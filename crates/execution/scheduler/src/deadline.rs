//! What has to happen at which time.

use std::collections::{BTreeSet, HashMap};

use crate::{OperationName, TaskId, Time, WorkerId};

/// Something that happens by itself when its time comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// The start-up grace is over.
    StartupGrace,
    /// The leases of this worker end, and with them the worker.
    Worker(WorkerId),
    /// The pool that has been without a usable worker for longest is forgotten.
    Pool,
    /// Nobody has watched this operation for too long.
    Abandoned(OperationName),
    /// This task runs for so long that another worker should try.
    Stuck(TaskId),
}

/// A set of deadlines, each with one time.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Time, Deadline)>,
    times: HashMap<Deadline, Time>,
}

impl Deadlines {
    /// Sets, moves or (with `None`) clears a deadline.
    pub(crate) fn set(&mut self, deadline: Deadline, at: Option<Time>) {
        if let Some(before) = self.times.remove(&deadline) {
            self.by_time.remove(&(before, deadline.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, deadline.clone()));
            self.times.insert(deadline, at);
        }
    }

    /// The earliest time.
    pub(crate) fn first(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Deadline> {
        if self.first()? > now {
            return None;
        }
        let (_, deadline) = self.by_time.pop_first()?;
        self.times.remove(&deadline);
        Some(deadline)
    }

    /// When a deadline is.
    pub(crate) fn get(&self, deadline: &Deadline) -> Option<Time> {
        self.times.get(deadline).copied()
    }

    /// Number of deadlines.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_moved_ones_only_at_their_new_time() {
        let mut deadlines = Deadlines::default();
        let abandoned = Deadline::Abandoned(OperationName::new("a"));
        deadlines.set(Deadline::Pool, Some(Time(5)));
        deadlines.set(abandoned.clone(), Some(Time(3)));
        deadlines.set(Deadline::StartupGrace, Some(Time(4)));
        deadlines.set(abandoned.clone(), Some(Time(6)));
        deadlines.set(Deadline::StartupGrace, None);
        assert_eq!(deadlines.first(), Some(Time(5)));
        assert_eq!(deadlines.pop_due(Time(4)), None);
        assert_eq!(deadlines.pop_due(Time(10)), Some(Deadline::Pool));
        assert_eq!(deadlines.get(&abandoned), Some(Time(6)));
        assert_eq!(deadlines.pop_due(Time(6)), Some(abandoned));
        assert_eq!((deadlines.first(), deadlines.len()), (None, 0));
    }
}
