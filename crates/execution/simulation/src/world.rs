//! Everything together: faults for a while, then none, and then every operation has to end.

mod clients;
mod faults;
mod messages;

use std::time::Duration;

use reapi::rpc::Code;
use scheduler::{Effect, Event, LeaseId, OperationName, SchedulerOptions, TaskId, WorkerId};

use crate::agenda::{Agenda, MILLISECOND, Moment, SECOND};
use crate::random::Random;
use crate::server::Server;
use crate::worker::Worker;

const WORKERS: usize = 3;
const SLOTS: u32 = 2;
const CLIENTS: usize = 8;
const LEASE: Moment = 6 * SECOND;
const BEAT: Moment = SECOND;
/// How long things go wrong.
const FAULTS_END: Moment = 40 * SECOND;
/// Longest run of an action.
const RUN_MAX: Moment = 3 * SECOND;
/// More than this is a loop without an end.
const HAPPENINGS_MAX: u64 = 100_000;
/// Each client asks for this many actions at most.
const ACTIONS_MAX: u64 = 6;

/// What a history came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations that were accepted, all of which have ended.
    pub operations: usize,
    /// Leases granted.
    pub leases: usize,
    /// Lives of the server.
    pub lives: u64,
    /// Runs that began while an earlier worker, already given up, still ran the same.
    pub overlaps: u64,
    /// How often a second worker was given an action that seemed to be stuck.
    pub hedges: u64,
    /// How often a worker that was about to go gave back what it had.
    pub handed_back: u64,
}

#[derive(Clone, Debug)]
enum Happening {
    ToServer(usize, u64, WorkerId, Box<scheduler::WorkerReport>, bool, Moment),
    ToWorker(usize, u64, Vec<LeaseId>, Moment),
    Beat(usize, u64),
    RunEnds(usize, u64, LeaseId),
    Wakeup(u64),
    Stored(u64, TaskId, std::sync::Arc<reapi::execution::ExecuteResponse>),
    Client(usize),
    ServerStarts,
    WorkerStarts(usize),
    WorkerLeaves(usize, u64),
    Broken(u64, usize, WorkerId, u64),
    PutBack(usize),
    Fault,
}

#[derive(Debug, Default)]
struct Client {
    operation: Option<OperationName>,
    watches_in_life: u64,
    asked: u64,
}

struct World {
    agenda: Agenda<Happening>,
    random: Random,
    server: Server,
    workers: Vec<Worker>,
    clients: Vec<Client>,
    connections: u64,
    names: u64,
    /// When messages of a worker arrive at the earliest, to the server and from it: streams keep their order.
    arrivals: Vec<[Moment; 2]>,
    dies_at_next: bool,
    overlaps: u64,
    trace: bool,
}

/// Lives through the history of a seed. Panics where an invariant does not hold; `trace` prints what happens.
pub fn run(seed: u64, trace: bool) -> Outcome {
    let options = SchedulerOptions {
        lease_duration: Duration::from_micros(LEASE),
        reconnect_grace: Duration::from_secs(2),
        unreported_max: Duration::from_secs(12),
        abandon_after: Duration::from_secs(10),
        stuck_min: Duration::from_secs(1),
        stuck_times: 2,
        ..SchedulerOptions::default()
    };
    // A clock set back stands still for as long; a server that starts waits for workers and clients; then all that is left
    // runs, in the worst case one after the other.
    let waits = options.worker_memory + options.abandon_after + options.unreported_max;
    let patience =
        waits.as_micros() as Moment + 2 * LEASE + (CLIENTS as u64 * ACTIONS_MAX) * (RUN_MAX + BEAT);
    let mut world = World {
        agenda: Agenda::new(),
        random: Random::new(seed),
        server: Server::new(options),
        workers: Vec::new(),
        clients: (0..CLIENTS).map(|_| Client::default()).collect(),
        connections: 0,
        names: 0,
        arrivals: vec![[0; 2]; WORKERS],
        dies_at_next: false,
        overlaps: 0,
        trace,
    };
    world.agenda.plan(0, Happening::ServerStarts);
    for host in 0..WORKERS {
        world.workers.push(Worker::new(host, 0, 0));
        world.agenda.plan(0, Happening::Beat(host, 0));
    }
    for client in 0..CLIENTS {
        let at = world.random.within(0..20 * SECOND);
        world.agenda.plan(at, Happening::Client(client));
    }
    world.agenda.plan(SECOND, Happening::Fault);
    world.live_until(FAULTS_END);
    world.heal();
    world.live_until(FAULTS_END + patience);
    let observer = &world.server.observer;
    assert_eq!(
        observer.finals.len(),
        observer.accepted.len(),
        "an operation never ends"
    );
    // Nobody asks for anything any more, and workers are gone: nothing is left.
    world
        .workers
        .iter_mut()
        .for_each(|worker| worker.is_alive = false);
    world.live_until(FAULTS_END + patience + 3 * 700 * SECOND);
    let scheduler = world.server.scheduler.as_ref().expect("a server that is up");
    let view = scheduler.view();
    let left = (view.operations_finished, view.workers.len(), view.platforms.len());
    assert_eq!(left, (0, 0, 0), "something is left");
    assert_eq!(scheduler.next_wakeup(), None, "a deadline is left");
    let observer = &world.server.observer;
    Outcome {
        operations: observer.accepted.len(),
        leases: observer.granted.len(),
        lives: world.server.life,
        overlaps: world.overlaps,
        hedges: world.server.observer.hedges,
        handed_back: world.server.observer.handed_back,
    }
}

impl World {
    fn live_until(&mut self, end: Moment) {
        let mut happenings = 0;
        while let Some(happening) = self.agenda.next_until(end) {
            happenings += 1;
            assert!(happenings < HAPPENINGS_MAX, "it goes on without an end");
            if self.trace {
                println!("{:>12.6} s {happening:?}", self.now() as f64 / 1e6);
            }
            self.happen(happening);
        }
    }

    fn now(&self) -> Moment {
        self.agenda.now()
    }

    fn is_faulty(&self) -> bool {
        self.now() < FAULTS_END
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToServer(host, connection, id, report, is_first, sent) => {
                if self.server.scheduler.is_none() {
                    return;
                }
                if is_first {
                    self.server.newest.insert(id.clone(), (host, connection));
                } else if self.server.newest.get(&id) != Some(&(host, connection)) {
                    return;
                }
                self.dispatch(Event::WorkerSynced(id.clone(), *report));
                self.tell(&id, sent);
            }
            Happening::ToWorker(host, connection, desired, renewed) => {
                self.hear(host, connection, desired, renewed);
            }
            Happening::Beat(host, incarnation) => self.beat(host, incarnation),
            Happening::RunEnds(host, incarnation, lease) => {
                let fails = self.is_faulty() && self.random.in_1000(80);
                let worker = &mut self.workers[host];
                if worker.is_alive
                    && worker.incarnation == incarnation
                    && let Some(done @ None) = worker.held.get_mut(&lease)
                {
                    *done = Some(if fails { Code::Internal } else { Code::Ok });
                    self.say(host, false);
                }
            }
            Happening::Wakeup(life) => {
                if self.server.life == life && self.server.wakeup.take().is_some() {
                    self.dispatch(Event::Tick);
                }
            }
            Happening::Stored(life, task, response) => {
                if self.server.life == life {
                    self.dispatch(Event::Published(task, response));
                }
            }
            Happening::Client(client) => self.client(client),
            Happening::ServerStarts => {
                if self.server.scheduler.is_none() {
                    let effects = self.server.start(self.now());
                    self.carry_out(effects);
                    self.dispatch(Event::Tick);
                }
            }
            Happening::WorkerStarts(host) => {
                if !self.workers[host].is_alive {
                    let incarnation = self.workers[host].incarnation + 1;
                    self.workers[host] = Worker::new(host, incarnation, self.now());
                    self.beat(host, incarnation);
                }
            }
            Happening::Broken(life, host, id, connection) => {
                let newest = self.server.newest.get(&id) == Some(&(host, connection));
                if self.server.life == life && newest {
                    self.server.newest.remove(&id);
                    self.dispatch(Event::WorkerGone(id));
                }
            }
            Happening::WorkerLeaves(host, incarnation) => {
                let worker = &self.workers[host];
                if worker.is_alive && worker.incarnation == incarnation {
                    self.worker_dies(host, SECOND);
                }
            }
            Happening::PutBack(host) => self.put_back(host),
            Happening::Fault => self.fault(),
        }
    }

    fn dispatch(&mut self, event: Event) -> bool {
        let dies = std::mem::take(&mut self.dies_at_next);
        let recorded_max = dies.then(|| self.random.within(0..4) as usize);
        let effects = self.server.handle(self.now(), event, recorded_max);
        if dies {
            self.crash_server();
        }
        let is_told = effects.is_some();
        self.carry_out(effects.unwrap_or_default());
        is_told
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Sync(worker) => self.tell(&worker, 0),
                Effect::Publish(task, _, response) => {
                    let at = self.now() + self.random.within(MILLISECOND..SECOND);
                    let stored = Happening::Stored(self.server.life, task, response);
                    self.agenda.plan(at, stored);
                }
                Effect::Update(_) | Effect::Record(_) => {}
            }
        }
        let Some(scheduler) = &self.server.scheduler else {
            return;
        };
        let wakeup = scheduler.next_wakeup();
        if wakeup.is_some() && wakeup != self.server.wakeup {
            self.server.wakeup = wakeup;
            let wait = wakeup.map_or(Duration::ZERO, |at| at - self.server.clock(self.now()));
            let at = self.now() + wait.as_micros() as Moment;
            self.agenda.plan(at, Happening::Wakeup(self.server.life));
        }
    }
}
