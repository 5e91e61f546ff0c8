//! One execution that operations wait for: merging, queueing and its end.

use std::sync::Arc;

use action::Platform;
use reapi::execution::{ExecuteResponse, ExecutedActionMetadata};
use reapi::rpc::Code;

use crate::ids::IdMap;
use crate::joinable::Joinable;
use crate::platform::explain_unmatched;
use crate::queue::{QueueId, Spot};
use crate::response::{Refusal, failed};
use crate::retry::Failures;
use crate::size::Size;
use crate::turns::{Arrival, FIRST, Place};
use crate::waiters::Waiters;
use crate::{Entry, Expected, LeaseId, OperationName, Phase, Scheduler, Shape, TaskId, Work};

/// One execution.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) work: Arc<Work>,
    /// What `work` holds, as counted in [`Tasks::bytes`].
    bytes: u64,
    pub(crate) queue: QueueId,
    pub(crate) shape: Shape,
    /// What commands like it have needed; nothing for one that is new.
    pub(crate) expected: Option<Expected>,
    /// How often it was crowded out of a worker's memory.
    pub(crate) crowded_out: u32,
    /// Which one it is; they are counted as they come.
    id: TaskId,
    /// Its place in line.
    pub(crate) place: Place,
    /// The operations that wait for it, most urgent first; never empty.
    pub(crate) operations: Waiters,
    pub(crate) state: TaskState,
    /// The lease of a second worker that tries, beside the one that it is running under.
    pub(crate) second: Option<LeaseId>,
    /// What its worker has told of it last; kept while the result is being stored.
    pub(crate) phase: Option<Phase>,
    pub(crate) metadata: Option<Arc<ExecutedActionMetadata>>,
    pub(crate) failures: Failures,
    /// What a worker said, while it is being stored.
    pub(crate) completed: Option<Arc<ExecuteResponse>>,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    /// In its queue, at its [spot](Task::spot).
    Queued,
    /// With a worker.
    Running(LeaseId),
    /// With the shell, which stores the result.
    Publishing,
}

/// All tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) by_id: IdMap<TaskId, Box<Task>>,
    /// The cacheable tasks that have no result yet: an operation for the same action joins them.
    joinable: Joinable,
    /// About what all their work holds.
    bytes: u64,
    last: u64,
}

impl Task {
    /// Where it is, or would be, in its queue.
    pub(crate) fn spot(&self) -> Spot {
        Spot {
            claim: self.place.claim,
            turn: self.place.turn,
            task: self.id,
            is_retried: !self.failures.avoided.is_empty(),
        }
    }

    /// As urgent as its most urgent operation.
    fn priority(&self) -> i32 {
        self.operations.first().map_or(0, |(priority, _)| *priority)
    }

    /// Puts it before all others of its claim: it has had its turn. Not to be called while it is in its queue.
    pub(crate) fn goes_first(&mut self) {
        self.place.turn = FIRST;
    }

    /// Whether it is before all others of its claim.
    pub(crate) fn is_first(&self) -> bool {
        self.place.turn == FIRST
    }

    /// The operation whose name a lease carries.
    pub(crate) fn foremost(&self) -> Option<&OperationName> {
        self.operations.first().map(|(_, name)| name)
    }
}

impl Tasks {
    /// All of them, in the order in which they came.
    pub(crate) fn in_order(&self) -> Vec<(TaskId, &Task)> {
        let mut tasks: Vec<_> = self.by_id.iter().map(|(id, task)| (*id, &**task)).collect();
        tasks.sort_by_key(|(id, _)| *id);
        tasks
    }

    fn stop_joining(&mut self, id: TaskId) {
        if let Some(task) = self.by_id.get(&id) {
            self.joinable.remove(id, &task.work);
        }
    }

    /// Number of tasks and of actions that can be joined, for leak tests.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize, u64) {
        (self.by_id.len(), self.joinable.len(), self.bytes)
    }
}

impl Scheduler {
    /// Finds or makes the task for a new operation. The error is why the operation is refused.
    pub(crate) fn join_or_start(
        &mut self,
        name: &OperationName,
        work: &Arc<Work>,
        priority: i32,
    ) -> Result<(TaskId, Arc<Work>), Refusal> {
        let operations_max = self.options.operations_max;
        if self.operations.live_count() >= operations_max {
            return Err(exhausted(format!(
                "{operations_max} operations are queued or executing already"
            )));
        }
        if !work.do_not_cache
            && let Some(id) = self.tasks.joinable.find(work, &self.tasks.by_id)
            && let Some(shared) = self.join(id, name, priority)
        {
            return Ok((id, shared));
        }
        let bytes = work.bytes();
        let bytes_max = self.options.operations_bytes_max;
        if self.tasks.bytes.saturating_add(bytes) > bytes_max {
            return Err(exhausted(format!(
                "the operations queued or executing hold {bytes_max} bytes already"
            )));
        }
        let shape = Shape::of(&work.command, &work.platform);
        let (_, size) = self.expected_of(shape, &work.platform);
        let queue = self.queue_for(work, size)?;
        let id = TaskId(self.tasks.last + 1);
        self.begin(id, name, work, priority, shape, queue);
        Ok((id, work.clone()))
    }

    /// One more operation waits for a task. Answers the task's work, or `None` if there is no such task.
    pub(crate) fn join(&mut self, id: TaskId, name: &OperationName, priority: i32) -> Option<Arc<Work>> {
        let task = self.tasks.by_id.get_mut(&id)?;
        task.operations.insert(priority, name.clone());
        let shared = task.work.clone();
        self.totals.merged += 1;
        self.changes.record(Entry::Joined {
            task: id,
            operation: name.clone(),
            priority,
        });
        self.reorder(id);
        Some(shared)
    }

    /// A new task for one operation, in its queue.
    pub(crate) fn begin(
        &mut self,
        id: TaskId,
        name: &OperationName,
        work: &Arc<Work>,
        priority: i32,
        shape: Shape,
        queue: QueueId,
    ) {
        self.tasks.last = self.tasks.last.max(id.0);
        let bytes = work.bytes();
        let expected = self.shapes.expected(shape);
        let place = self.line_up(queue, work, priority, expected);
        let task = Task {
            work: work.clone(),
            bytes,
            queue,
            shape,
            expected,
            crowded_out: 0,
            id,
            place,
            operations: Waiters::one(priority, name.clone()),
            state: TaskState::Publishing,
            second: None,
            phase: None,
            metadata: None,
            failures: Failures::default(),
            completed: None,
        };
        self.changes.record(Entry::Began {
            task: id,
            operation: name.clone(),
            priority,
            work: work.clone(),
        });
        self.tasks.by_id.insert(id, Box::new(task));
        self.tasks.bytes += bytes;
        self.queues.get_mut(queue).tasks += 1;
        if !work.do_not_cache {
            self.tasks.joinable.insert(id, &self.tasks.by_id);
        }
        self.enqueue(id);
    }

    /// A place for a task that wants to be in this queue.
    fn line_up(&mut self, queue: QueueId, work: &Work, priority: i32, expected: Option<Expected>) -> Place {
        let pools = &self.queues.get(queue).pools;
        self.turns.line_up(&Arrival {
            asker: work.asker(),
            priority,
            expected: expected.map(|expected| expected.wall),
            home: pools.first().copied(),
        })
    }

    /// What is expected of commands of a shape, and how much of a worker they take on a platform.
    pub(crate) fn expected_of(&self, shape: Shape, platform: &Platform) -> (Option<Expected>, Size) {
        let expected = self.shapes.expected(shape);
        let size = expected.map_or(Size::UNKNOWN, |expected| expected.size());
        (expected, size.or_asked(platform))
    }

    /// The queue of a platform that some worker meets or, while the server starts, may still meet.
    fn queue_for(&mut self, work: &Work, size: Size) -> Result<QueueId, Refusal> {
        let platform = &work.platform;
        let known = self.queues.find(platform, size);
        let pools = match known {
            Some(queue) => self.queues.get(queue).pools.clone(),
            None => self
                .pools
                .possible()
                .filter(|(_, pool)| pool.offer.meets(platform))
                .map(|(id, _)| id)
                .collect(),
        };
        if pools.is_empty() && !self.in_startup_grace() {
            let (code, message) = self.why_impossible(platform);
            return Err(Refusal { code, message });
        }
        if let Some(queue) = known {
            return Ok(queue);
        }
        let platforms_max = self.options.platforms_max;
        if self.queues.len() >= platforms_max {
            // Better with the wrong size than not at all.
            if let Some(queue) = self.queues.any_of(platform) {
                return Ok(queue);
            }
            return Err(exhausted(format!(
                "operations for {platforms_max} different platforms and sizes are queued already"
            )));
        }
        let queue = self.queues.open(platform, size, pools.clone());
        for pool in pools {
            self.pools.get_mut(pool).queues.insert(queue);
        }
        Ok(queue)
    }

    /// Without any worker nothing is known to be impossible, and trying again may help; with some it will not.
    pub(crate) fn why_impossible(&self, platform: &action::Platform) -> (Code, String) {
        let code = match self.pools.possible().next() {
            None => Code::Unavailable,
            Some(_) => Code::FailedPrecondition,
        };
        let offers = self
            .pools
            .possible()
            .map(|(_, pool)| (pool.last_name.as_str(), &pool.offer));
        (code, explain_unmatched(platform, offers))
    }

    /// Puts a task that is nowhere into its queue.
    pub(crate) fn enqueue(&mut self, id: TaskId) {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        task.state = TaskState::Queued;
        let spot = task.spot();
        let queue = self.queues.get_mut(task.queue);
        queue.insert(&spot);
        // The latest: where it is an ordinary newcomer, and not behind or before everybody.
        let clocks = queue.pools.iter().map(|pool| self.pools.get(*pool).clock);
        self.turns.waits(spot.claim, clocks.max().unwrap_or(FIRST));
        self.changes.queues_filled.insert(task.queue);
    }

    /// Takes a task out of its queue, if it is there; it has to get another state.
    pub(crate) fn dequeue(&mut self, id: TaskId) {
        let task = self.tasks.by_id.get(&id);
        let Some(task) = task.filter(|task| task.state == TaskState::Queued) else {
            return;
        };
        let (id, spot) = (task.queue, task.spot());
        self.turns.waits_no_more(spot.claim);
        let queue = self.queues.get_mut(id);
        queue.remove(&spot);
        if queue.len() == 0 {
            self.unreserve(id);
        }
    }

    /// Moves a task to where its operations' priorities want it.
    fn reorder(&mut self, id: TaskId) {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        let (priority, before) = (task.priority(), task.place);
        let priority_before = self.turns.priority(before.flow);
        if priority_before == Some(priority) {
            return;
        }
        let is_queued = task.state == TaskState::Queued;
        let (queue, work, expected) = (task.queue, task.work.clone(), task.expected);
        let mut place = self.line_up(queue, &work, priority, expected);
        let is_hurried = priority_before.is_some_and(|before| priority < before);
        if before.turn == FIRST || (is_hurried && place.claim == before.claim) {
            place.turn = place.turn.min(before.turn);
        }
        if is_queued {
            self.dequeue(id);
        }
        if let Some(task) = self.tasks.by_id.get_mut(&id) {
            task.place = place;
        }
        if is_queued {
            self.enqueue(id);
        }
        self.turns.leave(before);
    }

    /// One operation no longer waits. The last one takes the task with it: out of the queue, away from its worker,
    /// or, when its result is being published, out of memory.
    pub(crate) fn leave_task(&mut self, id: TaskId, name: &OperationName, priority: i32) {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        task.operations.remove(priority, name);
        if task.operations.is_empty() {
            self.end_task(id);
        } else {
            self.reorder(id);
        }
    }

    /// Removes a task from everywhere and answers the operations that waited for it.
    pub(crate) fn end_task(&mut self, id: TaskId) -> Vec<OperationName> {
        self.dequeue(id);
        self.tasks.stop_joining(id);
        let Some(task) = self.tasks.by_id.remove(&id) else {
            return Vec::new();
        };
        self.tasks.bytes -= task.bytes;
        self.turns.leave(task.place);
        for lease in task.leases() {
            self.release(lease);
        }
        self.leave_queue(task.queue);
        task.operations.into_names()
    }

    /// A queue has one task less.
    pub(crate) fn leave_queue(&mut self, id: QueueId) {
        self.queues.get_mut(id).tasks -= 1;
        for pool in self.queues.close_if_unused(id) {
            self.pools.get_mut(pool).queues.remove(&id);
        }
    }

    /// Ends a task without a worker's response.
    pub(crate) fn fail_task(&mut self, id: TaskId, code: Code, message: impl Into<String>) {
        let operations = self.end_task(id);
        self.finish(operations, Arc::new(failed(code, message)));
    }

    /// Hands a worker's response to the shell. From here on nobody joins: a result exists (checklist E9).
    pub(crate) fn publish(&mut self, id: TaskId, response: Arc<ExecuteResponse>) {
        self.tasks.stop_joining(id);
        if let Some(task) = self.tasks.by_id.get_mut(&id) {
            task.state = TaskState::Publishing;
            task.completed = Some(response.clone());
            self.changes.record(Entry::Completed {
                task: id,
                response: response.clone(),
            });
            self.changes.publish(id, task.work.clone(), response);
        }
    }

    /// The shell has stored the result: every operation that still waits gets it.
    pub(crate) fn published(&mut self, id: TaskId, response: Arc<ExecuteResponse>) {
        if self
            .tasks
            .by_id
            .get(&id)
            .is_some_and(|task| task.state == TaskState::Publishing)
        {
            self.totals.published += 1;
            let operations = self.end_task(id);
            self.finish(operations, response);
        }
    }

    /// A worker tells how far it is.
    pub(crate) fn note_progress(
        &mut self,
        id: TaskId,
        phase: Phase,
        metadata: Option<Box<ExecutedActionMetadata>>,
    ) {
        let Some(task) = self.tasks.by_id.get_mut(&id) else {
            return;
        };
        if task.phase != Some(phase) || task.metadata.as_deref() != metadata.as_deref() {
            task.phase = Some(phase);
            task.metadata = metadata.map(Arc::from);
            self.update_operations(id);
        }
    }

    /// Tells everybody who waits for a task that it has changed.
    pub(crate) fn update_operations(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.by_id.get(&id) {
            for (_, name) in task.operations.iter() {
                self.changes.update(name);
            }
        }
    }
}

fn exhausted(what: String) -> Refusal {
    Refusal {
        code: Code::ResourceExhausted,
        message: format!("{what}; try again when some are done"),
    }
}
