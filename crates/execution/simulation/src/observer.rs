//! What must be true, checked against each fact as it is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reapi::execution::ExecuteResponse;
use scheduler::{Entry, LeaseId, OperationName, TaskId, WorkerId};

use crate::job::made_under;

/// The lease that a task runs under, and who holds it.
type Live = Option<(LeaseId, WorkerId)>;

/// What the journal says, and what it therefore must not say next.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// Tasks that are not over: who waits for them, and the one live lease.
    pub(crate) tasks: BTreeMap<TaskId, (BTreeSet<OperationName>, Live)>,
    /// What became of each operation that is over.
    pub(crate) finals: BTreeMap<OperationName, Arc<ExecuteResponse>>,
    pub(crate) accepted: BTreeSet<OperationName>,
    /// Every lease that was ever granted.
    pub(crate) granted: BTreeMap<LeaseId, TaskId>,
    /// Leases that ended without a result: their workers may not know yet.
    pub(crate) lost: BTreeSet<LeaseId>,
    /// The attempt that failed last: when it was the last that may be, its response is what comes next.
    failed: Option<(TaskId, LeaseId)>,
}

impl Observer {
    /// One more fact. `may_lose` says whether this worker's lease may be taken away from it just now.
    pub(crate) fn record(&mut self, entry: &Entry, may_lose: impl Fn(&WorkerId) -> bool) {
        let failed = self.failed.take();
        match entry {
            Entry::Began { task, operation, .. } => {
                assert!(!self.tasks.contains_key(task), "task {task} began twice");
                self.accept(operation);
                self.tasks.insert(*task, ([operation.clone()].into(), None));
            }
            Entry::Joined { task, operation, .. } => {
                self.accept(operation);
                let (operations, _) = self.tasks.get_mut(task).expect("a task that lives");
                operations.insert(operation.clone());
            }
            Entry::Granted {
                task, lease, worker, ..
            } => {
                let last = self.granted.last_key_value().map(|(lease, _)| *lease);
                assert!(last < Some(*lease), "lease {lease} came again");
                self.granted.insert(*lease, *task);
                let (_, live) = self.tasks.get_mut(task).expect("a task that lives");
                assert!(live.is_none(), "task {task} has two live leases");
                *live = Some((*lease, worker.clone()));
            }
            Entry::Failed { task, .. } | Entry::Bigger { task } => {
                let (lease, worker) = self.end_lease(*task).expect("an attempt under a live lease");
                assert!(
                    may_lose(&worker),
                    "lease {lease} was taken from {worker} too early"
                );
                self.lost.insert(lease);
                self.failed = Some((*task, lease));
            }
            Entry::HandedBack { task } => {
                // Its worker goes away and is there to say so: no time has to pass.
                let (lease, _) = self.end_lease(*task).expect("an attempt under a live lease");
                self.lost.insert(lease);
            }
            Entry::Completed { task, response } => {
                let live = self.end_lease(*task).map(|(lease, _)| lease);
                let given_up = failed
                    .filter(|(failed, _)| failed == task)
                    .map(|(_, lease)| lease);
                let lease = live.or(given_up).expect("a result under a live lease");
                assert_eq!(made_under(response), Some(lease), "a stale result is published");
            }
            Entry::Finished { operations, response } => {
                for operation in operations {
                    assert!(
                        self.accepted.contains(operation),
                        "{operation} was never accepted"
                    );
                    let before = self.finals.insert(operation.clone(), response.clone());
                    assert!(before.is_none(), "{operation} finished twice");
                    self.tasks.retain(|_, (waiting, _)| {
                        waiting.remove(operation);
                        !waiting.is_empty()
                    });
                }
            }
            Entry::Past {
                operation, response, ..
            } => {
                self.accept(operation);
                self.finals.insert(operation.clone(), response.clone());
            }
            Entry::Forgotten(_)
            | Entry::Away { .. }
            | Entry::Back(_)
            | Entry::Learned { .. }
            | Entry::Drain { .. }
            | Entry::LeasesBelow(_) => {}
        }
    }

    /// The leases that a worker holds as far as anybody was told.
    pub(crate) fn leases_of(&self, worker: &WorkerId) -> Vec<LeaseId> {
        let live = self.tasks.values().filter_map(|(_, live)| live.as_ref());
        let mut leases: Vec<LeaseId> = live
            .filter(|(_, holder)| holder == worker)
            .map(|(lease, _)| *lease)
            .collect();
        leases.sort();
        leases
    }

    fn accept(&mut self, operation: &OperationName) {
        let is_new = self.accepted.insert(operation.clone());
        assert!(is_new, "{operation} was accepted twice");
    }

    fn end_lease(&mut self, task: TaskId) -> Option<(LeaseId, WorkerId)> {
        self.tasks.get_mut(&task)?.1.take()
    }
}
