//! Tasks that wait for a worker: one queue a platform and size, ordered by urgency.

use std::collections::{BTreeMap, BTreeSet};

use action::Platform;

use crate::pool::PoolId;
use crate::size::Size;
use crate::turns::{ClaimId, FIRST, Turn, Turns};
use crate::{TaskId, WorkerId};

/// Names a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueId(u64);

/// How urgent a task that waits is at this moment, among all that wait for the same workers: whose claim comes first,
/// then whose turn it is within that, then earlier arrivals.
pub(crate) type QueueKey = (Turn, Option<ClaimId>, Turn, TaskId);

/// Where in a queue a task waits: in the line of its claim, at its turn; those of one turn as they came, which their ids
/// tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) claim: ClaimId,
    pub(crate) turn: Turn,
    pub(crate) task: TaskId,
    /// Better not given to the workers that failed it.
    pub(crate) is_retried: bool,
}

/// The tasks of one claim, most urgent first.
pub(crate) type Line = BTreeSet<(Turn, TaskId)>;

/// The tasks of one platform and one size.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) platform: Platform,
    /// How much each of its tasks takes.
    pub(crate) size: Size,
    /// How many less urgent tasks workers have been given since the first of these came to be the first.
    pub(crate) passed_over: u32,
    /// A worker that takes nothing less urgent until the first of these tasks fits it.
    pub(crate) reserved: Option<WorkerId>,
    /// The pools that meet the platform: usable ones and those still remembered.
    pub(crate) pools: BTreeSet<PoolId>,
    /// Whether any pool ever did, in this queue's life.
    pub(crate) was_possible: bool,
    /// Waiting, and any worker may have them: the line of each claim.
    fresh: BTreeMap<ClaimId, Line>,
    fresh_count: usize,
    /// Waiting, and better not given to the workers that failed them; these have had their turn and go first. Apart
    /// from the fresh ones so that finding the next task for a worker is never a walk over the whole queue.
    retried: Line,
    /// Tasks with this platform, waiting or not.
    pub(crate) tasks: usize,
}

impl Queue {
    pub(crate) fn insert(&mut self, spot: &Spot) {
        let key = (spot.turn, spot.task);
        let is_new = match spot.is_retried {
            true => self.retried.insert(key),
            false => self.fresh.entry(spot.claim).or_default().insert(key),
        };
        self.fresh_count += usize::from(!spot.is_retried && is_new);
    }

    pub(crate) fn remove(&mut self, spot: &Spot) {
        let key = (spot.turn, spot.task);
        if spot.is_retried {
            self.retried.remove(&key);
        } else if let Some(line) = self.fresh.get_mut(&spot.claim) {
            self.fresh_count -= usize::from(line.remove(&key));
            if line.is_empty() {
                self.fresh.remove(&spot.claim);
            }
        }
    }

    /// Tasks that wait.
    pub(crate) fn len(&self) -> usize {
        self.fresh_count + self.retried.len()
    }

    /// The tasks that wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = TaskId> {
        let lines = self.fresh.values().chain([&self.retried]);
        lines.flatten().map(|(_, task)| *task)
    }

    /// The most urgent task that any worker may have. Looks at the first of each tenant.
    pub(crate) fn first_fresh(&self, turns: &Turns) -> Option<(QueueKey, TaskId)> {
        let open = self.fresh.iter().filter(|(claim, _)| !turns.is_closed(**claim));
        open.filter_map(|(claim, line)| first_of(*claim, line, turns))
            .min()
    }

    /// Whether anything of these claims may wait here.
    pub(crate) fn may_have_any_of(&self, claims: &BTreeSet<ClaimId>) -> bool {
        !self.retried.is_empty() || claims.iter().any(|claim| self.fresh.contains_key(claim))
    }

    /// The tasks that better do not go to the workers that failed them, most urgent first.
    pub(crate) fn retried(&self) -> impl Iterator<Item = (QueueKey, TaskId)> {
        let keyed = |(turn, task): &(Turn, TaskId)| ((FIRST, None, *turn, *task), *task);
        self.retried.iter().map(keyed)
    }

    /// The most urgent task that waits.
    pub(crate) fn head(&self, turns: &Turns) -> Option<TaskId> {
        let fresh = self.fresh.iter();
        let fresh = fresh.filter_map(|(claim, line)| first_of(*claim, line, turns));
        fresh.chain(self.retried().next()).min().map(|(_, task)| task)
    }

    /// The tasks that go before one at this spot in its own line, be it here or in another queue.
    pub(crate) fn before(&self, spot: &Spot) -> impl Iterator<Item = TaskId> {
        let line = match spot.is_retried {
            true => Some(&self.retried),
            false => self.fresh.get(&spot.claim),
        };
        let at = (spot.turn, spot.task);
        let before = line.into_iter().flat_map(move |line| line.range(..at));
        before.map(|(_, task)| *task)
    }

    /// The lines of all claims but this one.
    pub(crate) fn other_lines(&self, claim: ClaimId) -> impl Iterator<Item = (ClaimId, &Line)> {
        let others = self.fresh.iter().filter(move |(other, _)| **other != claim);
        others.map(|(other, line)| (*other, line))
    }
}

fn first_of(claim: ClaimId, line: &Line, turns: &Turns) -> Option<(QueueKey, TaskId)> {
    let (turn, task) = line.first()?;
    Some(((turns.next_of(claim), Some(claim), *turn, *task), *task))
}

/// All queues. A queue exists while a task has its platform and its size.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: BTreeMap<QueueId, Queue>,
    ids: BTreeMap<(Platform, Size), QueueId>,
    last: u64,
}

impl Queues {
    /// The queue of a platform and a size, if there is one.
    pub(crate) fn find(&self, platform: &Platform, size: Size) -> Option<QueueId> {
        self.ids.get(&(platform.clone(), size)).copied()
    }

    /// A queue of a platform, of whatever size.
    pub(crate) fn any_of(&self, platform: &Platform) -> Option<QueueId> {
        let first = (platform.clone(), Size::MIN);
        let (key, queue) = self.ids.range(first..).next()?;
        (key.0 == *platform).then_some(*queue)
    }

    /// A queue for a platform and a size that have none.
    pub(crate) fn open(&mut self, platform: &Platform, size: Size, pools: BTreeSet<PoolId>) -> QueueId {
        self.last += 1;
        let id = QueueId(self.last);
        let queue = Queue {
            platform: platform.clone(),
            size,
            passed_over: 0,
            reserved: None,
            was_possible: !pools.is_empty(),
            pools,
            fresh: BTreeMap::new(),
            fresh_count: 0,
            retried: Line::new(),
            tasks: 0,
        };
        self.queues.insert(id, queue);
        self.ids.insert((platform.clone(), size), id);
        id
    }

    /// Removes a queue that no task has any more; answers the pools that knew it.
    pub(crate) fn close_if_unused(&mut self, id: QueueId) -> BTreeSet<PoolId> {
        if self.queues.get(&id).is_none_or(|queue| queue.tasks > 0) {
            return BTreeSet::new();
        }
        let Some(queue) = self.queues.remove(&id) else {
            return BTreeSet::new();
        };
        self.ids.remove(&(queue.platform, queue.size));
        queue.pools
    }

    pub(crate) fn get(&self, id: QueueId) -> &Queue {
        self.queues
            .get(&id)
            .expect("a queue lives as long as its tasks, and only they and its pools name it")
    }

    pub(crate) fn get_mut(&mut self, id: QueueId) -> &mut Queue {
        self.queues
            .get_mut(&id)
            .expect("a queue lives as long as its tasks, and only they and its pools name it")
    }

    pub(crate) fn exists(&self, id: QueueId) -> bool {
        self.queues.contains_key(&id)
    }

    pub(crate) fn ids(&self) -> Vec<QueueId> {
        self.queues.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueId, &Queue)> {
        self.queues.iter().map(|(id, queue)| (*id, queue))
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }
}
