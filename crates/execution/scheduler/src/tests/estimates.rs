//! How long it will take, going by the past.

use reapi::execution::Command;

use super::farm::*;
use crate::{Event, LeaseState, Usage, Work, WorkerReport};

fn command(shape: &str, name: &str) -> Work {
    Work {
        command: Command {
            arguments: vec![shape.to_owned()],
            ..Command::default()
        },
        ..work(name, LINUX)
    }
}

/// Completes the only thing that a worker does, after so long.
fn finish(farm: &mut Farm, id: &str, wall_seconds: u64) {
    let lease = farm.leases(id)[0];
    let wall = seconds(wall_seconds);
    let report = WorkerReport {
        name: id.to_owned(),
        properties: properties(LINUX),
        slots: 1,
        leases: vec![(lease, LeaseState::Completed(succeeded(0)))],
        usages: vec![(
            lease,
            Usage {
                wall,
                cpu: wall,
                ..Usage::default()
            },
        )],
        ..WorkerReport::default()
    };
    farm.send(Event::WorkerSynced(worker(id), report));
    farm.publish_all();
}

#[test]
fn the_estimate_counts_what_is_ahead_and_is_not_made_up() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("first", command("cc", "1"));
    farm.execute("unknown", command("cc", "2"));
    assert_eq!(farm.view("unknown").estimate, None, "nobody knows");
    finish(&mut farm, "w", 10);
    farm.execute("a", command("cc", "3"));
    farm.execute("b", command("cc", "4"));
    farm.execute("c", command("cc", "5"));
    // Half of what runs, and what is before.
    assert_eq!(farm.view("a").estimate, Some(seconds(5)));
    assert_eq!(farm.view("c").estimate, Some(seconds(25)));
    farm.sync("other", LINUX, 1);
    assert_eq!(farm.view("c").estimate, Some(seconds(10)), "two share the rest");
    farm.execute("new", command("ld", "6"));
    assert_eq!(farm.view("new").estimate, None);
}
