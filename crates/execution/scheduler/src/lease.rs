//! A task in the hands of a worker: granted, renewed, completed, recalled or lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use blob::InstanceName;
use reapi::execution::ExecuteResponse;

use crate::deadline::Deadline;
use crate::platform::shown;
use crate::response::infrastructure_failure;
use crate::size::Size;
use crate::task::TaskState;
use crate::{Entry, Grant, LeaseId, LeaseState, OperationName, Scheduler, TaskId, Time, Usage, WorkerId};

/// Reported lease numbers above this are no memory of ours: numbers are granted one by one from 1.
const LEASE_NUMBER_MAX: u64 = u64::MAX / 2;

/// One grant. It ends with its worker's life: every message of the worker renews all its leases at once.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) task: TaskId,
    pub(crate) worker: WorkerId,
    /// The name the worker sees; fixed, so that what is desired does not change when that operation is cancelled.
    pub(crate) operation: OperationName,
    /// What it takes of its worker.
    pub(crate) size: Size,
    pub(crate) amounts: BTreeMap<String, u64>,
    /// Whose slots they count as.
    tenant: InstanceName,
    /// When it was granted, as far as this scheduler knows.
    pub(crate) granted_at: Time,
    /// When the worker last showed that it has the lease; at first, when it was granted.
    reported_at: Time,
}

impl Scheduler {
    /// Gives a queued task to a worker with a free slot.
    pub(crate) fn grant(&mut self, task_id: TaskId, worker_id: &WorkerId) {
        self.dequeue(task_id);
        let Some(task) = self.tasks.by_id.get(&task_id) else {
            return;
        };
        let Some(operation) = task.foremost().cloned() else {
            return;
        };
        let id = self.next_lease();
        self.grant_as(id, task_id, operation, worker_id);
    }

    /// A number for a lease, as there has been none.
    pub(crate) fn next_lease(&mut self) -> LeaseId {
        let id = LeaseId(self.lease_next);
        self.lease_next += 1;
        id
    }

    /// Puts a task that is nowhere into a worker's hands.
    pub(crate) fn grant_as(
        &mut self,
        id: LeaseId,
        task_id: TaskId,
        operation: OperationName,
        worker_id: &WorkerId,
    ) {
        let Some(task) = self.tasks.by_id.get_mut(&task_id) else {
            return;
        };
        let at = self.turns.granted(task.place.claim, task.place.turn);
        if let Some(worker) = self.workers.get(worker_id) {
            let clock = &mut self.pools.get_mut(worker.pool).clock;
            *clock = at.max(*clock);
        }
        task.state = TaskState::Running(id);
        let queue_id = task.queue;
        let grant = self.grant_of(task_id, id, &operation, worker_id);
        self.changes.record(Entry::Granted(grant));
        self.lease_out(id, task_id, operation, worker_id);
        // The next one of the queue may want another worker.
        self.unreserve(queue_id);
        self.totals.granted += 1;
        self.expect_end(task_id);
        self.update_operations(task_id);
    }

    /// For the journal.
    pub(crate) fn grant_of(
        &self,
        task: TaskId,
        lease: LeaseId,
        operation: &OperationName,
        worker: &WorkerId,
    ) -> Grant {
        Grant {
            task,
            lease,
            operation: operation.clone(),
            worker: worker.clone(),
            worker_name: self.worker_name(worker),
        }
    }

    /// A task takes its part of a worker.
    pub(crate) fn lease_out(
        &mut self,
        id: LeaseId,
        task_id: TaskId,
        operation: OperationName,
        worker_id: &WorkerId,
    ) {
        let Some(task) = self.tasks.by_id.get(&task_id) else {
            return;
        };
        let tenant = task.work.instance.clone();
        let queue = self.queues.get(task.queue);
        let size = queue.size;
        let amounts = match self.workers.get(worker_id) {
            Some(worker) => self.pools.get(worker.pool).offer.taken_by(&queue.platform),
            None => BTreeMap::new(),
        };
        if let Some(worker) = self.workers.get_mut(worker_id) {
            worker.used.add(size, &amounts);
        }
        self.hold(&tenant, size.slots);
        let lease = Lease {
            task: task_id,
            worker: worker_id.clone(),
            operation,
            size,
            amounts,
            tenant,
            granted_at: self.now,
            reported_at: self.now,
        };
        self.leases.insert(id, lease);
        if let Some(worker) = self.workers.get_mut(worker_id) {
            worker.leases.insert(id);
        }
        self.list_free_slots(worker_id);
        self.changes.sync(worker_id);
    }

    /// Takes a lease out of its worker's desired state. The slot is free for another task at once; the worker starts
    /// that when this one's processes are gone.
    pub(crate) fn release(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.deadlines.set(Deadline::Stuck(lease.task), None);
        self.give_back(&lease.tenant, lease.size.slots);
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.leases.remove(&id);
            worker.used.remove(lease.size, &lease.amounts);
            self.list_free_slots(&lease.worker);
            self.changes.workers_freed.insert(lease.worker.clone());
        }
        self.changes.sync(&lease.worker);
        Some(lease)
    }

    /// What a worker says about one lease. Answers whether the lease is live and this worker's; of any other it
    /// says nothing worth knowing.
    pub(crate) fn lease_reported(
        &mut self,
        worker: &WorkerId,
        id: LeaseId,
        state: LeaseState,
        usage: Option<&Usage>,
    ) -> bool {
        // A worker that outlived the server still holds leases of the server's last life. New grants must not
        // repeat their numbers, or its old results would pass for new ones.
        if id.0 >= self.lease_next && id.0 < LEASE_NUMBER_MAX {
            self.lease_next = id.0 + 1;
        }
        let Some(lease) = self.leases.get_mut(&id).filter(|lease| lease.worker == *worker) else {
            return false;
        };
        lease.reported_at = self.now;
        match state {
            LeaseState::Running { phase, metadata } => {
                let task = lease.task;
                // Who came first is shown.
                if !self.is_second(task, id) {
                    self.note_progress(task, phase, metadata);
                }
            }
            LeaseState::Completed(response) => self.complete(id, response, usage),
        }
        true
    }

    /// A worker that speaks but leaves a lease out of its reports for too long will not do it.
    pub(crate) fn lose_if_unreported(&mut self, id: LeaseId) {
        let unreported_max = self.options.unreported_max;
        let Some(lease) = self.leases.get(&id) else { return };
        if self.now - lease.reported_at < unreported_max {
            return;
        }
        let Some(lease) = self.release(id) else { return };
        let name = self.worker_name(&lease.worker);
        self.totals.lost += 1;
        let what = format!(
            "worker `{}` did not take it up within {} s",
            shown(&name),
            unreported_max.as_secs()
        );
        let worker = lease.worker.clone();
        self.attempt_lost(id, &lease, &name, what, Some(worker));
    }

    /// The worker of this lease is lost.
    pub(crate) fn lose(&mut self, id: LeaseId, worker_name: &str) {
        if let Some(lease) = self.release(id) {
            self.totals.lost += 1;
            let what = format!("worker `{}` was lost", shown(worker_name));
            self.attempt_lost(id, &lease, worker_name, what, None);
        }
    }

    /// A lease was lost, and with it an attempt.
    fn attempt_lost(
        &mut self,
        id: LeaseId,
        lease: &Lease,
        name: &str,
        what: String,
        avoided: Option<WorkerId>,
    ) {
        if !self.goes_on_elsewhere(lease.task, id, name, what.clone(), avoided.clone()) {
            self.retry_after_loss(lease.task, name, what, avoided);
        }
    }

    /// The worker has done what it was asked, or says that it cannot.
    fn complete(&mut self, id: LeaseId, response: Box<ExecuteResponse>, usage: Option<&Usage>) {
        let Some(lease) = self.release(id) else { return };
        if let Some(usage) = usage
            && self.learn(id, &lease, usage)
        {
            return;
        }
        let name = self.worker_name(&lease.worker);
        if let Some(status) = infrastructure_failure(&response) {
            let what = format!(
                "worker `{}` could not run it: {}",
                shown(&name),
                shown(&status.message)
            );
            let avoided = Some(lease.worker);
            if self.goes_on_elsewhere(lease.task, id, &name, what.clone(), avoided.clone()) {
                return;
            }
            if self.note_failure(lease.task, &name, what, avoided) {
                return self.retry(lease.task);
            }
        }
        self.take_back(lease.task);
        self.publish(lease.task, Arc::from(response));
    }
}
