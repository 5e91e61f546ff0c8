//! Random histories: clients come, leave and cancel; workers start, die, break off, say old things and misbehave;
//! the shell publishes late. After every event the farm's invariants are checked; at the end everything heals, and
//! then every operation must end, and in time be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blob::InstanceName;
use proptest::prelude::*;
use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, LeaseId, LeaseState, Phase, Request, SchedulerOptions, Stage, Usage, Work, WorkerReport};

const PLATFORMS: [&[(&str, &str)]; 4] = [&[], LINUX, WINDOWS, &[("OSFamily", "linux"), ("gpu", "yes")]];
const OFFERS: [&[(&str, &str)]; 4] = [
    LINUX,
    WINDOWS,
    &[("OSFamily", "linux"), ("gpu", "yes")],
    &[("OSFamily", "linux"), ("OSFamily", "windows")],
];

/// One thing that happens. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Execute {
        action: u8,
        platform: u8,
        small: bool,
        priority: i8,
        do_not_cache: bool,
        skip_cache_lookup: bool,
    },
    WatcherCame(u8),
    WatcherLeft(u8),
    LetGo(u8),
    Cancel(u8),
    Forget(u8),
    /// A worker process starts and says so.
    Start {
        offer: u8,
        slots: u8,
    },
    /// A worker hears what it should do. Without this, it knows only what it heard before.
    Hear(u8),
    /// A worker makes progress with one of its leases.
    Work {
        worker: u8,
        lease: u8,
        outcome: u8,
    },
    /// A worker says everything it knows; repeated or late is all the same.
    Say(u8),
    /// A worker's stream breaks.
    BreakOff(u8),
    /// A worker's process dies; the shell may notice.
    Die {
        worker: u8,
        noticed: bool,
    },
    Drain(u8),
    Change {
        worker: u8,
        offer: u8,
        slots: u8,
    },
    /// A worker claims any lease number.
    Lie {
        worker: u8,
        lease: u8,
        done: bool,
    },
    /// The shell has stored a result.
    Publish(u8),
    /// The scheduler's process dies and comes back; workers and clients do not.
    Restart,
    Wait(u16),
    /// Hours without anything.
    Sleep,
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    prop_oneof![
        6 => (0u8..6, n(), any::<bool>(), -2i8..3, prop::bool::weighted(0.2), any::<bool>()).prop_map(
            |(action, platform, small, priority, do_not_cache, skip_cache_lookup)| Step::Execute {
                action, platform, small, priority, do_not_cache, skip_cache_lookup
            }
        ),
        1 => n().prop_map(Step::WatcherCame),
        1 => n().prop_map(Step::WatcherLeft),
        1 => n().prop_map(Step::LetGo),
        1 => n().prop_map(Step::Cancel),
        1 => n().prop_map(Step::Forget),
        2 => (n(), 0u8..4).prop_map(|(offer, slots)| Step::Start { offer, slots }),
        5 => n().prop_map(Step::Hear),
        5 => (n(), n(), n()).prop_map(|(worker, lease, outcome)| Step::Work { worker, lease, outcome }),
        6 => n().prop_map(Step::Say),
        1 => n().prop_map(Step::BreakOff),
        1 => (n(), any::<bool>()).prop_map(|(worker, noticed)| Step::Die { worker, noticed }),
        1 => n().prop_map(Step::Drain),
        1 => (n(), n(), 0u8..4).prop_map(|(worker, offer, slots)| Step::Change { worker, offer, slots }),
        1 => (n(), 0u8..40, any::<bool>()).prop_map(|(worker, lease, done)| Step::Lie { worker, lease, done }),
        3 => n().prop_map(Step::Publish),
        1 => Just(Step::Restart),
        2 => (0u16..4_000).prop_map(Step::Wait),
        1 => (0u16..40_000).prop_map(Step::Wait),
        1 => Just(Step::Sleep),
    ]
}

/// A worker process, honest but for `Lie`.
struct Process {
    id: String,
    offer: Vec<(String, String)>,
    slots: u32,
    draining: bool,
    leases: BTreeMap<LeaseId, LeaseState>,
}

struct History {
    farm: Farm,
    processes: Vec<Process>,
    processes_started: usize,
    operations: Vec<String>,
}

fn options() -> SchedulerOptions {
    // Small bounds, so that histories of a few hundred steps run into them.
    SchedulerOptions {
        finished_max: 20,
        finished_bytes_max: 30_000,
        operations_max: 40,
        operations_bytes_max: 60_000,
        platforms_max: 3,
        workers_max: 6,
        slots_max: 3,
        stuck_times: 2,
        stuck_min: Duration::from_millis(500),
        quotas: [(InstanceName::new("small").unwrap(), 2)].into(),
        ..SchedulerOptions::default()
    }
}

fn pick<T>(choice: u8, among: &[T]) -> Option<usize> {
    (!among.is_empty()).then(|| choice as usize % among.len())
}

impl History {
    fn new() -> Self {
        let farm = Farm::starting(options());
        History {
            farm,
            processes: Vec::new(),
            processes_started: 0,
            operations: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Execute {
                action,
                platform,
                small,
                priority,
                do_not_cache,
                skip_cache_lookup,
            } => {
                let operation = format!("op{:04}", self.operations.len());
                let platform = PLATFORMS[platform as usize % PLATFORMS.len()];
                let work = Work {
                    do_not_cache,
                    instance: InstanceName::new(if small { "small" } else { "" }).unwrap(),
                    ..work(&format!("{action}{platform:?}"), platform)
                };
                self.operations.push(operation.clone());
                let operation = name(&operation);
                let priority = priority.into();
                let request = Request {
                    operation,
                    work: Arc::new(work),
                    priority,
                    skip_cache_lookup,
                };
                self.farm.send(Event::Execute(request));
            }
            Step::WatcherCame(choice) => self.about_operation(choice, Event::WatcherCame),
            Step::WatcherLeft(choice) => self.about_operation(choice, Event::WatcherLeft),
            Step::LetGo(choice) => self.about_operation(choice, Event::LetGo),
            Step::Cancel(choice) => self.about_operation(choice, Event::Cancel),
            Step::Forget(choice) => self.about_operation(choice, Event::Forget),
            Step::Start { offer, slots } => self.start(OFFERS[offer as usize % OFFERS.len()], slots.into()),
            Step::Hear(choice) => self.about_process(choice, Self::hear),
            Step::Work {
                worker,
                lease,
                outcome,
            } => {
                self.about_process(worker, |history, at| history.processes[at].work(lease, outcome));
            }
            Step::Say(choice) => self.about_process(choice, Self::say),
            Step::BreakOff(choice) => self.about_process(choice, |history, at| {
                let id = worker(&history.processes[at].id);
                history.farm.send(Event::WorkerGone(id));
            }),
            Step::Die {
                worker: choice,
                noticed,
            } => self.about_process(choice, |history, at| {
                let process = history.processes.remove(at);
                if noticed {
                    history.farm.send(Event::WorkerGone(worker(&process.id)));
                }
            }),
            Step::Drain(choice) => {
                self.about_process(choice, |history, at| history.processes[at].draining = true)
            }
            Step::Change { worker, offer, slots } => self.about_process(worker, |history, at| {
                history.processes[at].offer = properties(OFFERS[offer as usize % OFFERS.len()]);
                history.processes[at].slots = slots.into();
            }),
            Step::Lie { worker, lease, done } => self.about_process(worker, |history, at| {
                let state = if done {
                    LeaseState::Completed(succeeded(0))
                } else {
                    running()
                };
                let lease = LeaseId(lease.into());
                // It may claim any lease but its own live ones, whose results would be true then.
                if !history.farm.leases(&history.processes[at].id).contains(&lease) {
                    history.processes[at].leases.insert(lease, state);
                    history.say(at);
                    history.processes[at].leases.remove(&lease);
                }
            }),
            Step::Publish(choice) => {
                if let Some(at) = pick(choice, &self.farm.publications) {
                    let (task, response) = self.farm.publications.remove(at);
                    self.farm.send(Event::Published(task, response));
                }
            }
            Step::Restart => self.farm.restart(),
            Step::Wait(ms) => self.farm.wait(Duration::from_millis(ms.into())),
            Step::Sleep => self.farm.wait(seconds(4_000)),
        }
    }

    fn about_operation(&mut self, choice: u8, event: fn(crate::OperationName) -> Event) {
        if let Some(at) = pick(choice, &self.operations) {
            let operation = name(&self.operations[at]);
            self.farm.send(event(operation));
        }
    }

    fn about_process(&mut self, choice: u8, act: impl FnOnce(&mut Self, usize)) {
        if let Some(at) = pick(choice, &self.processes) {
            act(self, at);
        }
    }

    fn start(&mut self, offer: &[(&str, &str)], slots: u32) {
        self.processes_started += 1;
        let id = format!("w{}", self.processes_started);
        let offer = properties(offer);
        self.processes.push(Process {
            id,
            offer,
            slots,
            draining: false,
            leases: BTreeMap::new(),
        });
        self.say(self.processes.len() - 1);
    }

    fn hear(&mut self, at: usize) {
        let desired = self.farm.leases(&self.processes[at].id);
        let leases = &mut self.processes[at].leases;
        leases.retain(|lease, _| desired.contains(lease));
        for lease in desired {
            let fetching = LeaseState::Running {
                phase: Phase::FetchingInputs,
                metadata: None,
            };
            leases.entry(lease).or_insert(fetching);
        }
    }

    fn say(&mut self, at: usize) {
        let process = &self.processes[at];
        let report = WorkerReport {
            name: process.id.clone(),
            properties: process.offer.clone(),
            slots: process.slots,
            draining: process.draining,
            // Some of those that drain have no time to finish what they have.
            leaves_in: (process.draining && process.slots % 2 == 1).then_some(Duration::ZERO),
            leases: process
                .leases
                .iter()
                .map(|(lease, state)| (*lease, state.clone()))
                .collect(),
            usages: process.usages(),
            ..WorkerReport::default()
        };
        self.farm.send(Event::WorkerSynced(worker(&process.id), report));
    }

    /// From now on nothing fails: every operation must end, soon.
    fn heal(&mut self) {
        for process in std::mem::take(&mut self.processes) {
            self.farm.send(Event::WorkerGone(worker(&process.id)));
        }
        self.farm.wait(seconds(30));
        self.start(
            &[("OSFamily", "linux"), ("OSFamily", "windows"), ("gpu", "yes")],
            3,
        );
        for _ in 0..60 {
            if self.operations.iter().all(|operation| self.is_over(operation)) {
                return;
            }
            self.hear(0);
            for lease in 0..3 {
                self.processes[0].work(lease, 0);
            }
            self.say(0);
            self.farm.publish_all();
            self.farm.wait(Duration::from_millis(100));
        }
        panic!("an operation never ends: {:#?}", self.farm.scheduler.view());
    }

    fn is_over(&self, operation: &str) -> bool {
        self.farm
            .scheduler
            .operation(&name(operation))
            .is_none_or(|view| view.stage == Stage::Completed)
    }
}

impl Process {
    /// Of some of what is done.
    fn usages(&self) -> Vec<(LeaseId, Usage)> {
        let done = |(lease, state): (&LeaseId, &LeaseState)| {
            let is_measured = matches!(state, LeaseState::Completed(_)) && lease.0 % 3 > 0;
            let usage = Usage {
                wall: Duration::from_millis(200),
                memory_bytes: 1 << 20,
                crowded_out: lease.0 % 7 == 0,
                ..Usage::default()
            };
            is_measured.then_some((*lease, usage))
        };
        self.leases.iter().filter_map(done).collect()
    }

    fn work(&mut self, choice: u8, outcome: u8) {
        let leases: Vec<LeaseId> = self.leases.keys().copied().collect();
        let Some(at) = pick(choice, &leases) else { return };
        let state = match outcome % 8 {
            0..4 => LeaseState::Completed(succeeded((outcome % 2).into())),
            4 => LeaseState::Completed(failed(Code::Internal, "no space for the input root")),
            5 => LeaseState::Completed(failed(Code::FailedPrecondition, "an input is missing")),
            6 => LeaseState::Running {
                phase: Phase::Executing,
                metadata: None,
            },
            _ => LeaseState::Running {
                phase: Phase::UploadingOutputs,
                metadata: Some(Box::default()),
            },
        };
        // What is completed stays completed.
        if let Some(before @ LeaseState::Running { .. }) = self.leases.get_mut(&leases[at]) {
            *before = state;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_operation_ends_once_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..150)
    ) {
        let mut history = History::new();
        for step in steps {
            history.take(step);
        }
        history.heal();
        history.processes.clear();
        history.farm.wait(seconds(100));
        history.farm.wait(seconds(600));
        history.farm.assert_empty();
    }
}
