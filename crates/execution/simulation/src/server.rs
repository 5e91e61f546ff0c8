//! The scheduler with its journal and its clock, in one life after the other.

use std::collections::BTreeMap;

use scheduler::{Effect, Entry, Event, LeaseId, LeaseState, Scheduler, SchedulerOptions, Time, WorkerId};

use crate::agenda::{Moment, SECOND};
use crate::observer::Observer;

/// What wall clocks show when the simulation begins.
const EPOCH: Moment = 1_000_000 * SECOND;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) options: SchedulerOptions,
    /// None while it is down.
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) life: u64,
    pub(crate) observer: Observer,
    /// The connection that speaks for a worker.
    pub(crate) newest: BTreeMap<WorkerId, (usize, u64)>,
    pub(crate) wakeup: Option<Time>,
    /// What has been added to true time.
    pub(crate) clock_error: i64,
    journal: Vec<Entry>,
    /// The latest time the scheduler was told.
    now: Time,
    started: Time,
    heard: BTreeMap<WorkerId, Time>,
    gone: BTreeMap<WorkerId, Time>,
}

impl Server {
    pub(crate) fn new(options: SchedulerOptions) -> Self {
        Server {
            options,
            scheduler: None,
            life: 0,
            observer: Observer::default(),
            newest: BTreeMap::new(),
            wakeup: None,
            clock_error: 0,
            journal: Vec::new(),
            now: Time::default(),
            started: Time::default(),
            heard: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    /// What its wall clock shows.
    pub(crate) fn clock(&self, moment: Moment) -> Time {
        Time::from_micros((EPOCH + moment).saturating_add_signed(self.clock_error))
    }

    /// A life begins with what the one before has recorded; answers what is to be done at once.
    pub(crate) fn start(&mut self, moment: Moment) -> Vec<Effect> {
        self.life += 1;
        self.now = self.clock(moment);
        self.started = self.now;
        self.heard.clear();
        self.gone.clear();
        let mut effects = Vec::new();
        let entries = self.journal.clone();
        let scheduler = Scheduler::restored(self.options.clone(), self.now, entries, &mut effects);
        self.journal = scheduler.entries().collect();
        self.scheduler = Some(scheduler);
        self.check();
        effects
    }

    pub(crate) fn crash(&mut self) {
        self.scheduler = None;
        self.newest.clear();
        self.wakeup = None;
    }

    /// Takes an event; records, then answers what else is to be done. With `recorded_max` it dies while it writes.
    pub(crate) fn handle(
        &mut self,
        moment: Moment,
        event: Event,
        recorded_max: Option<usize>,
    ) -> Option<Vec<Effect>> {
        self.now = self.now.max(self.clock(moment));
        let mut reported = None;
        match &event {
            Event::WorkerSynced(worker, report) => {
                let running = |(_, state): &&(_, LeaseState)| matches!(state, LeaseState::Running { .. });
                let running = report.leases.iter().filter(running).map(|(lease, _)| *lease);
                let leaves = report.leaves_in.is_some();
                reported = Some((worker.clone(), leaves, running.collect::<Vec<_>>()));
            }
            Event::WorkerGone(worker) => {
                self.gone.insert(worker.clone(), self.now);
            }
            _ => {}
        }
        let mut effects = Vec::new();
        let scheduler = self.scheduler.as_mut()?;
        scheduler.handle(self.now, event, &mut effects);
        let (options, now, started) = (&self.options, self.now, self.started);
        let (heard, gone) = (&self.heard, &self.gone);
        let observer = &mut self.observer;
        let recorded_at_most = recorded_max.unwrap_or(usize::MAX);
        for effect in effects.iter().take(recorded_at_most) {
            let Effect::Record(entry) = effect else { break };
            let may_lose = |lease: LeaseId, worker: &WorkerId| {
                let says_so = reported.as_ref().is_some_and(|(reporter, leaves, running)| {
                    reporter == worker && (*leaves || !running.contains(&lease))
                });
                let heard = heard.get(worker);
                let silent = heard.is_some_and(|heard| now - *heard >= options.lease_duration);
                let gone = gone
                    .get(worker)
                    .is_some_and(|gone| now - *gone >= options.reconnect_grace);
                let of_the_past = heard.is_none() && now - started >= options.reconnect_grace;
                says_so || silent || gone || of_the_past
            };
            observer.record(entry, may_lose);
            self.journal.push(entry.clone());
        }
        if recorded_max.is_some() {
            return None;
        }
        if let Some((worker, ..)) = reported {
            self.gone.remove(&worker);
            self.heard.insert(worker, self.now);
        }
        self.check();
        effects.retain(|effect| !matches!(effect, Effect::Record(_)));
        Some(effects)
    }

    /// The scheduler has what was recorded, and no more than it may.
    fn check(&self) {
        let Some(scheduler) = &self.scheduler else { return };
        let view = scheduler.view();
        let observer = &self.observer;
        assert_eq!(
            view.operations_live,
            observer.accepted.len() - observer.finals.len()
        );
        assert!(view.operations_finished <= self.options.finished_max + 1);
        let tasks = view.tasks_queued + view.tasks_running + view.tasks_publishing;
        assert_eq!(tasks, observer.tasks.len(), "tasks are lost or left over");
        let mut live = 0;
        for worker in &view.workers {
            let leases: Vec<_> = worker.leases.iter().map(|lease| lease.id).collect();
            assert_eq!(leases, observer.leases_of(&worker.id), "{}", worker.id);
            live += leases.len();
        }
        let twice = observer.tasks.values().filter(|(_, live)| live.len() == 2);
        assert_eq!(live, view.tasks_running + twice.count());
    }
}
