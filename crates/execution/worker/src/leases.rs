//! What this worker holds, and what it does when the server wants something else. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use reapi::execution::{ExecuteResponse, ExecutedActionMetadata};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker_api::v1 as proto;
use worker_api::v1::lease_state::State;
use worker_api::v1::running::Phase;

use crate::limits::COMPLETED_BYTES_MAX;

/// The leases of a worker. Obeying the same desired state twice changes nothing.
pub(crate) struct Leases {
    held: BTreeMap<u64, Held>,
    held_max: usize,
    next_run: u64,
    /// Stops whatever runs, one child for each run.
    stop: CancellationToken,
}

/// One attempt at one lease. A lease that is given up and taken again has another one, so that the end of the first
/// attempt is not taken for the end of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunId {
    lease_id: u64,
    run: u64,
}

/// What an executor says.
#[derive(Debug)]
pub(crate) enum RunReport {
    /// It has come to this phase.
    Phase(Phase, Box<ExecutedActionMetadata>),
    /// It is done.
    Completed(Box<ExecuteResponse>),
}

/// A lease to start on.
pub(crate) struct Start {
    pub(crate) run: RunId,
    pub(crate) assignment: proto::Assignment,
    pub(crate) cancel: CancellationToken,
    /// What of its output is wanted, from now on.
    pub(crate) followed: watch::Receiver<Vec<proto::FollowedOutput>>,
}

/// How soon the server has to hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    Never,
    Soon,
    Now,
}

struct Held {
    run: RunId,
    state: HeldState,
    followed: watch::Sender<Vec<proto::FollowedOutput>>,
}

enum HeldState {
    Running {
        cancel: CancellationToken,
        phase: Phase,
        metadata: Option<Box<ExecutedActionMetadata>>,
    },
    Completed(Box<ExecuteResponse>),
}

impl Leases {
    /// Holds nothing, and never more than `held_max`.
    pub(crate) fn new(held_max: usize) -> Self {
        Leases {
            held: BTreeMap::new(),
            held_max,
            next_run: 0,
            stop: CancellationToken::new(),
        }
    }

    /// Stops and forgets what is no longer desired, also what is completed: the server has it. Returns what is new.
    ///
    /// A lease without its assignment is one the server believes to be here, or one whose turn comes in a later
    /// message: what is held goes on, and for what is not the server is told at once what is.
    pub(crate) fn obey(&mut self, desired: Vec<proto::Lease>) -> (Vec<Start>, Urgency) {
        let wanted: BTreeSet<u64> = desired.iter().map(|lease| lease.lease_id).collect();
        let mut urgency = Urgency::Never;
        self.held.retain(|lease_id, held| {
            let keep = wanted.contains(lease_id);
            if let (false, HeldState::Running { cancel, .. }) = (keep, &held.state) {
                cancel.cancel();
                urgency = Urgency::Soon;
            }
            keep
        });
        let mut starts = Vec::new();
        for lease in desired {
            if let Some(held) = self.held.get(&lease.lease_id) {
                held.follow(lease.followed_outputs);
                continue;
            }
            let Some(assignment) = lease.assignment else {
                urgency = Urgency::Now;
                continue;
            };
            if self.held.len() >= self.held_max {
                tracing::warn!(
                    lease_id = lease.lease_id,
                    held_max = self.held_max,
                    "the server wants more than this worker holds"
                );
                continue;
            }
            starts.push(self.start(lease.lease_id, assignment, lease.followed_outputs));
        }
        (starts, urgency)
    }

    fn start(
        &mut self,
        lease_id: u64,
        assignment: proto::Assignment,
        followed: Vec<proto::FollowedOutput>,
    ) -> Start {
        self.next_run += 1;
        let run = RunId {
            lease_id,
            run: self.next_run,
        };
        let cancel = self.stop.child_token();
        let state = HeldState::Running {
            cancel: cancel.clone(),
            phase: Phase::FetchingInputs,
            metadata: None,
        };
        let (followed, following) = watch::channel(followed);
        let held = Held { run, state, followed };
        self.held.insert(lease_id, held);
        Start {
            run,
            assignment,
            cancel,
            followed: following,
        }
    }

    /// Takes an executor's report. What is said of a run that is over changes nothing.
    pub(crate) fn report(&mut self, run: RunId, report: RunReport) -> Urgency {
        let Some(held) = self.held.get_mut(&run.lease_id).filter(|held| held.run == run) else {
            return Urgency::Never;
        };
        match (&mut held.state, report) {
            (HeldState::Running { phase, metadata, .. }, RunReport::Phase(new, known)) => {
                *phase = new;
                *metadata = Some(known);
                Urgency::Soon
            }
            (HeldState::Running { .. }, RunReport::Completed(response)) => {
                held.state = HeldState::Completed(response);
                Urgency::Now
            }
            (HeldState::Completed(_), _) => Urgency::Never,
        }
    }

    /// Stops and forgets all that runs: somebody else has it by now. What is completed may still be wanted.
    pub(crate) fn abandon_running(&mut self) -> usize {
        let before = self.held.len();
        self.held.retain(|_, held| match &held.state {
            HeldState::Running { cancel, .. } => {
                cancel.cancel();
                false
            }
            HeldState::Completed(_) => true,
        });
        before - self.held.len()
    }

    /// Forgets what is completed: there is nobody to tell.
    pub(crate) fn abandon_completed(&mut self) {
        self.held
            .retain(|_, held| matches!(held.state, HeldState::Running { .. }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// All of them, for a message to the server. Finished ones beyond what a message carries appear as still
    /// uploading, until those before them have been taken.
    pub(crate) fn states(&self) -> Vec<proto::LeaseState> {
        let running = |phase: Phase, partial_metadata| {
            State::Running(proto::Running {
                phase: phase as i32,
                partial_metadata,
            })
        };
        let mut completed_bytes = 0;
        let mut states = Vec::with_capacity(self.held.len());
        for (lease_id, held) in &self.held {
            let state = match &held.state {
                HeldState::Running { phase, metadata, .. } => running(*phase, metadata.as_deref().cloned()),
                HeldState::Completed(response) => {
                    completed_bytes += response.encoded_len();
                    // The first always fits, so that there is always progress.
                    match completed_bytes <= COMPLETED_BYTES_MAX || completed_bytes == response.encoded_len()
                    {
                        true => State::Completed(proto::Completed {
                            response: Some((**response).clone()),
                        }),
                        false => running(Phase::UploadingOutputs, None),
                    }
                }
            };
            states.push(proto::LeaseState {
                lease_id: *lease_id,
                state: Some(state),
            });
        }
        states
    }
}

impl Held {
    fn follow(&self, wanted: Vec<proto::FollowedOutput>) {
        self.followed.send_if_modified(|followed| {
            let changes = *followed != wanted;
            *followed = wanted;
            changes
        });
    }
}

/// Nothing runs on without somebody who holds its lease.
impl Drop for Leases {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(lease_ids: &[u64]) -> Vec<proto::Lease> {
        lease_ids
            .iter()
            .map(|lease_id| proto::Lease {
                lease_id: *lease_id,
                assignment: Some(proto::Assignment::default()),
                ..Default::default()
            })
            .collect()
    }

    fn completed(exit_code: i32) -> RunReport {
        let result = reapi::execution::ActionResult {
            exit_code,
            ..Default::default()
        };
        RunReport::Completed(Box::new(ExecuteResponse {
            result: Some(result),
            ..Default::default()
        }))
    }

    #[test]
    fn a_lease_without_its_assignment_goes_on_if_held_and_is_asked_for_if_not() {
        let mut leases = Leases::new(4);
        let bare = |lease_id| proto::Lease {
            lease_id,
            ..Default::default()
        };
        assert_eq!(leases.obey(desired(&[1])).0.len(), 1);
        let (starts, urgency) = leases.obey(vec![bare(1)]);
        assert!(starts.is_empty() && urgency == Urgency::Never);
        let (starts, urgency) = leases.obey(vec![bare(1), bare(2)]);
        assert!(starts.is_empty() && urgency == Urgency::Now);
        let (starts, _) = leases.obey(desired(&[1, 2]));
        assert_eq!(starts.len(), 1);
    }

    #[test]
    fn what_is_followed_is_told_when_it_changes() {
        let mut leases = Leases::new(4);
        let mut start = leases.obey(desired(&[1])).0.remove(0);
        let mut followed = desired(&[1]);
        followed[0]
            .followed_outputs
            .push(proto::FollowedOutput::default());
        leases.obey(followed.clone());
        assert!(start.followed.has_changed().unwrap());
        assert_eq!(start.followed.borrow_and_update().len(), 1);
        leases.obey(followed);
        assert!(!start.followed.has_changed().unwrap(), "the same again");
        leases.obey(desired(&[]));
        assert!(start.followed.has_changed().is_err(), "the lease is gone");
    }

    #[test]
    fn a_repeated_message_changes_nothing() {
        let mut leases = Leases::new(10);
        let (starts, _) = leases.obey(desired(&[1, 2]));
        assert_eq!(starts.len(), 2);
        let (again, urgency) = leases.obey(desired(&[2, 1]));
        assert!(again.is_empty() && urgency == Urgency::Never);
        assert!(starts.iter().all(|start| !start.cancel.is_cancelled()));
        assert_eq!(leases.states().len(), 2);
    }

    #[test]
    fn a_withdrawn_lease_is_stopped_and_its_late_end_ignored() {
        let mut leases = Leases::new(10);
        let (starts, _) = leases.obey(desired(&[1]));
        assert_eq!(leases.obey(desired(&[])).1, Urgency::Soon);
        assert!(starts[0].cancel.is_cancelled());
        assert_eq!(leases.report(starts[0].run, completed(0)), Urgency::Never);
        assert!(leases.is_empty());
    }

    #[test]
    fn completed_is_kept_until_it_is_no_longer_desired() {
        let mut leases = Leases::new(10);
        let (starts, _) = leases.obey(desired(&[1]));
        assert_eq!(leases.report(starts[0].run, completed(7)), Urgency::Now);
        assert!(leases.obey(desired(&[1])).0.is_empty(), "not started again");
        assert!(matches!(leases.states()[0].state, Some(State::Completed(_))));
        leases.obey(desired(&[]));
        assert!(leases.is_empty());
    }

    #[test]
    fn the_end_of_an_abandoned_run_is_not_taken_for_the_end_of_the_next() {
        let mut leases = Leases::new(10);
        let first = leases.obey(desired(&[1])).0.remove(0);
        assert_eq!(leases.abandon_running(), 1);
        assert!(first.cancel.is_cancelled());
        let second = leases.obey(desired(&[1])).0.remove(0);
        assert_eq!(leases.report(first.run, completed(1)), Urgency::Never);
        assert_eq!(leases.report(second.run, completed(0)), Urgency::Now);
        assert_eq!(leases.abandon_running(), 0, "what is completed stays");
        assert!(!leases.is_empty());
    }

    #[test]
    fn one_message_carries_only_so_much_and_the_rest_follows() {
        let mut leases = Leases::new(10);
        let (starts, _) = leases.obey(desired(&[1, 2, 3]));
        for start in starts {
            let result = reapi::execution::ActionResult {
                stdout_raw: vec![0; COMPLETED_BYTES_MAX / 2].into(),
                ..Default::default()
            };
            let response = ExecuteResponse {
                result: Some(result),
                ..Default::default()
            };
            leases.report(start.run, RunReport::Completed(Box::new(response)));
        }
        let told = |leases: &Leases| -> Vec<u64> {
            let states = leases.states();
            assert!(states.iter().map(Message::encoded_len).sum::<usize>() <= COMPLETED_BYTES_MAX);
            let completed = states
                .iter()
                .filter(|state| matches!(state.state, Some(State::Completed(_))));
            completed.map(|state| state.lease_id).collect()
        };
        for lease_id in 1..=3 {
            assert_eq!(told(&leases), [lease_id]);
            let left: Vec<u64> = (lease_id + 1..=3).collect();
            leases.obey(desired(&left));
        }
        assert!(leases.is_empty());
    }

    #[test]
    fn no_more_is_held_than_the_bound() {
        let mut leases = Leases::new(2);
        assert_eq!(leases.obey(desired(&[1, 2, 3])).0.len(), 2);
        let (starts, _) = leases.obey(desired(&[1, 3]));
        assert_eq!(starts.len(), 1, "room again");
    }

    #[test]
    fn dropping_the_leases_stops_all() {
        let mut leases = Leases::new(2);
        let start = leases.obey(desired(&[1])).0.remove(0);
        drop(leases);
        assert!(start.cancel.is_cancelled());
    }
}
