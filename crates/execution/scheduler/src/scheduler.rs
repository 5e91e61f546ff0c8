//! The state, and which part of it each event concerns.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use reapi::execution::ExecuteResponse;

use crate::deadline::{Deadline, Deadlines};
use crate::drain::Drains;
use crate::ids::IdMap;
use crate::learned::Shapes;
use crate::lease::Lease;
use crate::operation::Operations;
use crate::pool::Pools;
use crate::queue::{QueueId, Queues};
use crate::quota::Held;
use crate::task::Tasks;
use crate::turns::Turns;
use crate::worker::Worker;
use crate::{
    Effect, Entry, Event, LeaseId, OperationName, SchedulerOptions, TaskId, Time, Totals, Work, WorkerId,
};

/// Operations, tasks, queues, workers and leases, and the rules between them. See the crate's introduction.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) options: SchedulerOptions,
    /// The latest time seen.
    pub(crate) now: Time,
    /// When the start-up grace began and how long it is; set by the first event or by what is restored.
    pub(crate) startup_grace: Option<(Time, Duration)>,
    pub(crate) operations: Operations,
    pub(crate) tasks: Tasks,
    pub(crate) turns: Turns,
    pub(crate) held: Held,
    pub(crate) shapes: Shapes,
    pub(crate) queues: Queues,
    pub(crate) pools: Pools,
    pub(crate) drains: Drains,
    pub(crate) workers: HashMap<WorkerId, Worker>,
    pub(crate) leases: IdMap<LeaseId, Lease>,
    pub(crate) lease_next: u64,
    pub(crate) deadlines: Deadlines,
    pub(crate) changes: Changes,
    pub(crate) totals: Totals,
}

/// What one `handle` has changed so far: the effects to be, and where a task may now meet a worker.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    records: Vec<Entry>,
    updates: BTreeSet<OperationName>,
    syncs: BTreeSet<WorkerId>,
    publications: Vec<(TaskId, Arc<Work>, Arc<ExecuteResponse>)>,
    /// Workers that may have got a free slot.
    pub(crate) workers_freed: BTreeSet<WorkerId>,
    /// Queues that may have got a task somebody can run.
    pub(crate) queues_filled: BTreeSet<QueueId>,
}

impl Scheduler {
    /// An empty scheduler. Its start-up grace begins with the first event.
    pub fn new(options: SchedulerOptions) -> Self {
        Scheduler {
            options,
            now: Time::default(),
            startup_grace: None,
            operations: Operations::default(),
            tasks: Tasks::default(),
            turns: Turns::default(),
            held: Held::default(),
            shapes: Shapes::default(),
            queues: Queues::default(),
            pools: Pools::default(),
            drains: Drains::default(),
            workers: HashMap::new(),
            leases: IdMap::default(),
            lease_next: 1,
            deadlines: Deadlines::default(),
            changes: Changes::default(),
            totals: Totals::default(),
        }
    }

    /// Takes one event that happened at `now` and appends what the shell has to do about it. What was due by `now`
    /// happens first.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        if self.startup_grace.is_none() {
            self.start_grace(self.options.startup_grace);
        }
        self.forget_finished();
        while let Some(deadline) = self.deadlines.pop_due(self.now) {
            self.meet(deadline);
        }
        match event {
            Event::Execute(request) => self.execute(request),
            Event::WatcherCame(operation) => self.watcher_came(&operation),
            Event::WatcherLeft(operation) => self.watcher_left(&operation),
            Event::LetGo(operation) => self.let_go(&operation),
            Event::Cancel(operation) => self.cancel(&operation, "the operation was cancelled by a client"),
            Event::Forget(operation) => self.forget(&operation),
            Event::WorkerSynced(worker, report) => self.worker_synced(worker, report),
            Event::WorkerGone(worker) => self.worker_gone(&worker),
            Event::Drain { pattern, on } => self.drain(pattern, on),
            Event::Published(task, response) => self.published(task, response),
            Event::Tick => {}
        }
        self.dispatch();
        self.changes.drain_into(effects);
    }

    /// The time by which an [`Event::Tick`] has to come: the earliest moment at which something happens by itself.
    /// `None` when nothing will.
    pub fn next_wakeup(&self) -> Option<Time> {
        [self.deadlines.first(), self.forgetting_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn meet(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::StartupGrace => {
                for queue in self.queues.ids() {
                    self.give_up_if_hopeless(queue);
                }
            }
            Deadline::Worker(worker) => self.remove_worker(&worker),
            Deadline::Pool => self.forget_longest_unusable_pool(),
            Deadline::Stuck(task) => self.seems_stuck(task),
            Deadline::Abandoned(operation) => {
                self.cancel(
                    &operation,
                    "the operation was cancelled: no client has been waiting for it any more",
                );
            }
        }
    }

    /// For so long operations without a matching worker wait for one to connect.
    pub(crate) fn start_grace(&mut self, grace: Duration) {
        self.startup_grace = Some((self.now, grace));
        self.deadlines.set(Deadline::StartupGrace, Some(self.now + grace));
    }

    /// Whether operations without a matching worker still wait for one to connect.
    pub(crate) fn in_startup_grace(&self) -> bool {
        let grace = self.startup_grace;
        grace.is_some_and(|(began, grace)| self.now < began + grace)
    }
}

impl Changes {
    /// This has to be remembered.
    pub(crate) fn record(&mut self, entry: Entry) {
        self.records.push(entry);
    }

    /// The view of this operation has changed.
    pub(crate) fn update(&mut self, operation: &OperationName) {
        self.updates.insert(operation.clone());
    }

    /// What this worker should do has changed.
    pub(crate) fn sync(&mut self, worker: &WorkerId) {
        self.syncs.insert(worker.clone());
    }

    /// This task has its result.
    pub(crate) fn publish(&mut self, task: TaskId, work: Arc<Work>, response: Arc<ExecuteResponse>) {
        self.publications.push((task, work, response));
    }

    pub(crate) fn drain_into(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.records.drain(..).map(Effect::Record));
        effects.extend(std::mem::take(&mut self.syncs).into_iter().map(Effect::Sync));
        effects.extend(std::mem::take(&mut self.updates).into_iter().map(Effect::Update));
        let publications = self.publications.drain(..);
        effects.extend(publications.map(|(task, work, response)| Effect::Publish(task, work, response)));
    }
}
