//! A scheduler under observation: events go in one by one, and after each everything that must always be true is
//! checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, Platform};
use blob::{Digest, DigestFunction, InstanceName};
use reapi::execution::{ActionResult, ExecuteResponse, RequestMetadata};
use reapi::rpc::Code;

use crate::{
    Effect, Entry, Event, LeaseId, LeaseState, OperationName, OperationView, Phase, Request, Scheduler,
    SchedulerOptions, Stage, TaskId, Time, Work, WorkerId, WorkerReport,
};

mod checks;
mod restart;
mod shapes;

pub(super) use shapes::command_of;

pub(super) const LINUX: &[(&str, &str)] = &[("OSFamily", "linux")];
pub(super) const WINDOWS: &[(&str, &str)] = &[("OSFamily", "windows")];

pub(super) struct Farm {
    pub(super) scheduler: Scheduler,
    pub(super) now: Time,
    /// What the last event had as effects.
    pub(super) effects: Vec<Effect>,
    /// Publications that were asked for and not answered.
    pub(super) publications: Vec<(TaskId, Arc<ExecuteResponse>)>,
    /// All that had to be remembered.
    pub(super) journal: Vec<Entry>,
    seen: Seen,
    published: BTreeSet<TaskId>,
}

/// What an observer knew before the last event.
#[derive(Default)]
struct Seen {
    operations: BTreeMap<OperationName, OperationView>,
    desired: BTreeMap<WorkerId, Vec<LeaseId>>,
    lease_last: Option<LeaseId>,
}

pub(super) fn name(text: &str) -> OperationName {
    OperationName::new(text)
}

pub(super) fn worker(text: &str) -> WorkerId {
    WorkerId::new(text)
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn properties(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn work(action: &str, platform: &[(&str, &str)]) -> Work {
    let digest = Digest::of(DigestFunction::Sha256, action.as_bytes());
    Work {
        instance: InstanceName::default(),
        action_digest: ActionDigest::new(digest),
        action: Default::default(),
        command: Default::default(),
        platform: Platform::new(properties(platform)).unwrap(),
        timeout: seconds(60),
        do_not_cache: false,
        request_metadata: None,
        user: String::new(),
        queued_at: Default::default(),
    }
}

/// The same, for a build.
pub(super) fn work_of(build: &str, action: &str, platform: &[(&str, &str)]) -> Work {
    let metadata = RequestMetadata {
        tool_invocation_id: build.to_owned(),
        ..RequestMetadata::default()
    };
    Work {
        request_metadata: Some(metadata),
        ..work(action, platform)
    }
}

pub(super) fn succeeded(exit_code: i32) -> Box<ExecuteResponse> {
    let result = ActionResult {
        exit_code,
        ..ActionResult::default()
    };
    Box::new(ExecuteResponse {
        result: Some(result),
        ..ExecuteResponse::default()
    })
}

pub(super) fn failed(code: Code, message: &str) -> Box<ExecuteResponse> {
    Box::new(crate::response::failed(code, message))
}

pub(super) fn running() -> LeaseState {
    LeaseState::Running {
        phase: Phase::Executing,
        metadata: None,
    }
}

impl Farm {
    /// A farm past its start-up grace, with the default options.
    pub(super) fn new() -> Self {
        let mut farm = Farm::starting(SchedulerOptions::default());
        farm.wait(seconds(15));
        farm
    }

    /// A farm at its first moment.
    pub(super) fn starting(options: SchedulerOptions) -> Self {
        // What the tests count with, whatever is best for real networks.
        let reconnect_grace = std::time::Duration::from_secs(2);
        let options = SchedulerOptions {
            reconnect_grace,
            ..options
        };
        let mut farm = Farm {
            scheduler: Scheduler::new(options),
            now: Time::from_micros(1_000_000),
            effects: Vec::new(),
            publications: Vec::new(),
            journal: Vec::new(),
            seen: Seen::default(),
            published: BTreeSet::new(),
        };
        assert_eq!(farm.scheduler.next_wakeup(), None);
        farm.send(Event::Tick);
        farm
    }

    pub(super) fn send(&mut self, event: Event) {
        self.effects.clear();
        self.scheduler.handle(self.now, event, &mut self.effects);
        self.take_effects();
        self.check_effects();
        self.check_state();
    }

    fn take_effects(&mut self) {
        let is_record = |effect: &Effect| matches!(effect, Effect::Record(_));
        assert!(
            self.effects.is_sorted_by_key(|effect| !is_record(effect)),
            "something is told before it is remembered"
        );
        for effect in &self.effects {
            match effect {
                Effect::Record(entry) => self.journal.push(entry.clone()),
                Effect::Publish(task, _, response) => {
                    assert!(self.published.insert(*task), "{task:?} is published twice");
                    self.publications.push((*task, response.clone()));
                }
                Effect::Sync(_) | Effect::Update(_) => {}
            }
        }
    }

    /// Lets time pass, with a tick whenever the scheduler wants one and one just before, which must do nothing.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(wakeup) = self.scheduler.next_wakeup().filter(|wakeup| *wakeup <= end) {
            if wakeup > self.now {
                self.now = Time(wakeup.0 - 1).max(self.now);
                self.send(Event::Tick);
                assert!(
                    self.effects.is_empty(),
                    "something happened before its time: {:?}",
                    self.effects
                );
            }
            self.now = wakeup.max(self.now);
            self.send(Event::Tick);
            assert!(
                self.scheduler
                    .next_wakeup()
                    .is_none_or(|next| next > wakeup || next >= self.now)
            );
        }
        self.now = end;
        self.send(Event::Tick);
    }

    pub(super) fn execute(&mut self, operation: &str, work: Work) {
        self.execute_at(operation, work, 0);
    }

    pub(super) fn execute_at(&mut self, operation: &str, work: Work, priority: i32) {
        let operation = name(operation);
        let work = Arc::new(work);
        self.send(Event::Execute(Request {
            operation,
            work,
            priority,
            skip_cache_lookup: false,
        }));
    }

    /// A worker's message, with its leases as the scheduler wants them, all running.
    pub(super) fn sync(&mut self, id: &str, offer: &[(&str, &str)], slots: u32) {
        let leases = self
            .leases(id)
            .into_iter()
            .map(|lease| (lease, running()))
            .collect();
        self.report(id, offer, slots, leases);
    }

    pub(super) fn report(
        &mut self,
        id: &str,
        offer: &[(&str, &str)],
        slots: u32,
        leases: Vec<(LeaseId, LeaseState)>,
    ) {
        let report = WorkerReport {
            name: id.to_owned(),
            properties: properties(offer),
            slots,
            draining: false,
            leases,
            ..WorkerReport::default()
        };
        self.send(Event::WorkerSynced(worker(id), report));
    }

    /// A worker's message that one lease is done and the others run.
    pub(super) fn complete(
        &mut self,
        id: &str,
        offer: &[(&str, &str)],
        slots: u32,
        done: LeaseId,
        response: Box<ExecuteResponse>,
    ) {
        let others = self.leases(id).into_iter().filter(|lease| *lease != done);
        let mut leases: Vec<_> = others.map(|lease| (lease, running())).collect();
        leases.push((done, LeaseState::Completed(response)));
        self.report(id, offer, slots, leases);
    }

    /// The shell stores every result it was asked to.
    pub(super) fn publish_all(&mut self) {
        for (task, response) in std::mem::take(&mut self.publications) {
            self.send(Event::Published(task, response));
        }
    }

    pub(super) fn leases(&self, id: &str) -> Vec<LeaseId> {
        let desired = self.scheduler.desired(&worker(id)).unwrap_or_default();
        desired.into_iter().map(|(lease, ..)| lease).collect()
    }

    /// The names of the operations a worker's leases were granted for.
    pub(super) fn assigned(&self, id: &str) -> Vec<String> {
        let desired = self.scheduler.desired(&worker(id)).unwrap_or_default();
        desired
            .into_iter()
            .map(|(_, operation, _)| operation.to_string())
            .collect()
    }

    pub(super) fn view(&self, operation: &str) -> OperationView {
        self.scheduler
            .operation(&name(operation))
            .unwrap_or_else(|| panic!("operation {operation} is not known"))
    }

    pub(super) fn stage(&self, operation: &str) -> Stage {
        self.view(operation).stage
    }

    /// Code and message of a finished operation.
    pub(super) fn outcome(&self, operation: &str) -> (Code, String) {
        let response = self
            .view(operation)
            .response
            .unwrap_or_else(|| panic!("{operation} is not finished"));
        let status = response.status.clone().unwrap_or_default();
        if response.result.is_none() {
            assert_eq!(
                response.message, status.message,
                "the cause is told in both places"
            );
        }
        (Code::try_from(status.code).unwrap(), status.message)
    }

    pub(super) fn updated(&self, operation: &str) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Update(updated) if *updated == name(operation)))
    }

    pub(super) fn synced(&self, id: &str) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Sync(synced) if *synced == worker(id)))
    }

    /// Nothing is remembered: no operation, task, queue, worker, lease or deadline.
    pub(super) fn assert_empty(&self) {
        let scheduler = &self.scheduler;
        assert_eq!(scheduler.operations(None, 1).len(), 0);
        assert_eq!(scheduler.tasks.sizes(), (0, 0, 0));
        assert_eq!(scheduler.queues.len(), 0);
        assert_eq!((scheduler.workers.len(), scheduler.pools.len()), (0, 0));
        assert_eq!((scheduler.leases.len(), scheduler.deadlines.len()), (0, 0));
        assert_eq!(scheduler.held().len(), 0);
        assert_eq!(scheduler.next_wakeup(), None);
    }
}
