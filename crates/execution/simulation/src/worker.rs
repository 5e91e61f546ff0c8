//! A worker process, as the protocol wants it: it says all it holds, and gives up what runs when nobody has heard it for
//! a lease.

use std::collections::BTreeMap;
use std::time::Duration;

use reapi::rpc::Code;
use scheduler::{LeaseId, LeaseState, Phase, Usage, WorkerId, WorkerReport};

use crate::agenda::Moment;
use crate::job::response;

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    /// Counts the processes of this host.
    pub(crate) incarnation: u64,
    pub(crate) is_alive: bool,
    /// Stopped until then; its actions are not.
    pub(crate) paused_until: Moment,
    /// No message comes through until then.
    pub(crate) cut_until: Moment,
    /// Its machine goes away then, and it says so.
    pub(crate) leaves_at: Option<Moment>,
    /// The stream it speaks on.
    pub(crate) connection: u64,
    pub(crate) heard: Moment,
    /// Up to this and a lease it may work on.
    pub(crate) renewed: Moment,
    pub(crate) held: BTreeMap<LeaseId, Option<Code>>,
}

impl Worker {
    pub(crate) fn new(host: usize, incarnation: u64, now: Moment) -> Self {
        Worker {
            id: WorkerId::new(format!("host-{host}-{incarnation}")),
            incarnation,
            is_alive: true,
            paused_until: 0,
            cut_until: 0,
            leaves_at: None,
            connection: 0,
            heard: now,
            renewed: now,
            held: BTreeMap::new(),
        }
    }

    pub(crate) fn report(&self, slots: u32, now: Moment) -> WorkerReport {
        let state = |(lease, done): (&LeaseId, &Option<Code>)| {
            let running = LeaseState::Running {
                phase: Phase::Executing,
                metadata: None,
            };
            let state = done.map_or(running, |code| LeaseState::Completed(response(*lease, code)));
            (*lease, state)
        };
        // Commands are all alike and take a second, as far as some of them are measured.
        let usage = |(lease, done): (&LeaseId, &Option<Code>)| {
            let is_measured = done.is_some() && lease.as_u64().is_multiple_of(2);
            let wall = Duration::from_secs(1);
            is_measured.then_some((
                *lease,
                Usage {
                    wall,
                    ..Usage::default()
                },
            ))
        };
        WorkerReport {
            name: self.id.to_string(),
            leaves_in: self
                .leaves_at
                .map(|at| Duration::from_micros(at.saturating_sub(now))),
            usages: self.held.iter().filter_map(usage).collect(),
            slots,
            leases: self.held.iter().map(state).collect(),
            ..WorkerReport::default()
        }
    }

    /// Gives up what runs if the leases have ended.
    pub(crate) fn abandon_if_unheard(&mut self, now: Moment, lease_duration: Moment) {
        if now >= self.renewed + lease_duration {
            self.held.retain(|_, done| done.is_some());
            self.renewed = now;
        }
    }

    /// Does what is wanted, and nothing else; answers what it has to start.
    pub(crate) fn obey(&mut self, desired: &[LeaseId]) -> Vec<LeaseId> {
        self.held.retain(|lease, _| desired.contains(lease));
        let new = desired.iter().filter(|lease| !self.held.contains_key(lease));
        let new: Vec<LeaseId> = new.copied().collect();
        self.held.extend(new.iter().map(|lease| (*lease, None)));
        new
    }
}
