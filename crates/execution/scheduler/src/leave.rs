//! A worker that says when it goes: what it will not have done by then is for others, at once.

use std::time::Duration;

use crate::lease::Lease;
use crate::{Entry, LeaseId, Phase, Scheduler, WorkerId};

impl Scheduler {
    /// The worker is there for so long yet. Nothing that is taken from it counts as a failure: nobody has failed.
    pub(crate) fn hand_back(&mut self, id: &WorkerId, left: Duration) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let too_long: Vec<LeaseId> = worker
            .leases
            .iter()
            .filter(|lease| !self.is_done_within(**lease, left))
            .copied()
            .collect();
        for lease in too_long {
            let Some(Lease { task, .. }) = self.release(lease) else {
                continue;
            };
            self.totals.handed_back += 1;
            let name = self.worker_name(id);
            if !self.goes_on_elsewhere(task, lease, &name, String::new(), None) {
                self.changes.record(Entry::HandedBack { task });
                self.retry(task);
            }
        }
    }

    fn is_done_within(&self, lease: LeaseId, left: Duration) -> bool {
        let Some(lease) = self.leases.get(&lease) else {
            return true;
        };
        let Some(task) = self.tasks.by_id.get(&lease.task) else {
            return true;
        };
        let expected = task.expected.map(|expected| expected.wall);
        ends_within(left, task.phase, expected, self.now - lease.granted_at)
    }
}

/// Whether an action that has been with its worker for `ran` is likely to end in the time that is `left`.
fn ends_within(left: Duration, phase: Option<Phase>, expected: Option<Duration>, ran: Duration) -> bool {
    match (phase, expected) {
        _ if left.is_zero() => false,
        // What is left to do is the same wherever it ran.
        (Some(Phase::UploadingOutputs), _) => true,
        // Most actions are short. If this one is not, the worker says at the end that nothing is left.
        (_, None) => true,
        (_, Some(expected)) => expected.saturating_sub(ran) <= left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_take_longer_is_handed_back_and_in_the_end_everything_is() {
        let seconds = Duration::from_secs;
        let (run, put) = (Some(Phase::Executing), Some(Phase::UploadingOutputs));
        for (left, phase, expected, ran, stays) in [
            (120, run, None, 600, true),
            (120, run, Some(60), 0, true),
            (120, run, Some(600), 0, false),
            (120, None, Some(600), 0, false),
            (120, run, Some(600), 480, true),
            (120, run, Some(600), 479, false),
            (120, run, Some(600), 6000, true),
            (1, put, Some(600), 0, true),
            (0, put, Some(1), 1, false),
            (0, run, None, 0, false),
        ] {
            let ends = ends_within(seconds(left), phase, expected.map(seconds), seconds(ran));
            assert_eq!(
                ends, stays,
                "{left} s for {expected:?} after {ran} s in {phase:?}"
            );
        }
    }
}
