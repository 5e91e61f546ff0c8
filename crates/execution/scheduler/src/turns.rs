//! Whose turn it is: builds whose actions wait together are served in turns, however many each of them has sent.
//!
//! Start-time fair queueing. The clock of a priority shows the turn that was granted last. The first action of a build
//! that has none waiting gets the turn after that, each further one the turn after its build's last: the actions of a
//! build are spread over the turns to come, one in each, and among those of one turn the earlier arrival goes first. So
//! between two actions of a build that waits, every other build gets at most one for each of its own, and a build of ten
//! actions does not wait for one of ten thousand that came before.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What is served in turns: the `tool_invocation_id` of a build. All clients that name none are one.
pub(crate) type Build = Arc<str>;

/// A place in the order of one priority.
pub(crate) type Turn = u64;

/// Before all that [`Turns::next`] gives.
pub(crate) const FIRST: Turn = 0;

/// The clocks of all priorities that some task has: no more of them, nor of shares, than tasks.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    clocks: BTreeMap<i32, Clock>,
}

#[derive(Debug, Default)]
struct Clock {
    now: Turn,
    shares: BTreeMap<Build, Share>,
}

/// What a build has at one priority. Lives as long as one of its tasks there.
#[derive(Debug, Default)]
struct Share {
    last: Turn,
    tasks: usize,
}

impl Turns {
    /// The turn of a build's next task. The task has to [leave](Self::leave) one day.
    pub(crate) fn next(&mut self, priority: i32, build: &Build) -> Turn {
        let clock = self.clocks.entry(priority).or_default();
        let share = clock.shares.entry(build.clone()).or_default();
        share.tasks += 1;
        share.last = share.last.max(clock.now) + 1;
        share.last
    }

    /// A task with this turn has been given to a worker.
    pub(crate) fn granted(&mut self, priority: i32, turn: Turn) {
        if let Some(clock) = self.clocks.get_mut(&priority) {
            clock.now = clock.now.max(turn);
        }
    }

    /// A task is over, or goes to another priority.
    pub(crate) fn leave(&mut self, priority: i32, build: &Build) {
        let Some(clock) = self.clocks.get_mut(&priority) else {
            return;
        };
        if let Some(share) = clock.shares.get_mut(build) {
            share.tasks -= 1;
            if share.tasks == 0 {
                clock.shares.remove(build);
            }
        }
        if clock.shares.is_empty() {
            self.clocks.remove(&priority);
        }
    }

    /// Tasks that have a turn and have not left, for leak tests.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        let shares = self.clocks.values().flat_map(|clock| clock.shares.values());
        shares.map(|share| share.tasks).sum()
    }
}
