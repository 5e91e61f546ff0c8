//! Workers as the scheduler knows them: who is there, who may get work, who is lost.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::deadline::Deadline;
use crate::platform::Offer;
use crate::pool::PoolId;
use crate::{Entry, LeaseId, Scheduler, Time, WorkerId, WorkerReport};

/// One worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) pool: PoolId,
    pub(crate) slots: u32,
    pub(crate) draining: bool,
    /// Its stream is up, as far as the shell knows.
    pub(crate) connected: bool,
    /// When it went, if it is not connected.
    pub(crate) away_since: Option<Time>,
    /// What it should be doing.
    pub(crate) leases: BTreeSet<LeaseId>,
    /// The number of free slots it is listed with in its pool, if it is.
    listed_free: u32,
}

impl Worker {
    /// Takes work at all, if not at this moment.
    pub(crate) fn is_usable(&self) -> bool {
        !self.draining && self.slots > 0
    }

    /// Leases it can take now. A worker whose slots became fewer than its leases simply has none.
    pub(crate) fn free_slots(&self) -> u32 {
        if !self.connected || self.draining {
            return 0;
        }
        self.slots
            .saturating_sub(u32::try_from(self.leases.len()).unwrap_or(u32::MAX))
    }
}

impl Scheduler {
    /// A worker's complete state: it is there, its leases live on, and whatever it reports differently from what is
    /// desired makes it be told again.
    pub(crate) fn worker_synced(&mut self, id: WorkerId, report: WorkerReport) {
        let WorkerReport {
            name,
            properties,
            slots,
            draining,
            leases,
        } = report;
        let offer = Offer::new(properties, self.options.worker_properties_max);
        let is_new = !self.workers.contains_key(&id);
        if is_new && self.workers.len() >= self.options.workers_max {
            // `desired` answers `None`: not accepted.
            return self.changes.sync(&id);
        }
        let slots = slots.min(self.options.slots_max);
        self.seat(&id, name, offer, slots, draining);
        self.deadlines.set(
            Deadline::Worker(id.clone()),
            Some(self.now + self.options.lease_duration),
        );
        let mut differs = is_new;
        let mut unreported = self
            .workers
            .get(&id)
            .map_or_else(BTreeSet::new, |worker| worker.leases.clone());
        for (lease, state) in leases {
            unreported.remove(&lease);
            differs |= !self.lease_reported(&id, lease, state);
        }
        for lease in unreported {
            differs = true;
            self.lose_if_unreported(lease);
        }
        if differs {
            self.changes.sync(&id);
        }
    }

    /// The stream broke: no new work, and little time to come back.
    pub(crate) fn worker_gone(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.connected = false;
        let since = *worker.away_since.get_or_insert(self.now);
        if !worker.leases.is_empty() {
            let worker = id.clone();
            self.changes.record(Entry::Away { worker, since });
        }
        self.list_free_slots(id);
        let deadline = Deadline::Worker(id.clone());
        let grace_ends = self.now + self.options.reconnect_grace;
        let ends = self
            .deadlines
            .get(&deadline)
            .map_or(grace_ends, |at| at.min(grace_ends));
        self.deadlines.set(deadline, Some(ends));
    }

    /// The worker did not speak for too long: its leases end and their tasks go elsewhere.
    pub(crate) fn remove_worker(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.remove(id) else {
            return;
        };
        self.leave_pool(id, &worker);
        self.changes.sync(id);
        for lease in worker.leases {
            self.lose(lease, &worker.name);
        }
    }

    /// Forgets the platform that has been without a usable worker for longest; what waits for it has waited enough.
    pub(crate) fn forget_longest_unusable_pool(&mut self) {
        let Some((_, pool)) = self.pools.longest_unusable() else {
            return;
        };
        for queue in self.pools.forget(pool) {
            self.queues.get_mut(queue).pools.remove(&pool);
            self.give_up_if_hopeless(queue);
        }
        self.await_pool_memory();
    }

    /// What a worker calls itself; empty for one that is gone.
    pub(crate) fn worker_name(&self, id: &WorkerId) -> String {
        let worker = self.workers.get(id);
        worker.map_or_else(String::new, |worker| worker.name.clone())
    }

    /// Brings a worker's place among the free ones of its pool up to date.
    pub(crate) fn list_free_slots(&mut self, id: &WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        let free_slots = worker.free_slots();
        let free = &mut self.pools.get_mut(worker.pool).free;
        free.remove(&(Reverse(worker.listed_free), id.clone()));
        if free_slots > 0 {
            free.insert((Reverse(free_slots), id.clone()));
        }
        worker.listed_free = free_slots;
    }

    /// Puts a worker, new or known, into the pool its report says.
    pub(crate) fn seat(&mut self, id: &WorkerId, name: String, offer: Offer, slots: u32, draining: bool) {
        let pool = self.pools.of(offer);
        let before = self.workers.remove(id);
        let leases = before
            .as_ref()
            .map_or_else(BTreeSet::new, |worker| worker.leases.clone());
        let was_away = before.as_ref().is_some_and(|worker| worker.away_since.is_some());
        if was_away && !leases.is_empty() {
            self.changes.record(Entry::Back(id.clone()));
        }
        let worker = Worker {
            name,
            pool,
            slots,
            draining,
            connected: true,
            away_since: None,
            leases,
            listed_free: 0,
        };
        let seat = self.pools.get_mut(pool);
        seat.workers.insert(id.clone());
        if worker.is_usable() {
            seat.usable.insert(id.clone());
            seat.last_name.clone_from(&worker.name);
        } else {
            seat.usable.remove(id);
        }
        let stays_usable = worker.is_usable();
        match before {
            Some(before) if before.pool != pool => self.leave_pool(id, &before),
            Some(before) => {
                self.pools
                    .get_mut(pool)
                    .free
                    .remove(&(Reverse(before.listed_free), id.clone()));
                if before.is_usable() && !stays_usable {
                    self.reconsider_retries(pool);
                }
            }
            None => {}
        }
        self.workers.insert(id.clone(), worker);
        self.list_free_slots(id);
        self.changes.workers_freed.insert(id.clone());
        self.settle_pool(pool);
    }

    fn leave_pool(&mut self, id: &WorkerId, worker: &Worker) {
        let pool = self.pools.get_mut(worker.pool);
        pool.workers.remove(id);
        pool.usable.remove(id);
        pool.free.remove(&(Reverse(worker.listed_free), id.clone()));
        self.reconsider_retries(worker.pool);
        self.settle_pool(worker.pool);
    }

    /// A worker less: tasks that were kept for it may now go to one that has failed them before.
    fn reconsider_retries(&mut self, pool: PoolId) {
        for queue in &self.pools.get(pool).queues {
            if !self.queues.get(*queue).retried.is_empty() {
                self.changes.queues_filled.insert(*queue);
            }
        }
    }

    /// After workers of a pool changed: introduces the pool to the queues when it has become possible, and keeps
    /// the memory of impossible ones bounded.
    fn settle_pool(&mut self, id: PoolId) {
        if self.pools.settle(id, self.now) {
            let pool = self.pools.get_mut(id);
            for queue_id in self.queues.ids() {
                let queue = self.queues.get_mut(queue_id);
                if pool.offer.meets(&queue.platform) {
                    queue.pools.insert(id);
                    queue.was_possible = true;
                    pool.queues.insert(queue_id);
                }
            }
        }
        while self.pools.unusable_count() > self.options.workers_max {
            self.forget_longest_unusable_pool();
        }
        self.await_pool_memory();
    }

    fn await_pool_memory(&mut self) {
        let due = self
            .pools
            .longest_unusable()
            .map(|(since, _)| since + self.options.worker_memory);
        self.deadlines.set(Deadline::Pool, due);
    }
}
