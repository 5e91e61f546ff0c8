//! When an attempt at a task fails through no fault of the action: again, or no more.

use std::collections::BTreeSet;

use reapi::rpc::Code;

use crate::lease::Lease;
use crate::platform::shown;
use crate::queue::QueueId;
use crate::{Entry, LeaseId, Scheduler, TaskId, Usage, WorkerId};

/// How often a task is tried again because it was crowded out: each time it gets twice the room.
const CROWDED_OUT_MAX: u32 = 8;

/// What went wrong with earlier attempts. Bounded by `attempts_max`, and one more where a task is run twice.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Names of the workers that were lost or failed with this task, one an attempt.
    pub(crate) workers: Vec<String>,
    /// Those that failed and are still there: others are preferred.
    pub(crate) avoided: BTreeSet<WorkerId>,
    /// What happened last.
    pub(crate) last: String,
}

impl Failures {
    /// One more.
    pub(crate) fn add(&mut self, worker_name: String, what: String, avoided: Option<WorkerId>) {
        self.workers.push(worker_name);
        self.last = what;
        self.avoided.extend(avoided);
    }
}

impl Scheduler {
    /// Notes that a worker was lost with a task, or could not run it for reasons of its own. Answers whether the
    /// task may be tried again. The task is nowhere at this moment. A worker that is still there is `avoided`.
    pub(crate) fn note_failure(
        &mut self,
        id: TaskId,
        worker_name: &str,
        what: String,
        avoided: Option<WorkerId>,
    ) -> bool {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return false;
        };
        let worker_name = shown(worker_name);
        self.changes.record(Entry::Failed {
            task: id,
            worker_name: worker_name.clone(),
            what: what.clone(),
            avoided: avoided.clone(),
        });
        task.failures.add(worker_name, what, avoided);
        task.failures.workers.len() < self.options.attempts_max.max(1) as usize
    }

    /// A task whose attempt failed goes back to the front of the queue and its operations to stage QUEUED.
    pub(crate) fn retry(&mut self, id: TaskId) {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        task.goes_first();
        task.phase = None;
        task.metadata = None;
        let queue = task.queue;
        self.totals.retried += 1;
        self.update_operations(id);
        self.enqueue(id);
        self.give_up_if_hopeless(queue);
    }

    /// What a run has used counts for the next of its shape. Answers whether the task is to run again, because it was
    /// killed for what others of its worker used: alone if need be, and without counting against it. Where it is run twice it
    /// goes on where it was not killed.
    pub(crate) fn learn(&mut self, over: LeaseId, lease: &Lease, usage: &Usage) -> bool {
        let (id, size) = (lease.task, lease.size);
        let Some(task) = self.tasks.by_id.get(&id) else {
            return false;
        };
        let shape = task.shape;
        if !usage.crowded_out {
            let expected = self.shapes.note(shape, usage, &lease.worker);
            self.changes.record(Entry::Learned { shape, expected });
            return false;
        }
        let expected = self.shapes.needs_more_memory(shape, usage, size.memory_bytes);
        self.changes.record(Entry::Learned { shape, expected });
        let worker_name = self.worker_name(&lease.worker);
        if self.goes_on_elsewhere(id, over, &worker_name, String::new(), None) {
            return true;
        }
        let Some(task) = self.tasks.by_id.get(&id) else {
            return false;
        };
        let there = self
            .workers
            .get(&lease.worker)
            .map_or(0, |worker| worker.memory_bytes);
        // With all of it and no more, others of which nobody knows the amount may have been beside it.
        let was_alone = there > 0 && size.memory_bytes > there;
        let next = expected.size().or_asked_at_least(&task.work.platform);
        if was_alone || next == size || task.crowded_out >= CROWDED_OUT_MAX {
            return false;
        }
        self.changes.record(Entry::Bigger { task: id });
        self.run_again_bigger(id);
        true
    }

    /// Moves a task that is nowhere to the front of the queue for what is expected of it now.
    pub(crate) fn run_again_bigger(&mut self, id: TaskId) {
        self.take_back(id);
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        task.crowded_out += 1;
        let (work, shape, before) = (task.work.clone(), task.shape, task.queue);
        let (expected, asked) = self.expected_of(shape, &work.platform);
        let size = expected.map_or(asked, |expected| {
            expected.size().or_asked_at_least(&work.platform)
        });
        let queue = match self.queues.find(&work.platform, size) {
            Some(queue) => queue,
            // Perhaps one more than there may be; but sizes are few, and the task has been accepted.
            None => {
                let pools = self.queues.get(before).pools.clone();
                let queue = self.queues.open(&work.platform, size, pools.clone());
                for pool in pools {
                    self.pools.get_mut(pool).queues.insert(queue);
                }
                queue
            }
        };
        self.queues.get_mut(queue).tasks += 1;
        self.queues.get_mut(queue).was_possible |= self.queues.get(before).was_possible;
        if let Some(task) = self.tasks.by_id.get_mut(&id) {
            task.queue = queue;
            task.expected = expected;
        }
        self.leave_queue(before);
        self.retry(id);
    }

    /// A worker was lost with this task: try again, or say which workers did not survive it.
    pub(crate) fn retry_after_loss(
        &mut self,
        id: TaskId,
        worker_name: &str,
        what: String,
        avoided: Option<WorkerId>,
    ) {
        if self.note_failure(id, worker_name, what, avoided) {
            return self.retry(id);
        }
        let Some(task) = self.tasks.by_id.get(&id) else {
            return;
        };
        let Failures { workers, last, .. } = &task.failures;
        let message = format!(
            "given up after {} attempts on the workers {}; the last: {last}. The command may be killing its worker, \
             for example by using up its memory",
            workers.len(),
            workers.join(", "),
        );
        self.fail_task(id, Code::Unavailable, message);
    }

    /// Fails everything that waits in a queue whose platform nobody meets and nobody is remembered to have met.
    pub(crate) fn give_up_if_hopeless(&mut self, id: QueueId) {
        if !self.queues.exists(id) || self.in_startup_grace() {
            return;
        }
        let queue = self.queues.get(id);
        if !queue.pools.is_empty() {
            return;
        }
        let (code, message) = if queue.was_possible {
            let memory = self.options.worker_memory.as_secs();
            let message = "every worker that could run this action has been gone for more than";
            (
                Code::Unavailable,
                format!("{message} {memory} s; try again when one is back"),
            )
        } else {
            self.why_impossible(&queue.platform)
        };
        for task in queue.waiting().collect::<Vec<_>>() {
            self.fail_task(task, code, message.clone());
        }
    }
}
