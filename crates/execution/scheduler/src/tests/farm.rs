//! A scheduler under observation: events go in one by one, and after each everything that must always be true is
//! checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, Platform};
use blob::{Digest, DigestFunction, InstanceName};
use reapi::execution::{ActionResult, ExecuteResponse, RequestMetadata};
use reapi::rpc::Code;

use crate::deadline::Deadline;
use crate::dispatch::RETRIED_SEEN_MAX;
use crate::operation::Progress;
use crate::queue::Spot;
use crate::task::{Task, TaskState};
use crate::worker::Used;
use crate::{
    Effect, Entry, Event, LeaseId, LeaseState, OperationName, OperationView, Phase, Request, Scheduler,
    SchedulerOptions, Stage, TaskId, Time, Work, WorkerId, WorkerReport,
};

mod restart;

pub(super) const LINUX: &[(&str, &str)] = &[("OSFamily", "linux")];
pub(super) const WINDOWS: &[(&str, &str)] = &[("OSFamily", "windows")];

pub(super) struct Farm {
    pub(super) scheduler: Scheduler,
    pub(super) now: Time,
    /// What the last event had as effects.
    pub(super) effects: Vec<Effect>,
    /// Publications that were asked for and not answered.
    pub(super) publications: Vec<(TaskId, Arc<ExecuteResponse>)>,
    /// All that had to be remembered.
    pub(super) journal: Vec<Entry>,
    seen: Seen,
    published: BTreeSet<TaskId>,
}

/// What an observer knew before the last event.
#[derive(Default)]
struct Seen {
    operations: BTreeMap<OperationName, OperationView>,
    desired: BTreeMap<WorkerId, Vec<LeaseId>>,
    lease_last: Option<LeaseId>,
}

pub(super) fn name(text: &str) -> OperationName {
    OperationName::new(text)
}

pub(super) fn worker(text: &str) -> WorkerId {
    WorkerId::new(text)
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn properties(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn work(action: &str, platform: &[(&str, &str)]) -> Work {
    let digest = Digest::of(DigestFunction::Sha256, action.as_bytes());
    Work {
        instance: InstanceName::default(),
        action_digest: ActionDigest::new(digest),
        action: Default::default(),
        command: Default::default(),
        platform: Platform::new(properties(platform)).unwrap(),
        timeout: seconds(60),
        do_not_cache: false,
        request_metadata: None,
        queued_at: Default::default(),
    }
}

/// The same, for a build.
pub(super) fn work_of(build: &str, action: &str, platform: &[(&str, &str)]) -> Work {
    let metadata = RequestMetadata {
        tool_invocation_id: build.to_owned(),
        ..RequestMetadata::default()
    };
    Work {
        request_metadata: Some(metadata),
        ..work(action, platform)
    }
}

pub(super) fn succeeded(exit_code: i32) -> Box<ExecuteResponse> {
    let result = ActionResult {
        exit_code,
        ..ActionResult::default()
    };
    Box::new(ExecuteResponse {
        result: Some(result),
        ..ExecuteResponse::default()
    })
}

pub(super) fn failed(code: Code, message: &str) -> Box<ExecuteResponse> {
    Box::new(crate::response::failed(code, message))
}

pub(super) fn running() -> LeaseState {
    LeaseState::Running {
        phase: Phase::Executing,
        metadata: None,
    }
}

impl Farm {
    /// A farm past its start-up grace, with the default options.
    pub(super) fn new() -> Self {
        let mut farm = Farm::starting(SchedulerOptions::default());
        farm.wait(seconds(15));
        farm
    }

    /// A farm at its first moment.
    pub(super) fn starting(options: SchedulerOptions) -> Self {
        // What the tests count with, whatever is best for real networks.
        let reconnect_grace = std::time::Duration::from_secs(2);
        let options = SchedulerOptions {
            reconnect_grace,
            ..options
        };
        let mut farm = Farm {
            scheduler: Scheduler::new(options),
            now: Time::from_micros(1_000_000),
            effects: Vec::new(),
            publications: Vec::new(),
            journal: Vec::new(),
            seen: Seen::default(),
            published: BTreeSet::new(),
        };
        assert_eq!(farm.scheduler.next_wakeup(), None);
        farm.send(Event::Tick);
        farm
    }

    pub(super) fn send(&mut self, event: Event) {
        self.effects.clear();
        self.scheduler.handle(self.now, event, &mut self.effects);
        self.take_effects();
        self.check_effects();
        self.check_state();
    }

    fn take_effects(&mut self) {
        let is_record = |effect: &Effect| matches!(effect, Effect::Record(_));
        assert!(
            self.effects.is_sorted_by_key(|effect| !is_record(effect)),
            "something is told before it is remembered"
        );
        for effect in &self.effects {
            match effect {
                Effect::Record(entry) => self.journal.push(entry.clone()),
                Effect::Publish(task, _, response) => {
                    assert!(self.published.insert(*task), "{task:?} is published twice");
                    self.publications.push((*task, response.clone()));
                }
                Effect::Sync(_) | Effect::Update(_) => {}
            }
        }
    }

    /// Lets time pass, with a tick whenever the scheduler wants one and one just before, which must do nothing.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(wakeup) = self.scheduler.next_wakeup().filter(|wakeup| *wakeup <= end) {
            if wakeup > self.now {
                self.now = Time(wakeup.0 - 1).max(self.now);
                self.send(Event::Tick);
                assert!(
                    self.effects.is_empty(),
                    "something happened before its time: {:?}",
                    self.effects
                );
            }
            self.now = wakeup.max(self.now);
            self.send(Event::Tick);
            assert!(
                self.scheduler
                    .next_wakeup()
                    .is_none_or(|next| next > wakeup || next >= self.now)
            );
        }
        self.now = end;
        self.send(Event::Tick);
    }

    pub(super) fn execute(&mut self, operation: &str, work: Work) {
        self.execute_at(operation, work, 0);
    }

    pub(super) fn execute_at(&mut self, operation: &str, work: Work, priority: i32) {
        let operation = name(operation);
        let work = Arc::new(work);
        self.send(Event::Execute(Request {
            operation,
            work,
            priority,
            skip_cache_lookup: false,
        }));
    }

    /// A worker's message, with its leases as the scheduler wants them, all running.
    pub(super) fn sync(&mut self, id: &str, offer: &[(&str, &str)], slots: u32) {
        let leases = self
            .leases(id)
            .into_iter()
            .map(|lease| (lease, running()))
            .collect();
        self.report(id, offer, slots, leases);
    }

    pub(super) fn report(
        &mut self,
        id: &str,
        offer: &[(&str, &str)],
        slots: u32,
        leases: Vec<(LeaseId, LeaseState)>,
    ) {
        let report = WorkerReport {
            name: id.to_owned(),
            properties: properties(offer),
            slots,
            draining: false,
            leases,
            ..WorkerReport::default()
        };
        self.send(Event::WorkerSynced(worker(id), report));
    }

    /// A worker's message that one lease is done and the others run.
    pub(super) fn complete(
        &mut self,
        id: &str,
        offer: &[(&str, &str)],
        slots: u32,
        done: LeaseId,
        response: Box<ExecuteResponse>,
    ) {
        let others = self.leases(id).into_iter().filter(|lease| *lease != done);
        let mut leases: Vec<_> = others.map(|lease| (lease, running())).collect();
        leases.push((done, LeaseState::Completed(response)));
        self.report(id, offer, slots, leases);
    }

    /// The shell stores every result it was asked to.
    pub(super) fn publish_all(&mut self) {
        for (task, response) in std::mem::take(&mut self.publications) {
            self.send(Event::Published(task, response));
        }
    }

    pub(super) fn leases(&self, id: &str) -> Vec<LeaseId> {
        let desired = self.scheduler.desired(&worker(id)).unwrap_or_default();
        desired.into_iter().map(|(lease, ..)| lease).collect()
    }

    /// The names of the operations a worker's leases were granted for.
    pub(super) fn assigned(&self, id: &str) -> Vec<String> {
        let desired = self.scheduler.desired(&worker(id)).unwrap_or_default();
        desired
            .into_iter()
            .map(|(_, operation, _)| operation.to_string())
            .collect()
    }

    pub(super) fn view(&self, operation: &str) -> OperationView {
        self.scheduler
            .operation(&name(operation))
            .unwrap_or_else(|| panic!("operation {operation} is not known"))
    }

    pub(super) fn stage(&self, operation: &str) -> Stage {
        self.view(operation).stage
    }

    /// Code and message of a finished operation.
    pub(super) fn outcome(&self, operation: &str) -> (Code, String) {
        let response = self
            .view(operation)
            .response
            .unwrap_or_else(|| panic!("{operation} is not finished"));
        let status = response.status.clone().unwrap_or_default();
        (Code::try_from(status.code).unwrap(), status.message)
    }

    pub(super) fn updated(&self, operation: &str) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Update(updated) if *updated == name(operation)))
    }

    pub(super) fn synced(&self, id: &str) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Sync(synced) if *synced == worker(id)))
    }

    /// Nothing is remembered: no operation, task, queue, worker, lease or deadline.
    pub(super) fn assert_empty(&self) {
        let scheduler = &self.scheduler;
        assert_eq!(scheduler.operations(None, 1).len(), 0);
        assert_eq!(scheduler.tasks.sizes(), (0, 0, 0));
        assert_eq!(scheduler.queues.len(), 0);
        assert_eq!((scheduler.workers.len(), scheduler.pools.len()), (0, 0));
        assert_eq!((scheduler.leases.len(), scheduler.deadlines.len()), (0, 0));
        assert_eq!(scheduler.next_wakeup(), None);
    }

    /// Whatever an observer can see changed was announced; nothing is announced twice; the finished never change;
    /// lease numbers only grow.
    fn check_effects(&mut self) {
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

    fn operations(&self) -> BTreeMap<OperationName, OperationView> {
        let views = self.scheduler.operations(None, usize::MAX).into_iter();
        views.map(|view| (view.name.clone(), view)).collect()
    }

    fn desired(&self) -> BTreeMap<WorkerId, Vec<LeaseId>> {
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
                spot.claim == own.claim && in_line && (spot.turn, spot.sequence) < (own.turn, own.sequence)
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
    fn check_state(&self) {
        let scheduler = &self.scheduler;
        let mut waiting = BTreeMap::new();
        for (name, operation) in &scheduler.operations.by_name {
            if let Progress::Waiting(task, priority) = operation.progress {
                let task = scheduler
                    .tasks
                    .by_id
                    .get(&task)
                    .expect("a live operation has a task");
                assert!(task.operations.contains(&(priority, name.clone())));
            }
        }
        let queued = |task: &&Task| task.state == TaskState::Queued;
        let queued = scheduler.tasks.by_id.values().filter(queued).count();
        assert_eq!(scheduler.turns.tasks(), (scheduler.tasks.by_id.len(), queued));
        for (id, task) in &scheduler.tasks.by_id {
            assert!(!task.operations.is_empty(), "nobody waits for {id:?}");
            for (_, name) in &task.operations {
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
                TaskState::Running(lease) => assert_eq!(scheduler.leases[&lease].task, *id),
                TaskState::Publishing => {}
            }
        }
        assert_eq!(waiting.len(), scheduler.operations.live_count());
        self.check_workers();
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
                assert_eq!(
                    task.state,
                    TaskState::Running(*lease),
                    "a task has one live lease"
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
                let avoided = &scheduler.tasks.by_id[&task].failures.avoided;
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
