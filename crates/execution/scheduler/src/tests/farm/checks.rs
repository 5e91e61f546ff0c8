//! What must be true after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blob::InstanceName;

use super::Farm;
use crate::deadline::Deadline;
use crate::dispatch::RETRIED_SEEN_MAX;
use crate::operation::Progress;
use crate::queue::Spot;
use crate::task::TaskState;
use crate::worker::Used;
use crate::{Effect, LeaseId, OperationName, OperationView, Stage, WorkerId};

impl Farm {
    /// Whatever an observer can see changed was announced; nothing is announced twice; the finished never change;
    /// lease numbers only grow.
    pub(super) fn check_effects(&mut self) {
        let mut updates = BTreeSet::new();
        let mut syncs = BTreeSet::new();
        for effect in &self.effects {
            match effect {
                Effect::Update(name) => assert!(updates.insert(name.clone()), "{name} is updated twice"),
                Effect::Sync(worker) => assert!(syncs.insert(worker.clone()), "{worker} is synced twice"),
                Effect::Publish(..) | Effect::Record(_) => {}
            }
        }
        let operations = self.operations();
        let names: BTreeSet<_> = operations.keys().chain(self.seen.operations.keys()).collect();
        for name in names {
            let (before, after) = (self.seen.operations.get(name), operations.get(name));
            if let (Some(before), Some(after)) = (before, after)
                && let Some(response) = &before.response
            {
                let now = after
                    .response
                    .as_ref()
                    .expect("a finished operation stays finished");
                assert!(Arc::ptr_eq(response, now), "the response of {name} changed");
            }
            if let (Some(before), None) = (before, after) {
                assert_eq!(before.stage, Stage::Completed, "{name} was lost");
            }
            if before.map(visible) != after.map(visible) {
                assert!(updates.contains(name), "{name} changed silently");
            }
        }
        let desired = self.desired();
        for worker in desired.keys().chain(self.seen.desired.keys()) {
            let (before, after) = (self.seen.desired.get(worker), desired.get(worker));
            assert!(
                before == after || syncs.contains(worker),
                "what {worker} should do changed silently"
            );
            for lease in after.into_iter().flatten() {
                let is_old = before.is_some_and(|before| before.contains(lease));
                if !is_old {
                    assert!(self.seen.lease_last < Some(*lease), "lease {lease} came again");
                    self.check_grant(*lease);
                }
            }
        }
        self.seen.lease_last = self
            .seen
            .lease_last
            .max(desired.values().flatten().max().copied());
        self.seen.operations = operations;
        self.seen.desired = desired;
    }

    pub(super) fn operations(&self) -> BTreeMap<OperationName, OperationView> {
        let views = self.scheduler.operations(None, usize::MAX).into_iter();
        views.map(|view| (view.name.clone(), view)).collect()
    }

    pub(super) fn desired(&self) -> BTreeMap<WorkerId, Vec<LeaseId>> {
        let workers = self.scheduler.view().workers.into_iter();
        workers
            .map(|worker| {
                (
                    worker.id,
                    worker.leases.into_iter().map(|lease| lease.id).collect(),
                )
            })
            .collect()
    }

    /// A lease that was granted just now: to somebody who takes work and has a slot for it, and not before a more
    /// urgent task of any queue that this worker serves.
    fn check_grant(&self, lease: LeaseId) {
        let scheduler = &self.scheduler;
        let lease = &scheduler.leases[&lease];
        let worker = &scheduler.workers[&lease.worker];
        let memory_fits = worker.memory_bytes == 0 || worker.used.memory_bytes <= worker.memory_bytes;
        assert!(
            worker.leases.len() == 1 || (worker.used.slots <= worker.slots && memory_fits),
            "{} has too much to do",
            lease.worker
        );
        assert!(worker.connected && !worker.draining);
        let pool = scheduler.pools.get(worker.pool);
        let task = &scheduler.tasks.by_id[&lease.task];
        assert!(pool.offer.meets(&task.work.platform));
        for queue_id in &pool.queues {
            let queue = scheduler.queues.get(*queue_id);
            let mut line = queue.waiting().map(|task| scheduler.tasks.by_id[&task].spot());
            let is_before = |spot: Spot| {
                let own = task.spot();
                let in_line = !spot.is_retried && !own.is_retried;
                spot.claim == own.claim && in_line && (spot.turn, spot.task) < (own.turn, own.task)
            };
            let is_larger = queue.size != lease.size || !pool.offer.taken_by(&queue.platform).is_empty();
            let is_kept = scheduler.is_kept(&lease.worker, *queue_id);
            assert!(
                is_larger || is_kept || !line.any(is_before),
                "a less urgent task came first"
            );
        }
    }

    /// The parts of the state agree with each other.
    pub(super) fn check_state(&self) {
        let scheduler = &self.scheduler;
        let mut waiting = BTreeMap::new();
        for (name, operation) in &scheduler.operations.by_name {
            if let Progress::Waiting(task, priority) = operation.progress {
                let task = scheduler
                    .tasks
                    .by_id
                    .get(&task)
                    .expect("a live operation has a task");
                assert!(
                    task.operations
                        .iter()
                        .any(|waiter| *waiter == (priority, name.clone()))
                );
            }
        }
        let tasks = scheduler.tasks.by_id.values();
        let queued = tasks.filter(|task| task.state == TaskState::Queued).count();
        assert_eq!(scheduler.turns.tasks(), (scheduler.tasks.by_id.len(), queued));
        for (id, task) in &scheduler.tasks.by_id {
            assert!(!task.operations.is_empty(), "nobody waits for {id:?}");
            for (_, name) in task.operations.iter() {
                assert!(waiting.insert(name, id).is_none(), "{name} waits for two tasks");
            }
            assert_eq!(
                scheduler.turns.priority(task.place.flow),
                task.operations.first().map(|(priority, _)| *priority),
                "in line with its most urgent operation"
            );
            let queue = scheduler.queues.get(task.queue);
            match task.state {
                TaskState::Queued => {
                    assert!(
                        task.phase.is_none() && task.metadata.is_none(),
                        "nobody works on it"
                    );
                    assert!(queue.waiting().any(|waiting| waiting == *id));
                }
                TaskState::Running(_) | TaskState::Publishing => {}
            }
            let leases: Vec<LeaseId> = task.leases().collect();
            let holders: BTreeSet<&WorkerId> = leases.iter().map(|id| &scheduler.leases[id].worker).collect();
            assert_eq!(holders.len(), leases.len(), "one worker has {id:?} twice");
            assert!(leases.iter().all(|lease| scheduler.leases[lease].task == *id));
            let is_running = matches!(task.state, TaskState::Running(_));
            assert!(task.second.is_none() || (is_running && !task.work.do_not_cache));
        }
        assert_eq!(waiting.len(), scheduler.operations.live_count());
        self.check_workers();
        self.check_quotas();
        self.check_dispatch();
        self.check_deadlines();
    }

    fn check_workers(&self) {
        let scheduler = &self.scheduler;
        let mut leases = 0;
        for (id, worker) in &scheduler.workers {
            leases += worker.leases.len();
            for lease in &worker.leases {
                assert_eq!(scheduler.leases[lease].worker, *id);
                let task = &scheduler.tasks.by_id[&scheduler.leases[lease].task];
                assert!(
                    task.leases().any(|its| its == *lease),
                    "a task has one live lease, or two if it seemed to be stuck"
                );
            }
            let pool = scheduler.pools.get(worker.pool);
            assert!(pool.workers.contains(id));
            assert_eq!(pool.usable.contains(id), worker.is_usable());
            let listed: Vec<u32> = pool
                .free
                .iter()
                .filter(|(_, free)| free == id)
                .map(|(free, _)| free.0)
                .collect();
            let mut used = Used::default();
            for lease in worker.leases.iter().map(|lease| &scheduler.leases[lease]) {
                used.add(lease.size, &lease.amounts);
            }
            assert_eq!(worker.used, used);
            for (name, used) in &used.amounts {
                assert!(*used <= pool.offer.amount_of(name), "{id} has too much of {name}");
            }
            for queue in &worker.reserved_for {
                let queue = scheduler.queues.get(*queue);
                assert_eq!(queue.reserved.as_ref(), Some(id));
                assert!(
                    queue.len() > 0 && worker.is_usable(),
                    "{id} is reserved for nothing"
                );
            }
            let free = worker.free_slots();
            assert_eq!(listed, if free > 0 { vec![free] } else { vec![] });
        }
        assert_eq!(leases, scheduler.leases.len());
        for (pool_id, pool) in scheduler.pools.possible() {
            for (queue_id, queue) in scheduler.queues.iter() {
                let matches = pool.offer.meets(&queue.platform);
                assert_eq!(pool.queues.contains(&queue_id), matches);
                assert_eq!(queue.pools.contains(&pool_id), matches);
            }
        }
        for (id, queue) in scheduler.queues.iter() {
            if let Some(worker) = &queue.reserved {
                assert!(scheduler.workers[worker].reserved_for.contains(&id));
            }
            assert!(
                queue.tasks > 0 && queue.len() <= queue.tasks,
                "a queue lives as long as its tasks"
            );
            let is_hopeless = queue.pools.is_empty() && !scheduler.in_startup_grace();
            assert!(!is_hopeless || queue.len() == 0, "somebody waits in vain");
        }
    }

    /// Nobody has more than a quota and one action, and what is held is what leases say.
    fn check_quotas(&self) {
        let scheduler = &self.scheduler;
        let mut held: BTreeMap<InstanceName, Vec<u32>> = BTreeMap::new();
        for lease in scheduler.leases.values() {
            let tenant = &scheduler.tasks.by_id[&lease.task].work.instance;
            if scheduler.options.quotas.contains_key(tenant) {
                held.entry(tenant.clone()).or_default().push(lease.size.slots);
            }
        }
        for (tenant, slots) in &held {
            let before_the_largest = slots.iter().sum::<u32>() - slots.iter().max().unwrap();
            assert!(
                before_the_largest <= scheduler.options.quotas[tenant],
                "{tenant} has too much"
            );
        }
        let sums: BTreeMap<InstanceName, u32> = held
            .into_iter()
            .map(|(tenant, slots)| (tenant, slots.iter().sum()))
            .collect();
        assert_eq!(*scheduler.held(), sums);
    }

    /// No task waits that somebody free could run.
    fn check_dispatch(&self) {
        let scheduler = &self.scheduler;
        for (id, queue) in scheduler.queues.iter() {
            let pools = || queue.pools.iter().map(|pool| scheduler.pools.get(*pool));
            let free: BTreeSet<&WorkerId> = pools()
                .flat_map(|pool| pool.free.iter().map(|(_, id)| id))
                .filter(|worker| scheduler.has_room(worker, id))
                .collect();
            let fresh = queue.first_fresh(&scheduler.turns);
            let fresh_could = fresh.is_some() && free.iter().any(|worker| !scheduler.is_kept(worker, id));
            assert!(!fresh_could, "a task waits beside a free worker");
            for (_, task) in queue.retried().take(RETRIED_SEEN_MAX) {
                let task = &scheduler.tasks.by_id[&task];
                if scheduler.turns.is_closed(task.place.claim) {
                    continue;
                }
                let avoided = &task.failures.avoided;
                let somebody_else = pools().any(|pool| pool.usable.iter().any(|id| !avoided.contains(id)));
                let could_have_it = free.iter().any(|worker| {
                    !scheduler.is_kept(worker, id) && (!somebody_else || !avoided.contains(*worker))
                });
                assert!(!could_have_it, "a retried task waits beside a free worker");
            }
        }
    }

    /// Every deadline is somebody's, so `next_wakeup` is never early for nothing.
    fn check_deadlines(&self) {
        let scheduler = &self.scheduler;
        let mut expected = usize::from(scheduler.in_startup_grace()) + scheduler.workers.len();
        expected += usize::from(scheduler.pools.unusable_count() > 0);
        for (name, operation) in &scheduler.operations.by_name {
            let is_abandoned = matches!(operation.progress, Progress::Waiting(..)) && operation.watchers == 0;
            let deadline = scheduler.deadlines.get(&Deadline::Abandoned(name.clone()));
            assert_eq!(deadline.is_some(), is_abandoned, "{name}");
            expected += usize::from(is_abandoned);
        }
        for (id, task) in &scheduler.tasks.by_id {
            let is_watched = task.leases().count() == 1 && task.expected.is_some() && !task.work.do_not_cache;
            let deadline = scheduler.deadlines.get(&Deadline::Stuck(*id));
            assert_eq!(deadline.is_some(), is_watched, "{id:?}");
            expected += usize::from(is_watched);
        }
        assert_eq!(scheduler.deadlines.len(), expected);
        assert!(
            scheduler.next_wakeup().is_none_or(|wakeup| wakeup >= self.now),
            "a deadline was missed"
        );
    }
}

/// What [`OperationView`] promises to announce.
fn visible(view: &OperationView) -> impl PartialEq + use<> {
    let response = view
        .response
        .as_ref()
        .map(|response| Arc::as_ptr(response) as usize);
    (
        view.stage,
        view.attempt,
        view.phase,
        view.partial_metadata.clone(),
        response,
    )
}
