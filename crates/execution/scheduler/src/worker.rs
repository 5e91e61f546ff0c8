//! Workers as the scheduler knows them: who is there, who may get work, who is lost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::deadline::Deadline;
use crate::platform::Offer;
use crate::pool::PoolId;
use crate::queue::QueueId;
use crate::size::{CPUS, MEMORY, Size};
use crate::{Entry, LeaseId, Scheduler, Time, Usage, WorkerId, WorkerReport};

/// One worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) pool: PoolId,
    pub(crate) slots: u32,
    /// Takes nothing new: it says so, or people do.
    pub(crate) draining: bool,
    pub(crate) says_draining: bool,
    /// Its stream is up, as far as the shell knows.
    pub(crate) connected: bool,
    /// When it went, if it is not connected.
    pub(crate) away_since: Option<Time>,
    /// What it should be doing.
    pub(crate) leases: BTreeSet<LeaseId>,
    /// What that takes.
    pub(crate) used: Used,
    /// The queues whose first task it waits to have room for.
    pub(crate) reserved_for: BTreeSet<QueueId>,
    /// How much memory its actions may use together; zero if it does not say.
    pub(crate) memory_bytes: u64,
    /// The number of free slots it is listed with in its pool, if it is.
    listed_free: u32,
}

/// What a worker says of itself, but for its offer.
#[derive(Debug, Default)]
pub(crate) struct Seated {
    pub(crate) name: String,
    pub(crate) slots: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) draining: bool,
}

/// What the leases of a worker take together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) slots: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) amounts: BTreeMap<String, u64>,
}

impl Used {
    pub(crate) fn add(&mut self, size: Size, amounts: &BTreeMap<String, u64>) {
        self.slots = self.slots.saturating_add(size.slots);
        self.memory_bytes = self.memory_bytes.saturating_add(size.memory_bytes);
        for (name, amount) in amounts {
            let used = self.amounts.entry(name.clone()).or_default();
            *used = used.saturating_add(*amount);
        }
    }

    pub(crate) fn remove(&mut self, size: Size, amounts: &BTreeMap<String, u64>) {
        self.slots = self.slots.saturating_sub(size.slots);
        self.memory_bytes = self.memory_bytes.saturating_sub(size.memory_bytes);
        for (name, amount) in amounts {
            if let Some(used) = self.amounts.get_mut(name) {
                *used = used.saturating_sub(*amount);
                if *used == 0 {
                    self.amounts.remove(name);
                }
            }
        }
    }
}

impl Worker {
    /// Takes work at all, if not at this moment.
    pub(crate) fn is_usable(&self) -> bool {
        !self.draining && self.slots > 0
    }

    /// Whether a task of this size, that takes these amounts, has room beside what it is doing. One that does nothing has
    /// room for whatever its size is thought to be: nobody has more.
    pub(crate) fn has_room_for(&self, size: Size, amounts: &BTreeMap<String, u64>, offer: &Offer) -> bool {
        if self.free_slots() == 0 {
            return false;
        }
        let memory_fits = self.memory_bytes == 0
            || self.used.memory_bytes.saturating_add(size.memory_bytes) <= self.memory_bytes;
        let size_fits = size.slots <= self.free_slots() && memory_fits;
        let amount_fits = |(name, asked): (&String, &u64)| self.has_amount(name, *asked, offer);
        (size_fits || self.leases.is_empty()) && amounts.iter().all(amount_fits)
    }

    /// Whether so much of a named resource is left.
    pub(crate) fn has_amount(&self, name: &str, asked: u64, offer: &Offer) -> bool {
        let used = self.used.amounts.get(name).copied().unwrap_or(0);
        used.saturating_add(asked) <= offer.amount_of(name)
    }

    /// Slots that are free now. A worker whose slots became fewer than what it does takes simply has none.
    pub(crate) fn free_slots(&self) -> u32 {
        if !self.connected || self.draining {
            return 0;
        }
        self.slots.saturating_sub(self.used.slots)
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
            leaves_in,
            memory_bytes,
            resources,
            leases,
            usages,
        } = report;
        let draining = draining || leaves_in.is_some();
        let is_new = !self.workers.contains_key(&id);
        if is_new && self.workers.len() >= self.options.workers_max {
            // `desired` answers `None`: not accepted.
            return self.changes.sync(&id);
        }
        let slots = slots.min(self.options.slots_max);
        let sizes = [(CPUS.to_owned(), slots.into()), (MEMORY.to_owned(), memory_bytes)];
        let sizes = sizes.into_iter().filter(|(_, amount)| *amount > 0);
        let offer = Offer::new(
            properties,
            sizes.chain(resources),
            self.options.worker_properties_max,
        );
        let seated = Seated {
            name,
            slots,
            memory_bytes,
            draining,
        };
        if !self.sits(&id, &seated, &offer) {
            self.seat(&id, seated, offer);
        }
        let usages: BTreeMap<LeaseId, Usage> = usages.into_iter().collect();
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
            differs |= !self.lease_reported(&id, lease, state, usages.get(&lease));
        }
        for lease in unreported {
            differs = true;
            self.lose_if_unreported(lease);
        }
        if let Some(left) = leaves_in {
            self.hand_back(&id, left);
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
        let reserved_for = std::mem::take(&mut worker.reserved_for);
        let since = *worker.away_since.get_or_insert(self.now);
        if !worker.leases.is_empty() {
            let worker = id.clone();
            self.changes.record(Entry::Away { worker, since });
        }
        self.list_free_slots(id);
        self.unreserve_all(&reserved_for);
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
        self.unreserve_all(&worker.reserved_for);
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

    /// All workers, by id.
    pub(crate) fn workers_in_order(&self) -> Vec<(&WorkerId, &Worker)> {
        let mut workers: Vec<_> = self.workers.iter().collect();
        workers.sort_by_key(|(id, _)| *id);
        workers
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

    /// Whether a worker is where its report says already, so that nothing has changed for anybody.
    fn sits(&self, id: &WorkerId, seated: &Seated, offer: &Offer) -> bool {
        let Some(worker) = self.workers.get(id) else {
            return false;
        };
        worker.connected
            && worker.away_since.is_none()
            && (worker.slots, worker.memory_bytes) == (seated.slots, seated.memory_bytes)
            && worker.name == seated.name
            && worker.says_draining == seated.draining
            && self.pools.get(worker.pool).offer == *offer
    }

    /// Puts a worker, new or known, into the pool its report says.
    pub(crate) fn seat(&mut self, id: &WorkerId, seated: Seated, offer: Offer) {
        let Seated {
            name,
            slots,
            memory_bytes,
            draining: says_draining,
        } = seated;
        let draining = says_draining || self.drains.cover(&name);
        let pool = self.pools.of(offer);
        let mut before = self.workers.remove(id);
        let leases = before
            .as_ref()
            .map_or_else(BTreeSet::new, |worker| worker.leases.clone());
        let was_away = before.as_ref().is_some_and(|worker| worker.away_since.is_some());
        if was_away && !leases.is_empty() {
            self.changes.record(Entry::Back(id.clone()));
        }
        let moves = before.as_ref().is_none_or(|before| before.pool != pool);
        let used = match &before {
            Some(before) if !moves => before.used.clone(),
            _ => self.recount(&leases, pool),
        };
        let mut reserved_for = before
            .as_mut()
            .map_or_else(BTreeSet::new, |worker| std::mem::take(&mut worker.reserved_for));
        if moves || draining || slots == 0 {
            self.unreserve_all(&std::mem::take(&mut reserved_for));
        }
        let worker = Worker {
            name,
            pool,
            slots,
            draining,
            says_draining,
            connected: true,
            away_since: None,
            leases,
            used,
            reserved_for,
            memory_bytes,
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

    /// A worker takes nothing new from now on, or takes work again.
    pub(crate) fn set_draining(&mut self, id: &WorkerId, draining: bool) {
        let Some(worker) = self
            .workers
            .get_mut(id)
            .filter(|worker| worker.draining != draining)
        else {
            return;
        };
        worker.draining = draining;
        let reserved_for = std::mem::take(&mut worker.reserved_for);
        let (pool, is_usable) = (worker.pool, worker.is_usable());
        let seat = self.pools.get_mut(pool);
        match is_usable {
            true => seat.usable.insert(id.clone()),
            false => seat.usable.remove(id),
        };
        self.list_free_slots(id);
        self.unreserve_all(&reserved_for);
        if !is_usable {
            self.reconsider_retries(pool);
        }
        self.changes.workers_freed.insert(id.clone());
        self.settle_pool(pool);
    }

    /// What these leases take of a worker that has a new offer: what is an amount there.
    fn recount(&mut self, leases: &BTreeSet<LeaseId>, pool: PoolId) -> Used {
        let offer = &self.pools.get(pool).offer;
        let mut used = Used::default();
        for id in leases {
            let Some(lease) = self.leases.get_mut(id) else {
                continue;
            };
            if let Some(task) = self.tasks.by_id.get(&lease.task) {
                lease.amounts = offer.taken_by(&task.work.platform);
            }
            used.add(lease.size, &lease.amounts);
        }
        used
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
            if self.queues.get(*queue).retried().next().is_some() {
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
