//! What must be true, checked against each fact as it is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reapi::execution::ExecuteResponse;
use scheduler::{Entry, Grant, LeaseId, OperationName, TaskId, WorkerId};

use crate::job::made_under;

/// The leases that a task runs under, and who holds them: one, or two where the first seemed to be stuck.
type Live = BTreeMap<LeaseId, WorkerId>;

/// What the journal says, and what it therefore must not say next.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// Tasks that are not over: who waits for them, and the live leases.
    pub(crate) tasks: BTreeMap<TaskId, (BTreeSet<OperationName>, Live)>,
    /// What became of each operation that is over.
    pub(crate) finals: BTreeMap<OperationName, Arc<ExecuteResponse>>,
    pub(crate) accepted: BTreeSet<OperationName>,
    /// Every lease that was ever granted.
    pub(crate) granted: BTreeMap<LeaseId, TaskId>,
    /// Leases that ended without a result: their workers may not know yet.
    pub(crate) lost: BTreeSet<LeaseId>,
    /// How often a second worker was given what seemed to be stuck.
    pub(crate) hedges: u64,
    /// How often a worker that was about to go gave back what it had.
    pub(crate) handed_back: u64,
    /// The attempt that failed last: when it was the last that may be, its response is what comes next.
    failed: Option<(TaskId, LeaseId)>,
}

impl Observer {
    /// One more fact. `may_lose` says whether this worker's lease may be taken away from it just now.
    pub(crate) fn record(&mut self, entry: &Entry, may_lose: impl Fn(LeaseId, &WorkerId) -> bool) {
        let failed = self.failed.take();
        match entry {
            Entry::Began { task, operation, .. } => {
                assert!(!self.tasks.contains_key(task), "task {task} began twice");
                self.accept(operation);
                self.tasks
                    .insert(*task, ([operation.clone()].into(), Live::new()));
            }
            Entry::Joined { task, operation, .. } => {
                self.accept(operation);
                let (operations, _) = self.tasks.get_mut(task).expect("a task that lives");
                operations.insert(operation.clone());
            }
            Entry::Granted(grant) | Entry::Hedged(grant) => {
                let Grant {
                    task, lease, worker, ..
                } = grant;
                let last = self.granted.last_key_value().map(|(lease, _)| *lease);
                assert!(last < Some(*lease), "lease {lease} came again");
                self.granted.insert(*lease, *task);
                let (_, live) = self.tasks.get_mut(task).expect("a task that lives");
                let held = usize::from(matches!(entry, Entry::Hedged { .. }));
                assert_eq!(live.len(), held, "task {task} has too many live leases");
                assert!(
                    live.values().all(|holder| holder != worker),
                    "{worker} has {task} twice"
                );
                live.insert(*lease, worker.clone());
                self.hedges += held as u64;
            }
            Entry::Ended { task, lease, .. } => {
                let (_, live) = self.tasks.get_mut(task).expect("a task that lives");
                assert_eq!(
                    live.len(),
                    2,
                    "task {task} has one lease and goes on under another"
                );
                let worker = live.remove(lease).expect("a live lease");
                assert!(
                    may_lose(*lease, &worker),
                    "lease {lease} was taken from {worker} too early"
                );
                self.lost.insert(*lease);
            }
            Entry::Failed { task, .. } | Entry::Bigger { task } => {
                let live = self.end_leases(*task);
                assert_eq!(
                    live.len(),
                    1,
                    "an attempt ends, and with it the task's only lease"
                );
                for (lease, worker) in live {
                    assert!(
                        may_lose(lease, &worker),
                        "lease {lease} was taken from {worker} too early"
                    );
                    self.lost.insert(lease);
                    self.failed = Some((*task, lease));
                }
            }
            Entry::HandedBack { task } => {
                // Its worker goes away and is there to say so: no time has to pass.
                let live = self.end_leases(*task);
                assert_eq!(live.len(), 1, "the task's only lease is handed back");
                self.lost.extend(live.into_keys());
                self.handed_back += 1;
            }
            Entry::Completed { task, response } => {
                let mut live = self.end_leases(*task);
                let given_up = failed.filter(|(failed, _)| failed == task);
                let under = made_under(response).expect("a result of a worker");
                let was_live = live.remove(&under).is_some();
                let was_last = given_up.is_some_and(|(_, lease)| lease == under);
                assert!(was_live || was_last, "a stale result is published");
                self.lost.extend(live.into_keys());
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
        let live = self.tasks.values().flat_map(|(_, live)| live);
        let mut leases: Vec<LeaseId> = live
            .filter(|(_, holder)| *holder == worker)
            .map(|(lease, _)| *lease)
            .collect();
        leases.sort();
        leases
    }

    fn accept(&mut self, operation: &OperationName) {
        let is_new = self.accepted.insert(operation.clone());
        assert!(is_new, "{operation} was accepted twice");
    }

    fn end_leases(&mut self, task: TaskId) -> Live {
        let task = self.tasks.get_mut(&task);
        task.map(|(_, live)| std::mem::take(live)).unwrap_or_default()
    }
}
