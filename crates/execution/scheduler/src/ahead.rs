//! What comes before a task on the workers that it waits for.
//!
//! Tasks of other queues do too: other platforms and other sizes, for the same workers. They are counted where they want
//! just the same workers, and the same named resources of them. What also fits elsewhere, or fits some of them only, is in
//! the way to a degree that nobody knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::queue::{Queue, QueueId, Spot};
use crate::task::Task;
use crate::turns::ClaimId;
use crate::{Scheduler, TaskId};

/// How far the tasks ahead of one are counted.
pub(crate) const AHEAD_COUNTED_MAX: usize = 100;
/// How many other queues are looked at.
const QUEUES_SEEN_MAX: usize = 64;

/// The tasks ahead of one.
pub(crate) struct Ahead {
    /// No more than [`AHEAD_COUNTED_MAX`].
    pub(crate) tasks: Vec<TaskId>,
    /// Whether there are no others.
    pub(crate) are_all: bool,
}

impl Scheduler {
    /// About which tasks go ahead of one that waits.
    pub(crate) fn ahead_of(&self, task: &Task) -> Ahead {
        let queue = self.queues.get(task.queue);
        let pools = queue.pools.iter().map(|pool| self.pools.get(*pool));
        let others = pools
            .flat_map(|pool| &pool.queues)
            .filter(|id| **id != task.queue);
        let mut others = others.copied();
        let seen: BTreeSet<QueueId> = others.by_ref().take(QUEUES_SEEN_MAX).collect();
        let mut are_all = others.next().is_none();

        let spot = task.spot();
        let mut rivals = vec![queue];
        for other in seen.into_iter().map(|id| self.queues.get(id)) {
            if self.want_the_same(queue, other) {
                rivals.push(other);
            } else {
                are_all &= ahead_in(&[other], &spot, 1).is_empty();
            }
        }
        let tasks = ahead_in(&rivals, &spot, AHEAD_COUNTED_MAX);
        are_all &= tasks.len() < AHEAD_COUNTED_MAX;
        Ahead { tasks, are_all }
    }

    fn want_the_same(&self, one: &Queue, other: &Queue) -> bool {
        let named = |queue| self.named_amounts(queue).into_keys();
        one.pools == other.pools && named(one).eq(named(other))
    }
}

/// Of tasks in these queues, at most `max` that go before the one at this spot: those of its own line, as many and one of each
/// other claim, and what is tried again.
fn ahead_in(queues: &[&Queue], spot: &Spot, max: usize) -> Vec<TaskId> {
    let own = queues.iter().flat_map(|queue| queue.before(spot));
    let mut ahead: Vec<TaskId> = own.take(max).collect();
    if spot.is_retried {
        return ahead;
    }
    let of_each = ahead.len() + 1;
    let retried = queues.iter().flat_map(|queue| queue.retried());
    ahead.extend(retried.map(|(_, task)| task).take(max - ahead.len()));
    let mut taken: BTreeMap<ClaimId, usize> = BTreeMap::new();
    for (claim, line) in queues.iter().flat_map(|queue| queue.other_lines(spot.claim)) {
        if ahead.len() == max {
            break;
        }
        let taken = taken.entry(claim).or_default();
        let count = line.len().min(of_each - *taken).min(max - ahead.len());
        ahead.extend(line.iter().take(count).map(|(_, task)| *task));
        *taken += count;
    }
    ahead
}
