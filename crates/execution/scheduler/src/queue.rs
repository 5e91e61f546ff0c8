//! Tasks that wait for a worker: one queue a platform and size, ordered by urgency.

use std::collections::{BTreeMap, BTreeSet};

use action::Platform;

use crate::pool::PoolId;
use crate::size::Size;
use crate::turns::Turn;
use crate::{TaskId, WorkerId};

/// Names a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueId(u64);

/// A task's place: lower priorities first (checklist E12), then whose turn it is, then earlier arrivals.
pub(crate) type QueueKey = (i32, Turn, u64);

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
    /// Waiting, and any worker may have them.
    pub(crate) fresh: BTreeMap<QueueKey, TaskId>,
    /// Waiting, and better not given to the workers that failed them. Apart from the fresh ones so that finding the
    /// next task for a worker is never a walk over the whole queue.
    pub(crate) retried: BTreeMap<QueueKey, TaskId>,
    /// Tasks with this platform, waiting or not.
    pub(crate) tasks: usize,
}

impl Queue {
    /// Tasks that wait.
    pub(crate) fn len(&self) -> usize {
        self.fresh.len() + self.retried.len()
    }

    /// The tasks that wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = TaskId> {
        self.fresh.values().chain(self.retried.values()).copied()
    }

    /// The most urgent task that waits.
    pub(crate) fn head(&self) -> Option<TaskId> {
        let heads = [self.fresh.first_key_value(), self.retried.first_key_value()];
        heads.into_iter().flatten().min().map(|(_, task)| *task)
    }

    /// At most `max` of the tasks that are ahead of `key`.
    pub(crate) fn waiting_before(&self, key: QueueKey, max: usize) -> Vec<TaskId> {
        let before = self.fresh.range(..key).chain(self.retried.range(..key));
        before.take(max).map(|(_, task)| *task).collect()
    }

    /// How many tasks are ahead of `key`, counted up to `max`.
    pub(crate) fn ahead_of(&self, key: QueueKey, max: usize) -> usize {
        let fresh = self.fresh.range(..key).take(max).count();
        let retried = self.retried.range(..key).take(max - fresh).count();
        fresh + retried
    }
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
            retried: BTreeMap::new(),
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
