//! Who executes an operation just now.

use crate::operation::Progress;
use crate::task::TaskState;
use crate::{LeaseId, OperationName, Scheduler, WorkerId};

impl Scheduler {
    /// The lease that an operation's task runs under, and the worker that holds it. `None` while it is queued, while its
    /// result is being stored, and when it is over or not known. Every change but the beginning of storing is announced
    /// by [`Effect::Update`](crate::Effect::Update).
    pub fn holder(&self, name: &OperationName) -> Option<(LeaseId, WorkerId)> {
        let Progress::Waiting(task, _) = &self.operations.by_name.get(name)?.progress else {
            return None;
        };
        let TaskState::Running(lease) = self.tasks.by_id.get(task)?.state else {
            return None;
        };
        Some((lease, self.leases.get(&lease)?.worker.clone()))
    }
}
