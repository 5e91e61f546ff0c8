//! The conversation with the server: `farrier.worker.v1.Workers.Synchronize`.
//!
//! Level-triggered: every message is all that its sender has to say, so a lost or repeated one is harmless, and a new
//! stream goes on where the old one broke. What runs is tied to leases: as long as the server keeps acknowledging, the
//! work goes on, across any number of streams; when it has been silent for a lease's length, somebody else has the work
//! by now, and it is stopped here.

mod link;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use action::Report;
use reapi::rpc::Code;
use tasks::Group;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use worker_api::v1 as proto;

pub(crate) use link::Server;

use crate::assignment::Assignment;
use crate::executor::{Executor, Progress};
use crate::leases::{Leases, RunId, RunReport, Start, Urgency};
use crate::limits::{
    HEARTBEAT_BOUNDS, HEARTBEAT_DEFAULT, LEASE_DURATION_BOUNDS, LEASE_DURATION_DEFAULT, LEASES_PER_SLOT_MAX,
    PHASE_DELAY, REPORTS_IN_FLIGHT_MAX, UNACKNOWLEDGED_MAX,
};
use crate::slots::Slots;
use crate::tools::Announced;
use link::{Link, LinkEvent};

/// Why a worker gave up. Whatever may pass by itself is tried again and never gets here.
#[derive(Debug, Error)]
pub enum SyncError {
    /// Wrong or missing token.
    #[error("the server does not accept this worker: {message}")]
    Unauthenticated {
        /// The server's words.
        message: String,
    },
    /// The first contact failed in a way that trying again will not mend.
    #[error(
        "the server at the other end cannot be worked for: {message}. Is it a farrier server of a fitting version?"
    )]
    NotAServer {
        /// The server's words.
        message: String,
    },
}

/// What a worker says of itself in each message.
pub(crate) struct Identity {
    pub(crate) worker_id: String,
    pub(crate) name: String,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) slots: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) resources: Vec<(String, u64)>,
    /// What is said of the machine's tools, beside the properties.
    pub(crate) host_tools: watch::Receiver<Announced>,
}

/// Keeps the conversation going and starts what the server wants.
pub(crate) struct SyncLoop {
    identity: Identity,
    executor: Arc<dyn Executor>,
    /// Tasks of actions.
    group: Group,
    slots: Slots,
    slots_out_of_service: watch::Receiver<u32>,
    link: Link,
    leases: Leases,
    reports: mpsc::Receiver<(RunId, RunReport)>,
    to_reports: mpsc::Sender<(RunId, RunReport)>,

    sequence: u64,
    /// What is not acknowledged yet, and when it was sent.
    unacknowledged: VecDeque<(u64, Instant)>,
    acknowledged_sequence: u64,
    /// Up to now plus the lease duration the leases are ours: when the newest acknowledged message was sent.
    renewed: Instant,
    heartbeat: Duration,
    lease_duration: Duration,
    /// When the next message is due.
    send_at: Instant,
    drain: Drain,
    /// By when everything has to be with the server, once the worker drains.
    leave_by: Option<Instant>,
    /// That time has come, and the server was told that nothing more will be done.
    gave_up: bool,
}

/// Whether the worker is to go, and by when it has to be gone with all results handed over.
pub type LeaveBy = watch::Receiver<Option<Instant>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    No,
    Wanted,
    /// Told to the server in the message of this sequence.
    Told(u64),
}

/// What the loop has to react to.
enum Event {
    Link(LinkEvent),
    Report(RunId, RunReport),
    /// Slots went out of service or came back.
    Slots,
    /// The machine has other tools.
    Tools,
    /// The worker is to go by this time.
    Leave(Instant),
    /// That time has come.
    TimeToGo,
    /// Time to send.
    Send,
    /// The leases ran out.
    LeasesEnded,
}

impl SyncLoop {
    pub(crate) fn new(identity: Identity, server: Server, executor: Arc<dyn Executor>, group: Group) -> Self {
        let slots = Slots::new(identity.slots, group.clone());
        let leases = Leases::new(identity.slots as usize * LEASES_PER_SLOT_MAX);
        let (to_reports, reports) = mpsc::channel(REPORTS_IN_FLIGHT_MAX);
        let now = Instant::now();
        SyncLoop {
            identity,
            executor,
            group,
            slots_out_of_service: slots.out_of_service(),
            slots,
            link: Link::new(server),
            leases,
            reports,
            to_reports,
            sequence: 0,
            unacknowledged: VecDeque::new(),
            acknowledged_sequence: 0,
            renewed: now,
            heartbeat: HEARTBEAT_DEFAULT,
            lease_duration: LEASE_DURATION_DEFAULT,
            send_at: now,
            drain: Drain::No,
            leave_by: None,
            gave_up: false,
        }
    }

    /// Works until `leave` says that it is to go, and all that runs is finished and handed over, or given back because it
    /// will not be finished by then. Dropping the future stops everything.
    pub(crate) async fn run(mut self, mut leave: LeaveBy) -> Result<(), SyncError> {
        while !self.is_drained() {
            match self.next_event(&mut leave).await {
                Event::Link(LinkEvent::Down) => self.link.retry_later(),
                Event::Link(LinkEvent::Retry) => {
                    let state = self.state();
                    self.link.connect(state);
                }
                Event::Link(LinkEvent::Desired(desired)) => self.obey(desired),
                Event::Link(LinkEvent::Refused(error)) => return Err(error),
                Event::Report(run, report) => {
                    let urgency = self.leases.report(run, report);
                    self.schedule(urgency);
                }
                Event::Slots | Event::Tools => self.schedule(Urgency::Now),
                Event::Leave(leave_by) => {
                    if self.drain == Drain::No {
                        self.drain = Drain::Wanted;
                    }
                    self.leave_by = Some(leave_by);
                    self.gave_up = false;
                    self.schedule(Urgency::Now);
                }
                Event::TimeToGo => {
                    self.gave_up = true;
                    self.schedule(Urgency::Now);
                }
                Event::Send => self.send(),
                Event::LeasesEnded => self.abandon(),
            }
        }
        Ok(())
    }

    async fn next_event(&mut self, leave: &mut LeaveBy) -> Event {
        let leases_end = self.renewed + self.lease_duration;
        let holds_leases = !self.leases.is_empty();
        let send_at = self.send_at.max(self.link.ready_at());
        let go_at = self.leave_by.filter(|_| !self.gave_up);
        let known = self.leave_by;
        // Not left to the timer, which rounds up to whole milliseconds: a client is waiting for this message.
        if self.link.is_up() && send_at <= Instant::now() {
            return Event::Send;
        }
        // Early enough to be on another stream before the leases run out.
        let silence_max = (self.lease_duration / 3).max(self.heartbeat * 2);
        tokio::select! {
            biased;
            // Leases that ran out come first: whatever else there is to do may take long.
            () = tokio::time::sleep_until(leases_end), if holds_leases => Event::LeasesEnded,
            Some(leave_by) = news(leave, known) => Event::Leave(leave_by),
            () = tokio::time::sleep_until(go_at.unwrap_or(send_at)), if go_at.is_some() => Event::TimeToGo,
            // The sender lives as long as this.
            Ok(()) = self.slots_out_of_service.changed() => Event::Slots,
            // Without a sender they stay what they are.
            Ok(()) = self.identity.host_tools.changed() => Event::Tools,
            Some((run, report)) = self.reports.recv() => Event::Report(run, report),
            event = self.link.next(silence_max) => Event::Link(event),
            () = tokio::time::sleep_until(send_at), if self.link.is_up() => Event::Send,
        }
    }

    /// Finished and handed over, and the server knows that nothing more is to come.
    fn is_drained(&self) -> bool {
        match self.drain {
            Drain::No => false,
            _ if !self.leases.is_empty() => false,
            Drain::Wanted => !self.link.is_up(),
            Drain::Told(sequence) => !self.link.is_up() || self.acknowledged_sequence >= sequence,
        }
    }

    fn obey(&mut self, desired: proto::DesiredState) {
        let bounded = |duration: Option<prost_types::Duration>, bounds: (Duration, Duration), default| {
            let wanted: Option<Duration> = duration.and_then(|duration| duration.try_into().ok());
            wanted.map_or(default, |duration| duration.clamp(bounds.0, bounds.1))
        };
        self.lease_duration = bounded(
            desired.lease_duration,
            LEASE_DURATION_BOUNDS,
            LEASE_DURATION_DEFAULT,
        );
        self.heartbeat = bounded(desired.heartbeat, HEARTBEAT_BOUNDS, HEARTBEAT_DEFAULT);
        // The next message may have been planned by a slower beat.
        self.send_at = self.send_at.min(Instant::now() + self.heartbeat);
        self.acknowledge(desired.acknowledged_sequence);
        let (starts, urgency) = self.leases.obey(desired.leases);
        for start in starts {
            self.start(start);
        }
        self.schedule(urgency);
    }

    /// Counted from when the message was sent: the server cannot have renewed later than that and know it.
    fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged_sequence = self.acknowledged_sequence.max(sequence);
        while let Some((_, sent)) = self
            .unacknowledged
            .front()
            .filter(|(unacknowledged, _)| *unacknowledged <= sequence)
        {
            self.renewed = self.renewed.max(*sent);
            self.unacknowledged.pop_front();
        }
    }

    fn start(&self, start: Start) {
        let Start {
            run,
            assignment,
            cancel,
            followed,
        } = start;
        let progress = Progress::new(run, self.to_reports.clone(), followed);
        let (executor, slot) = (self.executor.clone(), self.slots.take());
        self.group.spawn("action", async move {
            // More leases than slots: a withdrawn action may take a moment to die, and its slot is taken until then.
            let slot = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                slot = slot => slot,
            };
            let progress = progress.in_slot(slot);
            let response = match Assignment::from_proto(assignment) {
                Ok(assignment) => {
                    tracing::debug!(operation = assignment.operation_name, action = %assignment.action_digest, "starts");
                    executor.execute(assignment, &progress, &cancel).await
                }
                Err(wrong) => Report::failed(Code::InvalidArgument, wrong).into_response(),
            };
            progress.leave_slot();
            progress.completed(response).await;
        });
    }

    /// The next message goes out this soon, or sooner if it was to go sooner anyway.
    fn schedule(&mut self, urgency: Urgency) {
        let delay = match urgency {
            Urgency::Never => return,
            Urgency::Soon => PHASE_DELAY,
            Urgency::Now => Duration::ZERO,
        };
        self.send_at = self.send_at.min(Instant::now() + delay);
    }

    fn send(&mut self) {
        let state = self.state();
        if !self.link.send(state) {
            self.schedule(Urgency::Now);
        }
    }

    /// The message that says everything.
    fn state(&mut self) -> proto::WorkerState {
        let now = Instant::now();
        self.sequence += 1;
        self.send_at = now + self.heartbeat;
        if self.drain != Drain::No {
            self.drain = match self.drain {
                Drain::Told(sequence) => Drain::Told(sequence),
                _ => Drain::Told(self.sequence),
            };
        }
        self.unacknowledged.push_back((self.sequence, now));
        if self.unacknowledged.len() > UNACKNOWLEDGED_MAX {
            // Forgetting the oldest errs on the safe side: leases count as renewed no later than they were.
            self.unacknowledged.pop_front();
        }
        let Identity {
            worker_id,
            name,
            properties,
            slots,
            memory_bytes,
            resources,
            host_tools,
        } = &self.identity;
        let host_tools = host_tools.borrow().clone();
        let host_tools = host_tools.map(|tools| (host_tools::PROPERTY.to_owned(), tools));
        let property = |(name, value): &(String, String)| proto::Property {
            name: name.clone(),
            value: value.clone(),
        };
        let resource = |(name, amount): &(String, u64)| proto::Resource {
            name: name.clone(),
            amount: *amount,
        };
        proto::WorkerState {
            worker_id: worker_id.clone(),
            name: name.clone(),
            properties: properties.iter().chain(&host_tools).map(property).collect(),
            slots: slots.saturating_sub(*self.slots_out_of_service.borrow()),
            memory_bytes: *memory_bytes,
            resources: resources.iter().map(resource).collect(),
            draining: self.drain != Drain::No,
            leaves_in: self.leave_by.map(|leave_by| left(leave_by, now)),
            leases: self.leases.states(),
            sequence: self.sequence,
        }
    }

    fn abandon(&mut self) {
        let abandoned = self.leases.abandon_running();
        if abandoned > 0 {
            let lease_duration = self.lease_duration;
            tracing::warn!(
                abandoned,
                ?lease_duration,
                "the server was silent for the length of a lease: running actions are given up"
            );
        }
        if self.drain != Drain::No {
            self.leases.abandon_completed();
        }
        // What is completed may be wanted by a server that comes back; look again after another lease's length.
        self.renewed = Instant::now();
    }
}

/// The next time by which the worker is to be gone, other than what is `known`. Nothing if nobody is there to say.
async fn news(leave: &mut LeaveBy, known: Option<Instant>) -> Option<Instant> {
    let said = leave.wait_for(|said| said.is_some() && *said != known).await;
    match said.map(|said| *said) {
        Ok(said) => said,
        Err(_nobody) => std::future::pending().await,
    }
}

/// How long until then, for a message; zero if it is over.
fn left(leave_by: Instant, now: Instant) -> prost_types::Duration {
    let left = leave_by.saturating_duration_since(now);
    prost_types::Duration {
        seconds: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(left.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
