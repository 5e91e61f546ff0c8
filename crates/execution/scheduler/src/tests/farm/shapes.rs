//! Commands that are like others, and what they use.

use reapi::execution::Command;

use super::{Farm, LINUX, properties, seconds, succeeded, work, worker};
use crate::{Event, LeaseState, Usage, Work, WorkerReport};

/// An action of its own with a command that others have too.
pub(in super::super) fn command_of(shape: &str, action: &str, platform: &[(&str, &str)]) -> Work {
    Work {
        command: Command {
            arguments: vec![shape.to_owned()],
            ..Command::default()
        },
        ..work(action, platform)
    }
}

impl Farm {
    /// Completes the first thing that a worker does, after so long on one processor; its result is stored.
    pub(in super::super) fn finish(&mut self, id: &str, slots: u32, wall_seconds: u64) {
        let leases = self.leases(id);
        let wall = seconds(wall_seconds);
        let usage = Usage {
            wall,
            cpu: wall,
            ..Usage::default()
        };
        let state = |(at, lease)| match at {
            0 => (lease, LeaseState::Completed(succeeded(0))),
            _ => (lease, super::running()),
        };
        let report = WorkerReport {
            name: id.to_owned(),
            properties: properties(LINUX),
            slots,
            usages: vec![(leases[0], usage)],
            leases: leases.into_iter().enumerate().map(state).collect(),
            ..WorkerReport::default()
        };
        self.send(Event::WorkerSynced(worker(id), report));
        self.publish_all();
    }
}
