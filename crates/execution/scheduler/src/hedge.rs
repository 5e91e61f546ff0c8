//! A second run of what seems to be stuck.
//!
//! An action that takes several times as long as its like have taken may sit on a sick machine: a failing disk, a
//! thermal limit, a hung mount. Where some worker has nothing better to do, the action is given to that one too, and
//! whoever is done first is believed; the other is told to stop. There are two leases then, and no more than two, of one
//! task. What must not be cached is never run beside itself: it may be about more than its outputs.

use std::time::Duration;

use crate::deadline::Deadline;
use crate::platform::shown;
use crate::task::{Task, TaskState};
use crate::{Entry, Expected, LeaseId, Scheduler, SchedulerOptions, TaskId, WorkerId};

/// How soon to look again where no worker had room.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long what is expected to take so long may take until it seems to be stuck.
fn patience(expected: &Expected, options: &SchedulerOptions) -> Duration {
    let long = expected
        .wall
        .checked_mul(options.stuck_times)
        .unwrap_or(Duration::MAX);
    long.max(options.stuck_min)
}

impl Task {
    /// The leases it is run under: none, one, or two.
    pub(crate) fn leases(&self) -> impl Iterator<Item = LeaseId> {
        let first = match self.state {
            TaskState::Running(lease) => Some(lease),
            TaskState::Queued | TaskState::Publishing => None,
        };
        first.into_iter().chain(self.second)
    }
}

impl Scheduler {
    /// A task has begun to run: there is a time at which it seems to be stuck.
    pub(crate) fn expect_end(&mut self, id: TaskId) {
        let Some(task) = self.tasks.by_id.get(&id) else {
            return;
        };
        if let Some(expected) = task.expected.filter(|_| !task.work.do_not_cache) {
            // Far beyond every action's own time limit.
            const FOREVER: Duration = Duration::from_secs(1 << 32);
            let due = self.now + patience(&expected, &self.options).min(FOREVER);
            self.deadlines.set(Deadline::Stuck(id), Some(due));
        }
    }

    /// A task runs for much longer than expected.
    pub(crate) fn seems_stuck(&mut self, id: TaskId) {
        let Some(task) = self.tasks.by_id.get(&id) else {
            return;
        };
        let TaskState::Running(first) = task.state else {
            return;
        };
        // Where something else has just happened, others may be waiting for that room.
        let is_calm = self.changes.queues_filled.is_empty() && self.changes.workers_freed.is_empty();
        let worker = match is_calm && self.quota_of(task).is_none() {
            true => self.another_worker(task, first),
            false => None,
        };
        let (Some(worker), Some(operation)) = (worker, task.foremost().cloned()) else {
            let again = self.now + LOOK_AGAIN;
            return self.deadlines.set(Deadline::Stuck(id), Some(again));
        };
        let lease = self.next_lease();
        self.totals.hedged += 1;
        self.hedge_as(lease, id, operation, &worker);
    }

    /// A worker gets a task that another one has.
    pub(crate) fn hedge_as(
        &mut self,
        lease: LeaseId,
        id: TaskId,
        operation: crate::OperationName,
        worker: &WorkerId,
    ) {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        task.second = Some(lease);
        self.deadlines.set(Deadline::Stuck(id), None);
        let grant = self.grant_of(id, lease, &operation, worker);
        self.changes.record(Entry::Hedged(grant));
        self.lease_out(lease, id, operation, worker);
    }

    /// One lease of a task is over, for a reason that counts against the task unless it is empty. Answers whether it goes
    /// on under its other lease, which is its first one now.
    pub(crate) fn goes_on_elsewhere(
        &mut self,
        id: TaskId,
        over: LeaseId,
        worker_name: &str,
        what: String,
        avoided: Option<WorkerId>,
    ) -> bool {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return false;
        };
        let Some(other) = task.leases().find(|lease| *lease != over) else {
            return false;
        };
        task.second = None;
        task.state = TaskState::Running(other);
        task.phase = None;
        task.metadata = None;
        let worker_name = shown(worker_name);
        self.changes.record(Entry::Ended {
            task: id,
            lease: over,
            worker_name: worker_name.clone(),
            what: what.clone(),
            avoided: avoided.clone(),
        });
        if !what.is_empty() {
            task.failures.add(worker_name, what, avoided);
        }
        self.expect_end(id);
        self.update_operations(id);
        true
    }

    /// Whether another lease of a task came before this one and still holds.
    pub(crate) fn is_second(&self, task: TaskId, lease: LeaseId) -> bool {
        let task = self.tasks.by_id.get(&task);
        task.is_some_and(|task| task.second == Some(lease))
    }

    fn another_worker(&self, task: &Task, first: LeaseId) -> Option<WorkerId> {
        let has_it = &self.leases.get(&first)?.worker;
        self.best_worker(task, |worker| {
            worker != has_it && !task.failures.avoided.contains(worker)
        })
    }
}
