//! Where tasks meet workers.
//!
//! Between events no waiting task has a worker it could go to. An event can change that in two places only: a worker
//! got room, or a queue got a task. So nothing here walks over a queue: a worker with room looks at the heads of the
//! queues it matches, a filled queue at the head of each pool that matches it.
//!
//! A task that needs much room may find a little on every worker, and see it taken by small ones that came later. So
//! it is counted how many less urgent tasks have passed a queue's head on the workers it matches; at
//! [`PASSED_OVER_MAX`] the next such worker is *reserved* for the queue: until the head has found room, there or
//! elsewhere, it takes nothing of other queues. One worker is reserved for a queue at a time, so the others go on; and
//! what runs on it ends, so the head waits for no more than that. Where several queues wait for one worker, the oldest
//! of them goes first.

use std::collections::BTreeSet;

use crate::pool::{FreeKey, PoolId};
use crate::queue::{Queue, QueueId, QueueKey};
use crate::task::Task;
use crate::{Scheduler, TaskId, WorkerId};

/// How many retried tasks at the head of a queue are looked at to find one for a worker. Those that a worker has
/// failed already may stand in front of it; behind that many, its slot waits for the next change.
pub(crate) const RETRIED_SEEN_MAX: usize = 64;
/// How many workers of a pool are looked at, those with most free slots first, to find one with room.
pub(crate) const WORKERS_SEEN_MAX: usize = 64;
/// How many less urgent tasks may pass one that finds no room.
pub(crate) const PASSED_OVER_MAX: u32 = 32;

impl Scheduler {
    /// Grants every task that can be granted after an event.
    pub(crate) fn dispatch(&mut self) {
        // Granting may end a reservation, which frees a worker for others.
        while !self.changes.workers_freed.is_empty() || !self.changes.queues_filled.is_empty() {
            for worker in std::mem::take(&mut self.changes.workers_freed) {
                while let Some((key, task)) = self.task_for(&worker) {
                    self.note_passed_over(&worker, key);
                    self.grant(task, &worker);
                }
            }
            self.serve_filled_queues();
        }
    }

    fn serve_filled_queues(&mut self) {
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
            let Some((key, task, worker)) = best else { break };
            self.note_passed_over(&worker, key);
            self.grant(task, &worker);
            for queue in without {
                queues.remove(&queue);
            }
        }
    }

    /// The most urgent task, over all queues, that this worker may have now and has room for.
    fn task_for(&self, worker_id: &WorkerId) -> Option<(QueueKey, TaskId)> {
        let worker = self
            .workers
            .get(worker_id)
            .filter(|worker| worker.free_slots() > 0)?;
        let head_of = |id: QueueId| {
            let head = self.head_for(worker_id, self.queues.get(id))?;
            self.has_room(worker_id, id).then_some(head)
        };
        match self.kept_for(worker_id) {
            Some(queue) => head_of(queue),
            None => {
                let queues = &self.pools.get(worker.pool).queues;
                queues.iter().filter_map(|id| head_of(*id)).min()
            }
        }
    }

    /// The most urgent task of a queue that this worker may have.
    fn head_for(&self, worker: &WorkerId, queue: &Queue) -> Option<(QueueKey, TaskId)> {
        let fresh = queue.first_fresh(&self.turns);
        let mut retried = queue.retried().take(RETRIED_SEEN_MAX);
        let retried = retried.find(|(_, task)| self.may_have(worker, queue, *task));
        fresh.into_iter().chain(retried).min()
    }

    pub(crate) fn has_room(&self, worker: &WorkerId, queue: QueueId) -> bool {
        let Some(worker) = self.workers.get(worker) else {
            return false;
        };
        let queue = self.queues.get(queue);
        let offer = &self.pools.get(worker.pool).offer;
        worker.has_room_for(queue.size, &offer.taken_by(&queue.platform), offer)
    }

    /// The most urgent task of a queue for which somebody is free, and the best worker for it.
    fn assignable(&self, id: QueueId) -> Option<(QueueKey, TaskId, WorkerId)> {
        if !self.queues.exists(id) {
            return None;
        }
        let queue = self.queues.get(id);
        let fresh = queue.first_fresh(&self.turns);
        let fresh = fresh.and_then(|(key, task)| {
            let worker = self.best_worker(self.tasks.by_id.get(&task)?, |_| true)?;
            Some((key, task, worker))
        });
        let mut retried = queue.retried().take(RETRIED_SEEN_MAX);
        let retried = retried.find_map(|(key, task)| Some((key, task, self.worker_for_retry(id, task)?)));
        fresh.into_iter().chain(retried).min_by_key(|(key, ..)| *key)
    }

    /// A worker that has not failed this task; one that has only if nobody else could ever take it.
    fn worker_for_retry(&self, id: QueueId, task: TaskId) -> Option<WorkerId> {
        let task = self.tasks.by_id.get(&task)?;
        if self.turns.is_closed(task.place.claim) {
            return None;
        }
        let untried = self.best_worker(task, |worker| !task.failures.avoided.contains(worker));
        if untried.is_some() || self.untried_exists(self.queues.get(id), task) {
            return untried;
        }
        self.best_worker(task, |_| true)
    }

    fn may_have(&self, worker: &WorkerId, queue: &Queue, task: TaskId) -> bool {
        let Some(task) = self.tasks.by_id.get(&task) else {
            return false;
        };
        let is_closed = self.turns.is_closed(task.place.claim);
        !is_closed && (!task.failures.avoided.contains(worker) || !self.untried_exists(queue, task))
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

    /// Of the workers that have room for a task and that `suits` accepts: one that lacks least of what is preferred, the
    /// one that ran the like last if it is among those, else the one with most free slots. A task avoids at most
    /// `attempts_max` workers, so only that many are ever passed over for that.
    pub(crate) fn best_worker(&self, task: &Task, suits: impl Fn(&WorkerId) -> bool) -> Option<WorkerId> {
        let id = task.queue;
        let queue = self.queues.get(id);
        let may = |worker: &WorkerId| suits(worker) && self.has_room(worker, id) && !self.is_kept(worker, id);
        let lacks = |pool: PoolId| self.pools.get(pool).offer.missing_of_preferred(&queue.platform);
        let first = |pool| {
            let mut free = self.pools.get(pool).free.iter().take(WORKERS_SEEN_MAX);
            free.find(|(_, worker)| may(worker))
        };
        let candidates = queue.pools.iter();
        let candidates = candidates.filter_map(|pool| Some((lacks(*pool), first(*pool)?)));
        let (least, (_, freest)): (usize, &FreeKey) = candidates.min()?;
        let is_as_good = |worker: &&WorkerId| {
            let pool = self.workers.get(*worker).map(|worker| worker.pool);
            let matches = pool.filter(|pool| queue.pools.contains(pool));
            matches.is_some_and(|pool| lacks(pool) == least) && may(worker)
        };
        let warm = self.shapes.ran_on(task.shape).filter(is_as_good);
        Some(warm.unwrap_or(freest).clone())
    }

    /// Whether a worker is reserved for another queue than this.
    pub(crate) fn is_kept(&self, worker: &WorkerId, id: QueueId) -> bool {
        self.kept_for(worker).is_some_and(|queue| queue != id)
    }

    /// The only queue that this worker takes anything of, if there is such a one.
    fn kept_for(&self, worker: &WorkerId) -> Option<QueueId> {
        let reserved_for = &self.workers.get(worker)?.reserved_for;
        let has_head = |id: &&QueueId| self.head_for(worker, self.queues.get(**id)).is_some();
        reserved_for.iter().find(has_head).copied()
    }

    /// This worker is about to be given the task at `key`: whatever is more urgent and could run there has found no
    /// room, and is not passed over for ever.
    fn note_passed_over(&mut self, worker_id: &WorkerId, key: QueueKey) {
        let Some(worker) = self.workers.get(worker_id) else {
            return;
        };
        let mut waited_enough = Vec::new();
        for id in &self.pools.get(worker.pool).queues {
            let head = self.head_for(worker_id, self.queues.get(*id));
            if head.is_some_and(|(head, _)| head < key) {
                let queue = self.queues.get_mut(*id);
                queue.passed_over += 1;
                if queue.passed_over >= PASSED_OVER_MAX && queue.reserved.is_none() {
                    waited_enough.push(*id);
                }
            }
        }
        for queue in waited_enough {
            self.reserve(queue, worker_id);
        }
    }

    fn reserve(&mut self, id: QueueId, worker_id: &WorkerId) {
        if let Some(worker) = self.workers.get_mut(worker_id) {
            worker.reserved_for.insert(id);
            self.queues.get_mut(id).reserved = Some(worker_id.clone());
        }
    }

    /// Nothing of this queue waits for room any more, or something of it has just found some.
    pub(crate) fn unreserve(&mut self, id: QueueId) {
        self.queues.get_mut(id).passed_over = 0;
        if let Some(worker_id) = self.queues.get_mut(id).reserved.take()
            && let Some(worker) = self.workers.get_mut(&worker_id)
        {
            worker.reserved_for.remove(&id);
            self.changes.workers_freed.insert(worker_id);
        }
    }

    /// A worker that was reserved is no more.
    pub(crate) fn unreserve_all(&mut self, queues: &BTreeSet<QueueId>) {
        for id in queues {
            if self.queues.exists(*id) {
                self.queues.get_mut(*id).reserved = None;
                self.changes.queues_filled.insert(*id);
            }
        }
    }
}
