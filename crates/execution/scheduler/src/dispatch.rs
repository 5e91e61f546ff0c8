//! Where tasks meet workers.
//!
//! Between events no waiting task has a worker it could go to. An event can change that in two places only: a worker
//! got a free slot, or a queue got a task. So nothing here walks over a queue: a freed worker looks at the heads of
//! the queues it matches, a filled queue at the head of each pool that matches it.

use crate::pool::FreeKey;
use crate::queue::{Queue, QueueId, QueueKey};
use crate::task::Task;
use crate::{Scheduler, TaskId, WorkerId};

/// How many retried tasks at the head of a queue are looked at to find one for a worker. Those that a worker has
/// failed already may stand in front of it; behind that many, its slot waits for the next change.
pub(crate) const RETRIED_SEEN_MAX: usize = 64;

impl Scheduler {
    /// Grants every task that can be granted after an event.
    pub(crate) fn dispatch(&mut self) {
        for worker in std::mem::take(&mut self.changes.workers_freed) {
            while let Some(task) = self.task_for(&worker) {
                self.grant(task, &worker);
            }
        }
        let mut queues = std::mem::take(&mut self.changes.queues_filled);
        loop {
            let mut best: Option<(QueueKey, TaskId, WorkerId)> = None;
            let mut without: Vec<QueueId> = Vec::new();
            for queue in &queues {
                match self.assignable(*queue) {
                    Some(found) if best.as_ref().is_none_or(|best| found.0 < best.0) => best = Some(found),
                    Some(_) => {}
                    None => without.push(*queue),
                }
            }
            let Some((_, task, worker)) = best else { break };
            self.grant(task, &worker);
            for queue in without {
                queues.remove(&queue);
            }
        }
        // Granting frees nobody and fills nothing.
        debug_assert!(self.changes.workers_freed.is_empty() && self.changes.queues_filled.is_empty());
    }

    /// The most urgent task, over all queues, that this worker may have now.
    fn task_for(&self, worker_id: &WorkerId) -> Option<TaskId> {
        let worker = self
            .workers
            .get(worker_id)
            .filter(|worker| worker.free_slots() > 0)?;
        let queues = self
            .pools
            .get(worker.pool)
            .queues
            .iter()
            .map(|queue| self.queues.get(*queue));
        let heads = queues.filter_map(|queue| {
            let fresh = queue.fresh.first_key_value();
            let mut retried = queue.retried.iter().take(RETRIED_SEEN_MAX);
            let retried = retried.find(|(_, task)| self.may_have(worker_id, queue, **task));
            fresh.into_iter().chain(retried).min()
        });
        heads.min().map(|(_, task)| *task)
    }

    /// The most urgent task of a queue for which somebody is free, and the best worker for it.
    fn assignable(&self, id: QueueId) -> Option<(QueueKey, TaskId, WorkerId)> {
        if !self.queues.exists(id) {
            return None;
        }
        let queue = self.queues.get(id);
        let fresh = queue.fresh.first_key_value();
        let fresh = fresh.and_then(|(key, task)| Some((*key, *task, self.freest(queue, |_| true)?)));
        let mut retried = queue
            .retried
            .iter()
            .take(RETRIED_SEEN_MAX)
            .map(|(key, task)| (*key, *task));
        let retried = retried.find_map(|(key, task)| Some((key, task, self.worker_for_retry(queue, task)?)));
        fresh.into_iter().chain(retried).min_by_key(|(key, ..)| *key)
    }

    /// A worker that has not failed this task; one that has only if nobody else could ever take it.
    fn worker_for_retry(&self, queue: &Queue, task: TaskId) -> Option<WorkerId> {
        let task = self.tasks.by_id.get(&task)?;
        let untried = self.freest(queue, |worker| !task.failures.avoided.contains(worker));
        if untried.is_some() || self.untried_exists(queue, task) {
            return untried;
        }
        self.freest(queue, |_| true)
    }

    fn may_have(&self, worker: &WorkerId, queue: &Queue, task: TaskId) -> bool {
        let Some(task) = self.tasks.by_id.get(&task) else {
            return false;
        };
        !task.failures.avoided.contains(worker) || !self.untried_exists(queue, task)
    }

    /// Whether some worker, free or busy, matches and has not failed this task.
    fn untried_exists(&self, queue: &Queue, task: &Task) -> bool {
        queue.pools.iter().any(|pool| {
            let usable = &self.pools.get(*pool).usable;
            let avoided = task
                .failures
                .avoided
                .iter()
                .filter(|worker| usable.contains(*worker))
                .count();
            usable.len() > avoided
        })
    }

    /// The matching worker with most free slots among those that `suits` accepts. A task avoids at most
    /// `attempts_max` workers, so only that many are ever passed over in a pool.
    fn freest(&self, queue: &Queue, suits: impl Fn(&WorkerId) -> bool) -> Option<WorkerId> {
        let first = |pool| self.pools.get(pool).free.iter().find(|(_, worker)| suits(worker));
        let best: Option<&FreeKey> = queue.pools.iter().filter_map(|pool| first(*pool)).min();
        best.map(|(_, worker)| worker.clone())
    }
}
