//! What a scheduler has to know again after a restart, fact by fact.

use std::sync::Arc;

use reapi::execution::ExecuteResponse;

use crate::{Expected, LeaseId, OperationName, Shape, TaskId, Time, Work, WorkerId};

/// One fact for the journal. [`Scheduler::restored`](crate::Scheduler::restored) makes a scheduler of such facts in the
/// order in which they happened; [`Scheduler::entries`](crate::Scheduler::entries) says in few of them what many have
/// come to.
///
/// What is left out comes back by itself: clients and workers connect again and say what they want and have.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An operation was accepted, and a task began with it.
    Began {
        /// The new task.
        task: TaskId,
        /// The operation.
        operation: OperationName,
        /// How urgent it is; lower is sooner.
        priority: i32,
        /// What is to be done.
        work: Arc<Work>,
    },
    /// An operation was accepted and waits for a task that had begun.
    Joined {
        /// The task.
        task: TaskId,
        /// The operation.
        operation: OperationName,
        /// How urgent it is; lower is sooner.
        priority: i32,
    },
    /// A worker was given the task.
    Granted(Grant),
    /// Another worker was given a task that one has.
    Hedged(Grant),
    /// One of two leases of a task is over without a result; it goes on under the other.
    Ended {
        /// The task.
        task: TaskId,
        /// The lease that is over.
        lease: LeaseId,
        /// The name of the worker that had it.
        worker_name: String,
        /// What went wrong, which counts against the task; empty if nothing that does.
        what: String,
        /// That worker, if it is still there: others are preferred.
        avoided: Option<WorkerId>,
    },
    /// An attempt failed through no fault of the action; its lease is over, and the task is in its queue again.
    Failed {
        /// The task.
        task: TaskId,
        /// The worker's name.
        worker_name: String,
        /// What happened.
        what: String,
        /// That worker, if it is still there: others are preferred.
        avoided: Option<WorkerId>,
    },
    /// A worker has done the task; its lease is over, and the result is being stored.
    Completed {
        /// The task.
        task: TaskId,
        /// What the worker said.
        response: Arc<ExecuteResponse>,
    },
    /// These operations are over.
    Finished {
        /// All that got the response.
        operations: Vec<OperationName>,
        /// What clients get.
        response: Arc<ExecuteResponse>,
    },
    /// A finished operation was forgotten on request.
    Forgotten(OperationName),
    /// An operation that is over: refused at once, or what [`Began`](Self::Began) and [`Finished`](Self::Finished) have
    /// come to.
    Past {
        /// The operation.
        operation: OperationName,
        /// What was done.
        work: Arc<Work>,
        /// What clients get.
        response: Arc<ExecuteResponse>,
    },
    /// A worker that has leases is not there.
    Away {
        /// The worker.
        worker: WorkerId,
        /// Since then.
        since: Time,
    },
    /// It is there again.
    Back(WorkerId),
    /// A command of this shape has run.
    Learned {
        /// The shape.
        shape: Shape,
        /// What is expected of the next run.
        expected: Expected,
    },
    /// The task was crowded out of its worker's memory; its lease is over, and it waits for more room.
    Bigger {
        /// The task.
        task: TaskId,
    },
    /// The task's worker goes away before it could be done; its lease is over, and it is in its queue again.
    HandedBack {
        /// The task.
        task: TaskId,
    },
    /// Workers with such names are taken out of service, or put back.
    Drain {
        /// The names; `*` stands for any characters.
        pattern: String,
        /// Whether it holds.
        on: bool,
    },
    /// Leases with numbers below this one have been granted.
    LeasesBelow(LeaseId),
}

/// A task in the hands of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The task.
    pub task: TaskId,
    /// Under this lease.
    pub lease: LeaseId,
    /// With this operation's name.
    pub operation: OperationName,
    /// The worker.
    pub worker: WorkerId,
    /// What it calls itself.
    pub worker_name: String,
}
