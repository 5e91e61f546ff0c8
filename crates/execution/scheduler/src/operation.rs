//! What clients hold: one operation for each Execute, from the first watcher to the day it is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use prost::Message;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;

use crate::deadline::Deadline;
use crate::response::{Refusal, failed};
use crate::{Entry, OperationName, Request, Scheduler, TaskId, Time, Work};

/// What an operation costs beside its work and its response, roughly.
const OPERATION_BYTES: u64 = 512;

/// One client's request.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) work: Arc<Work>,
    /// Client streams that listen.
    pub(crate) watchers: u32,
    pub(crate) progress: Progress,
}

/// Where an operation is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It waits for this task, at this priority.
    Waiting(TaskId, i32),
    /// It is done and never changes again; `order` is its place among the finished.
    Finished {
        response: Arc<ExecuteResponse>,
        order: u64,
    },
}

/// All operations, live and finished.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    pub(crate) by_name: HashMap<OperationName, Operation>,
    /// Their names, in order.
    pub(crate) names: BTreeSet<OperationName>,
    /// The finished ones, in the order they finished.
    finished: BTreeMap<u64, Finished>,
    finished_bytes: u64,
    finished_last: u64,
}

#[derive(Debug)]
struct Finished {
    name: OperationName,
    at: Time,
    bytes: u64,
}

impl Operations {
    /// A new one.
    pub(crate) fn insert(&mut self, name: OperationName, operation: Operation) {
        self.names.insert(name.clone());
        self.by_name.insert(name, operation);
    }

    /// Number of queued and executing operations.
    pub(crate) fn live_count(&self) -> usize {
        self.by_name.len() - self.finished.len()
    }

    /// Number of finished operations.
    pub(crate) fn finished_count(&self) -> usize {
        self.finished.len()
    }

    /// The finished ones, in the order they finished.
    pub(crate) fn finished_in_order(&self) -> impl Iterator<Item = &OperationName> {
        self.finished.values().map(|finished| &finished.name)
    }

    fn insert_finished(&mut self, name: &OperationName, at: Time, bytes: u64) -> u64 {
        self.finished_last += 1;
        self.finished.insert(
            self.finished_last,
            Finished {
                name: name.clone(),
                at,
                bytes,
            },
        );
        self.finished_bytes += bytes;
        self.finished_last
    }

    fn remove_finished(&mut self, order: u64) -> Option<OperationName> {
        let finished = self.finished.remove(&order)?;
        self.finished_bytes -= finished.bytes;
        self.by_name.remove(&finished.name);
        self.names.remove(&finished.name);
        Some(finished.name)
    }
}

impl Scheduler {
    /// A new operation: joins or starts a task, or is refused by finishing at once.
    pub(crate) fn execute(&mut self, request: Request) {
        let Request {
            operation: name,
            work,
            priority,
            skip_cache_lookup: _,
        } = request;
        if self.operations.by_name.contains_key(&name) {
            return;
        }
        self.totals.operations += 1;
        self.changes.update(&name);
        // `skip_cache_lookup` makes no difference here: only tasks without a result yet are joined, so no operation
        // ever gets a result that was visible before it came (checklist E9).
        match self.join_or_start(&name, &work, priority) {
            Ok((task, work)) => {
                let progress = Progress::Waiting(task, priority);
                self.operations.insert(
                    name,
                    Operation {
                        work,
                        watchers: 1,
                        progress,
                    },
                );
            }
            Err(Refusal { code, message }) => {
                self.totals.refused += 1;
                let refusal = Arc::new(failed(code, message));
                self.changes.record(Entry::Past {
                    operation: name.clone(),
                    work: work.clone(),
                    response: refusal.clone(),
                });
                self.insert_past(name, work, refusal, 1);
            }
        }
    }

    /// An operation that is over.
    pub(crate) fn insert_past(
        &mut self,
        name: OperationName,
        work: Arc<Work>,
        response: Arc<ExecuteResponse>,
        watchers: u32,
    ) {
        let bytes = OPERATION_BYTES + work.bytes() + response.encoded_len() as u64;
        let order = self.operations.insert_finished(&name, self.now, bytes);
        let progress = Progress::Finished { response, order };
        let operation = Operation {
            work,
            watchers,
            progress,
        };
        self.operations.insert(name, operation);
    }

    pub(crate) fn watcher_came(&mut self, name: &OperationName) {
        if let Some(operation) = self.operations.by_name.get_mut(name) {
            operation.watchers = operation.watchers.saturating_add(1);
            self.deadlines.set(Deadline::Abandoned(name.clone()), None);
        }
    }

    pub(crate) fn watcher_left(&mut self, name: &OperationName) {
        let Some(operation) = self.operations.by_name.get_mut(name) else {
            return;
        };
        let had_watchers = operation.watchers > 0;
        operation.watchers = operation.watchers.saturating_sub(1);
        let is_live = matches!(operation.progress, Progress::Waiting(..));
        if is_live && had_watchers && operation.watchers == 0 {
            let at = self.now + self.options.abandon_after;
            self.deadlines.set(Deadline::Abandoned(name.clone()), Some(at));
        }
    }

    /// Nobody watches, and nobody is thought to come back.
    pub(crate) fn let_go(&mut self, name: &OperationName) {
        let deadline = Deadline::Abandoned(name.clone());
        if let Some(at) = self.deadlines.get(&deadline) {
            let soon = self.now + self.options.let_go_after;
            self.deadlines.set(deadline, Some(at.min(soon)));
        }
    }

    /// Ends one operation with CANCELLED. Its task goes on while another operation waits for it (checklist E16).
    pub(crate) fn cancel(&mut self, name: &OperationName, why: &str) {
        let Some(operation) = self.operations.by_name.get(name) else {
            return;
        };
        let Progress::Waiting(task, priority) = operation.progress else {
            return;
        };
        self.leave_task(task, name, priority);
        self.totals.cancelled += 1;
        self.finish(vec![name.clone()], Arc::new(failed(Code::Cancelled, why)));
    }

    /// Gives all of these operations one response. They have left their task already.
    pub(crate) fn finish(&mut self, names: Vec<OperationName>, response: Arc<ExecuteResponse>) {
        if names.is_empty() {
            return;
        }
        self.changes.record(Entry::Finished {
            operations: names.clone(),
            response: response.clone(),
        });
        let count = names.len() as u64;
        let response_bytes = response.encoded_len() as u64;
        for name in names {
            self.deadlines.set(Deadline::Abandoned(name.clone()), None);
            let Some(operation) = self.operations.by_name.get_mut(&name) else {
                continue;
            };
            // Work and response are shared, so each carries its part of them.
            let bytes = OPERATION_BYTES + (operation.work.bytes() + response_bytes) / count;
            let order = self.operations.insert_finished(&name, self.now, bytes);
            if let Some(operation) = self.operations.by_name.get_mut(&name) {
                operation.progress = Progress::Finished {
                    response: response.clone(),
                    order,
                };
            }
            self.changes.update(&name);
        }
    }

    /// Forgets a finished operation on request.
    pub(crate) fn forget(&mut self, name: &OperationName) {
        let Some(operation) = self.operations.by_name.get(name) else {
            return;
        };
        if let Progress::Finished { order, .. } = operation.progress {
            self.operations.remove_finished(order);
            self.changes.record(Entry::Forgotten(name.clone()));
            self.changes.update(name);
        }
    }

    /// Forgets what is finished and too old or too much, oldest first. Called before anything else happens, so that
    /// whatever finishes can be looked at until the next event at least, however small the bounds are.
    pub(crate) fn forget_finished(&mut self) {
        while self.forgetting_due().is_some_and(|due| due <= self.now) {
            let Some((&order, _)) = self.operations.finished.first_key_value() else {
                return;
            };
            if let Some(name) = self.operations.remove_finished(order) {
                self.changes.update(&name);
            }
        }
    }

    /// When the next finished operation has to be forgotten: at once if there are too many.
    pub(crate) fn forgetting_due(&self) -> Option<Time> {
        let operations = &self.operations;
        let (_, oldest) = operations.finished.first_key_value()?;
        let too_many = operations.finished.len() > self.options.finished_max
            || operations.finished_bytes > self.options.finished_bytes_max;
        Some(if too_many {
            self.now
        } else {
            oldest.at + self.options.finished_retention
        })
    }
}
