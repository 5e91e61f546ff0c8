//! A scheduler's life after a restart: what must be remembered, and how it goes on from there.
//!
//! Every decision that a client or a worker may know of is an [`Entry`] before anybody hears of it. Workers keep running
//! what they hold for the length of a lease, so the tasks they had stay theirs for as long; clients have the time that
//! any operation without a client has.

use std::sync::Arc;

use reapi::execution::ExecuteResponse;

use crate::deadline::Deadline;
use crate::operation::{Operation, Progress};
use crate::platform::Offer;
use crate::scheduler::Changes;
use crate::task::{Task, TaskState};
use crate::worker::Seated;
use crate::{
    Effect, Entry, Grant, LeaseId, OperationName, Scheduler, SchedulerOptions, Shape, TaskId, Time, Totals,
    Work, WorkerId,
};

impl Scheduler {
    /// A scheduler that goes on where another one stopped, at `now`. Appends what is to be done at once: results that
    /// were being stored are stored again. Entries that fit to nothing are passed over.
    pub fn restored(
        options: SchedulerOptions,
        now: Time,
        entries: impl IntoIterator<Item = Entry>,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let mut scheduler = Scheduler::new(options);
        scheduler.now = now;
        // Whatever waits here waits for workers that cannot have connected yet.
        let grace = scheduler
            .options
            .startup_grace
            .max(scheduler.options.worker_memory);
        scheduler.start_grace(grace);
        for entry in entries {
            scheduler.apply(entry);
        }
        scheduler.come_back(effects);
        scheduler
    }

    /// All that a later scheduler has to know. Its length grows with operations, live and finished.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let past = self.operations.finished_in_order().filter_map(|name| {
            let operation = self.operations.by_name.get(name)?;
            let Progress::Finished { response, .. } = &operation.progress else {
                return None;
            };
            Some(Entry::Past {
                operation: name.clone(),
                work: operation.work.clone(),
                response: response.clone(),
            })
        });
        let live = self.tasks.in_order().into_iter();
        let live = live.flat_map(|(id, task)| self.entries_of(id, task));
        let away = self.workers_in_order().into_iter().filter_map(|(id, worker)| {
            let since = worker.away_since.filter(|_| !worker.leases.is_empty())?;
            Some(Entry::Away {
                worker: id.clone(),
                since,
            })
        });
        let learned = self
            .shapes
            .iter()
            .map(|(shape, expected)| Entry::Learned { shape, expected });
        let drains = self.drains.patterns.iter().map(|pattern| Entry::Drain {
            pattern: pattern.clone(),
            on: true,
        });
        let leases = Entry::LeasesBelow(LeaseId(self.lease_next));
        learned
            .chain(drains)
            .chain(std::iter::once(leases))
            .chain(past)
            .chain(live)
            .chain(away)
    }

    fn entries_of(&self, task: TaskId, state: &Task) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (priority, operation) in state.operations.iter() {
            let (operation, priority) = (operation.clone(), *priority);
            entries.push(match entries.is_empty() {
                true => Entry::Began {
                    task,
                    operation,
                    priority,
                    work: state.work.clone(),
                },
                false => Entry::Joined {
                    task,
                    operation,
                    priority,
                },
            });
        }
        let mut avoided = state.failures.avoided.iter().cloned();
        for worker_name in &state.failures.workers {
            entries.push(Entry::Failed {
                task,
                worker_name: worker_name.clone(),
                what: state.failures.last.clone(),
                avoided: avoided.next(),
            });
        }
        for _ in 0..state.crowded_out {
            entries.push(Entry::Bigger { task });
        }
        let was_first = state.is_first() && state.state == TaskState::Queued;
        if was_first && state.failures.workers.is_empty() && state.crowded_out == 0 {
            entries.push(Entry::HandedBack { task });
        }
        for id in state.leases() {
            let Some(lease) = self.leases.get(&id) else {
                continue;
            };
            let grant = self.grant_of(task, id, &lease.operation, &lease.worker);
            entries.push(match state.second == Some(id) {
                false => Entry::Granted(grant),
                true => Entry::Hedged(grant),
            });
        }
        if let Some(response) = &state.completed {
            let response = response.clone();
            entries.push(Entry::Completed { task, response });
        }
        entries
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Began {
                task,
                operation,
                priority,
                work,
            } => self.began(task, operation, priority, work),
            Entry::Joined {
                task,
                operation,
                priority,
            } => {
                if !self.operations.by_name.contains_key(&operation)
                    && let Some(work) = self.join(task, &operation, priority)
                {
                    self.operation_came_back(operation, work, Progress::Waiting(task, priority));
                }
            }
            Entry::Granted(grant) => {
                if self.can_be_granted(&grant) {
                    self.take_back(grant.task);
                    self.seat_if_unknown(&grant.worker, grant.worker_name);
                    self.grant_as(grant.lease, grant.task, grant.operation, &grant.worker);
                }
            }
            Entry::Hedged(grant) => {
                if self.can_be_granted(&grant) {
                    self.seat_if_unknown(&grant.worker, grant.worker_name);
                    self.hedge_as(grant.lease, grant.task, grant.operation, &grant.worker);
                }
            }
            Entry::Ended {
                task,
                lease,
                worker_name,
                what,
                avoided,
            } => {
                self.release(lease);
                self.goes_on_elsewhere(task, lease, &worker_name, what, avoided);
            }
            Entry::Failed {
                task,
                worker_name,
                what,
                avoided,
            } => {
                self.take_back(task);
                if self.note_failure(task, &worker_name, what, avoided) {
                    self.retry(task);
                } else {
                    self.enqueue(task);
                }
            }
            Entry::Completed { task, response } => {
                self.take_back(task);
                self.publish(task, response);
            }
            Entry::Finished { operations, response } => {
                let live = operations.into_iter().filter(|name| self.leave_if_live(name));
                let live = live.collect();
                self.finish(live, response);
            }
            Entry::Forgotten(operation) => self.forget(&operation),
            Entry::Past {
                operation,
                work,
                response,
            } => self.past(operation, work, response),
            Entry::Away { worker, since } => self.note_away(&worker, Some(since)),
            Entry::Back(worker) => self.note_away(&worker, None),
            Entry::Learned { shape, expected } => self.shapes.set(shape, expected),
            Entry::Drain { pattern, on } => self.drain(pattern, on),
            Entry::Bigger { task } => self.run_again_bigger(task),
            Entry::HandedBack { task } => {
                self.take_back(task);
                self.retry(task);
            }
            Entry::LeasesBelow(lease) => self.lease_next = self.lease_next.max(lease.0),
        }
    }

    fn began(&mut self, task: TaskId, name: OperationName, priority: i32, work: Arc<Work>) {
        if self.tasks.by_id.contains_key(&task) || self.operations.by_name.contains_key(&name) {
            return;
        }
        let shape = Shape::of(&work.command, &work.platform);
        let (_, size) = self.expected_of(shape, &work.platform);
        let queue = match self.queues.find(&work.platform, size) {
            Some(queue) => queue,
            None => self.queues.open(&work.platform, size, Default::default()),
        };
        // Somebody met it when it was accepted.
        self.queues.get_mut(queue).was_possible = true;
        self.begin(task, &name, &work, priority, shape, queue);
        self.operation_came_back(name, work, Progress::Waiting(task, priority));
    }

    /// Nobody watches it yet.
    fn operation_came_back(&mut self, name: OperationName, work: Arc<Work>, progress: Progress) {
        let operation = Operation {
            work,
            watchers: 0,
            progress,
        };
        self.operations.insert(name, operation);
    }

    fn can_be_granted(&mut self, grant: &Grant) -> bool {
        self.lease_next = self.lease_next.max(grant.lease.0.saturating_add(1));
        let task = self.tasks.by_id.get(&grant.task);
        task.is_some_and(|task| task.completed.is_none())
    }

    /// A worker is known by its leases only, until it speaks.
    fn seat_if_unknown(&mut self, worker: &WorkerId, worker_name: String) {
        if !self.workers.contains_key(worker) {
            let seated = Seated {
                name: worker_name,
                ..Seated::default()
            };
            self.seat(worker, seated, Offer::default());
            if let Some(worker) = self.workers.get_mut(worker) {
                worker.connected = false;
            }
        }
    }

    /// Takes a task away from wherever it is: its queue or its workers.
    pub(crate) fn take_back(&mut self, task: TaskId) {
        self.dequeue(task);
        let Some(state) = self.tasks.by_id.get_mut(&task) else {
            return;
        };
        let leases: Vec<LeaseId> = state.leases().collect();
        state.second = None;
        for lease in leases {
            self.release(lease);
        }
    }

    fn note_away(&mut self, worker: &WorkerId, since: Option<Time>) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.away_since = since;
        }
    }

    fn leave_if_live(&mut self, name: &OperationName) -> bool {
        let Some(operation) = self.operations.by_name.get(name) else {
            return false;
        };
        let Progress::Waiting(task, priority) = operation.progress else {
            return false;
        };
        self.leave_task(task, name, priority);
        true
    }

    fn past(&mut self, name: OperationName, work: Arc<Work>, response: Arc<ExecuteResponse>) {
        if !self.operations.by_name.contains_key(&name) {
            self.insert_past(name, work, response, 0);
        }
    }

    /// The clock starts again, and with it everybody's time to come back.
    fn come_back(&mut self, effects: &mut Vec<Effect>) {
        let has_no_lease: Vec<WorkerId> = self
            .workers_in_order()
            .into_iter()
            .filter(|(_, worker)| worker.leases.is_empty())
            .map(|(id, _)| id.clone())
            .collect();
        for worker in has_no_lease {
            self.remove_worker(&worker);
        }
        // Nobody has to be told: nobody is there yet.
        self.changes = Changes::default();
        self.totals = Totals::default();

        if self.tasks.by_id.is_empty() {
            self.start_grace(self.options.startup_grace);
        }
        for (id, worker) in &mut self.workers {
            // Counted from when it went, however often we have been restarted since; the clock may have been set back.
            let since = worker.away_since.map_or(self.now, |since| since.min(self.now));
            worker.away_since = Some(since);
            let ends = since + self.options.lease_duration;
            let ends = ends.max(self.now + self.options.reconnect_grace);
            self.deadlines.set(Deadline::Worker(id.clone()), Some(ends));
        }
        for (name, operation) in &self.operations.by_name {
            if let Progress::Waiting(..) = operation.progress {
                let at = self.now + self.options.abandon_after;
                self.deadlines.set(Deadline::Abandoned(name.clone()), Some(at));
            }
        }
        let unpublished = self.tasks.in_order().into_iter().filter_map(|(id, task)| {
            let response = task.completed.clone()?;
            Some((id, task.work.clone(), response))
        });
        for (task, work, response) in unpublished {
            self.changes.publish(task, work, response);
        }
        self.changes.drain_into(effects);
    }
}
