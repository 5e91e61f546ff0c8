//! What the scheduler asks the shell to do.

use std::sync::Arc;

use reapi::execution::ExecuteResponse;

use crate::{Entry, LeaseId, OperationName, TaskId, Work, WorkerId};

/// One thing for the shell to do, after each [`handle`](crate::Scheduler::handle). Within one call, a worker and an
/// operation are named at most once.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Has to be remembered across restarts, before any other effect of the same call is carried out. These come first,
    /// in the order in which they happened.
    Record(Entry),
    /// This worker's desired state changed, or the worker's report shows that it has not got it: send
    /// [`desired`](crate::Scheduler::desired). When that is `None` the worker is not (or no longer) accepted, and
    /// its stream should be closed with UNAVAILABLE.
    Sync(WorkerId),
    /// Stage, partial metadata or response of this operation changed: tell its watchers what
    /// [`operation`](crate::Scheduler::operation) says. `None` there means that it is forgotten.
    Update(OperationName),
    /// A worker completed this task under its live lease. Write the action cache if the response is cacheable, then
    /// send [`Event::Published`](crate::Event::Published), always, also when storing failed: the operations wait
    /// for it. Only then are they done (checklist E33). Happens at most once for a task, and once more for one that was
    /// not yet published when the scheduler was restarted.
    Publish(TaskId, Arc<Work>, Arc<ExecuteResponse>),
}

/// The leases a worker should hold, oldest first, each with the name of an operation that waits for it (for logs; it
/// stays the same for the lease's life) and what is to be done. Everything else the worker drops. It starts each as
/// soon as one of its slots is really free: a recalled lease gives its slot back here before its processes are gone.
pub type Desired = Vec<(LeaseId, OperationName, Arc<Work>)>;
