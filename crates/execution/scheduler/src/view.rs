//! What others may see: one operation, or the whole queue at a glance. Values, never references into the state.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, Platform};
use reapi::execution::{ExecuteResponse, ExecutedActionMetadata};

use crate::operation::{Operation, Progress};
use crate::queue::Queue;
use crate::task::TaskState;
use crate::{Desired, LeaseId, OperationName, Phase, Scheduler, TaskId, Work, WorkerId};

/// `ExecutionStage`, as far as the scheduler is concerned: the cache was asked before, at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Waits for a worker, for the first time or again (checklist E7).
    Queued,
    /// With a worker, or its result is being stored.
    Executing,
    /// Over; there is a response.
    Completed,
}

/// One operation.
///
/// Every change of `stage`, `response`, `attempt`, `phase` and `partial_metadata` is announced by
/// [`Effect::Update`](crate::Effect::Update); `position` and `why_queued` are true at the moment of asking and
/// change silently.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Its name.
    pub name: OperationName,
    /// Where it is.
    pub stage: Stage,
    /// Which action it executes.
    pub action_digest: ActionDigest,
    /// What is executed. Operations that merged show the work of the first.
    pub work: Arc<Work>,
    /// There if and only if the stage is `Completed`; never changes.
    pub response: Option<Arc<ExecuteResponse>>,
    /// In stage `Queued`: what it waits for, for people.
    pub why_queued: Option<String>,
    /// In stage `Queued`: how long until it starts, by what commands like those ahead have taken; `None` if nobody knows.
    pub estimate: Option<Duration>,
    /// In stage `Queued`: its place among those that wait for the same workers.
    pub position: Option<Position>,
    /// Which try this is, from 1; 0 when finished.
    pub attempt: u32,
    /// What its worker does just now, once it has said so.
    pub phase: Option<Phase>,
    /// What its worker has told so far (`partial_execution_metadata`, E29).
    pub partial_metadata: Option<Arc<ExecutedActionMetadata>>,
}

/// A place among the tasks that wait for the same workers. What can go to some of them only, or also to others, may take
/// their room too, but nobody can say how much: it is not counted, and the number not exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Tasks that come before.
    pub ahead: usize,
    /// Whether `ahead` is the number; otherwise there are more, uncounted.
    pub exact: bool,
}

/// The state of the farm.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Operations queued or executing.
    pub operations_live: usize,
    /// Finished operations that can still be looked at.
    pub operations_finished: usize,
    /// Tasks that wait for a worker.
    pub tasks_queued: usize,
    /// Tasks with a worker.
    pub tasks_running: usize,
    /// Tasks whose result is being stored.
    pub tasks_publishing: usize,
    /// The platforms that have tasks.
    pub platforms: Vec<PlatformView>,
    /// Every worker, by id.
    pub workers: Vec<WorkerView>,
    /// What happened since the start.
    pub totals: Totals,
}

/// The tasks of one platform and one size.
#[derive(Clone, Debug)]
pub struct PlatformView {
    /// The platform.
    pub platform: Platform,
    /// About how many processors each of its tasks takes.
    pub slots: u32,
    /// How much memory each of them takes; zero if nobody knows.
    pub memory_bytes: u64,
    /// Why the first one waits.
    pub why_queued: Option<String>,
    /// The worker that keeps room for it.
    pub reserved: Option<String>,
    /// Tasks that wait for a worker.
    pub queued: usize,
    /// All of them.
    pub tasks: usize,
    /// Workers that match and take work.
    pub workers: usize,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Its process.
    pub id: WorkerId,
    /// What it calls itself.
    pub name: String,
    /// What it offers.
    pub properties: Vec<(String, String)>,
    /// Leases it can hold, at one slot each.
    pub slots: u32,
    /// Slots that are taken.
    pub slots_used: u32,
    /// Memory that its actions may use together; zero if it does not say.
    pub memory_bytes: u64,
    /// What the actions it runs are thought to take of that.
    pub memory_bytes_used: u64,
    /// What else it has a certain amount of: name, amount, and how much of it is taken.
    pub resources: Vec<(String, u64, u64)>,
    /// It takes nothing new.
    pub draining: bool,
    /// Its stream is up.
    pub connected: bool,
    /// What it should be doing, oldest first.
    pub leases: Vec<LeaseView>,
}

/// One lease.
#[derive(Clone, Debug)]
pub struct LeaseView {
    /// The lease.
    pub id: LeaseId,
    /// An operation that waited for it when it was granted.
    pub operation: OperationName,
    /// Which action.
    pub action_digest: ActionDigest,
    /// What is done.
    pub work: Arc<Work>,
    /// What the worker does just now, once it has said so.
    pub phase: Option<Phase>,
}

/// Counters since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Operations that came.
    pub operations: u64,
    /// Operations that joined the task of another.
    pub merged: u64,
    /// Operations that were refused at once: no room, or no worker can match.
    pub refused: u64,
    /// Operations cancelled by clients or for want of them.
    pub cancelled: u64,
    /// Leases granted.
    pub granted: u64,
    /// Leases lost with their workers.
    pub lost: u64,
    /// Tasks that a second worker was given because the first one seemed to be stuck.
    pub hedged: u64,
    /// Leases taken from workers that were about to go.
    pub handed_back: u64,
    /// Tasks that went back to their queue.
    pub retried: u64,
    /// Tasks whose result was published.
    pub published: u64,
}

impl Scheduler {
    /// The leases this worker should hold, oldest first. `None`: it is not known, or not accepted.
    pub fn desired(&self, worker: &WorkerId) -> Option<Desired> {
        let leases = &self.workers.get(worker)?.leases;
        let desired = leases.iter().filter_map(|id| {
            let lease = self.leases.get(id)?;
            Some((
                *id,
                lease.operation.clone(),
                self.tasks.by_id.get(&lease.task)?.work.clone(),
            ))
        });
        Some(desired.collect())
    }

    /// One operation. `None`: never heard of, or forgotten.
    pub fn operation(&self, name: &OperationName) -> Option<OperationView> {
        let (name, operation) = self.operations.by_name.get_key_value(name)?;
        Some(self.view_operation(name, operation))
    }

    /// At most `limit` operations in the order of their names, those after `after`.
    pub fn operations(&self, after: Option<&OperationName>, limit: usize) -> Vec<OperationView> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.operations.names.range((start, Bound::Unbounded));
        names
            .take(limit)
            .filter_map(|name| self.operation(name))
            .collect()
    }

    /// The state of the farm. Its cost grows with workers, leases and platforms, not with what is queued.
    pub fn view(&self) -> QueueView {
        let platforms: Vec<PlatformView> = self
            .queues
            .iter()
            .map(|(_, queue)| self.view_queue(queue))
            .collect();
        let tasks_queued = platforms.iter().map(|platform| platform.queued).sum();
        let seconds = self
            .leases
            .iter()
            .filter(|(id, lease)| self.is_second(lease.task, **id));
        let tasks_running = self.leases.len() - seconds.count();
        QueueView {
            operations_live: self.operations.live_count(),
            operations_finished: self.operations.finished_count(),
            tasks_queued,
            tasks_running,
            tasks_publishing: self.tasks.by_id.len() - tasks_queued - tasks_running,
            platforms,
            workers: self
                .workers_in_order()
                .into_iter()
                .filter_map(|(id, _)| self.view_worker(id))
                .collect(),
            totals: self.totals,
        }
    }

    fn view_operation(&self, name: &OperationName, operation: &Operation) -> OperationView {
        let mut view = OperationView {
            name: name.clone(),
            stage: Stage::Completed,
            action_digest: operation.work.action_digest,
            work: operation.work.clone(),
            response: None,
            why_queued: None,
            position: None,
            estimate: None,
            attempt: 0,
            phase: None,
            partial_metadata: None,
        };
        match &operation.progress {
            Progress::Finished { response, .. } => view.response = Some(response.clone()),
            Progress::Waiting(task, _) => self.view_task(*task, &mut view),
        }
        view
    }

    fn view_task(&self, id: TaskId, view: &mut OperationView) {
        let task = self
            .tasks
            .by_id
            .get(&id)
            .expect("a live operation waits for a task that exists");
        view.phase = task.phase;
        view.partial_metadata = task.metadata.clone();
        view.attempt = self.attempt_of(task);
        match task.state {
            TaskState::Queued => {
                view.stage = Stage::Queued;
                let ahead = self.ahead_of(task);
                view.position = Some(Position {
                    ahead: ahead.tasks.len(),
                    exact: ahead.are_all,
                });
                view.why_queued = Some(self.why_queued(task));
                view.estimate = self.estimate(task, &ahead.tasks);
            }
            TaskState::Running(_) | TaskState::Publishing => view.stage = Stage::Executing,
        }
    }

    fn view_queue(&self, queue: &Queue) -> PlatformView {
        let first = queue
            .head(&self.turns)
            .and_then(|task| self.tasks.by_id.get(&task));
        PlatformView {
            platform: queue.platform.clone(),
            slots: queue.size.slots,
            memory_bytes: queue.size.memory_bytes,
            why_queued: first.map(|task| self.why_queued(task)),
            reserved: queue.reserved.as_ref().map(|worker| self.worker_name(worker)),
            queued: queue.len(),
            tasks: queue.tasks,
            workers: queue
                .pools
                .iter()
                .map(|pool| self.pools.get(*pool).usable.len())
                .sum(),
        }
    }

    fn view_worker(&self, id: &WorkerId) -> Option<WorkerView> {
        let worker = self.workers.get(id)?;
        let offer = &self.pools.get(worker.pool).offer;
        let leases = worker.leases.iter().filter_map(|id| {
            let lease = self.leases.get(id)?;
            let task = self.tasks.by_id.get(&lease.task)?;
            let action_digest = task.work.action_digest;
            Some(LeaseView {
                id: *id,
                operation: lease.operation.clone(),
                action_digest,
                work: task.work.clone(),
                phase: task.phase,
            })
        });
        Some(WorkerView {
            id: id.clone(),
            name: worker.name.clone(),
            properties: offer
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            slots: worker.slots,
            slots_used: worker.used.slots,
            memory_bytes: worker.memory_bytes,
            memory_bytes_used: worker.used.memory_bytes,
            resources: offer
                .resources()
                .map(|(name, amount)| {
                    let used = worker.used.amounts.get(name).copied().unwrap_or(0);
                    (name.to_owned(), amount, used)
                })
                .collect(),
            draining: worker.draining,
            connected: worker.connected,
            leases: leases.collect(),
        })
    }
}
