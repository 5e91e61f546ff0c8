//! Workers that say when they go.

use std::time::Duration;

use super::farm::*;
use crate::{Event, LeaseId, LeaseState, Stage, Usage, WorkerReport};

/// A worker's message, with its leases as the scheduler wants them.
fn leaves_in(farm: &mut Farm, id: &str, left: Duration, done: Option<(LeaseId, Usage)>) {
    let state = |lease| match done {
        Some((completed, _)) if completed == lease => LeaseState::Completed(succeeded(0)),
        _ => running(),
    };
    let leases = farm.leases(id).into_iter();
    let report = WorkerReport {
        name: id.to_owned(),
        properties: properties(LINUX),
        slots: 4,
        draining: true,
        leaves_in: Some(left),
        leases: leases.map(|lease| (lease, state(lease))).collect(),
        usages: done.into_iter().collect(),
        ..WorkerReport::default()
    };
    farm.send(Event::WorkerSynced(worker(id), report));
}

/// A command that is known to take a while.
fn slow(farm: &mut Farm, name: &str) -> crate::Work {
    let mut slow = work(name, LINUX);
    slow.command.arguments = vec![name.to_owned()];
    farm.sync("teacher", LINUX, 1);
    farm.execute(&format!("{name} before"), slow.clone());
    let lease = farm.leases("teacher")[0];
    let usage = Usage {
        wall: seconds(600),
        cpu: seconds(1),
        ..Usage::default()
    };
    leaves_in(farm, "teacher", seconds(900), Some((lease, usage)));
    farm.publish_all();
    farm.send(Event::WorkerGone(worker("teacher")));
    farm.wait(seconds(5));
    slow
}

#[test]
fn what_will_not_end_in_time_runs_elsewhere_at_once_and_nobody_is_blamed() {
    let mut farm = Farm::new();
    let slow = slow(&mut farm, "link");
    farm.sync("spot", LINUX, 4);
    farm.execute("long", slow);
    farm.execute("short", work("b", LINUX));
    assert_eq!(farm.assigned("spot").len(), 2);
    farm.sync("other", LINUX, 4);
    leaves_in(&mut farm, "spot", seconds(115), None);
    assert_eq!(farm.assigned("spot"), ["short"]);
    assert_eq!(farm.assigned("other"), ["long"]);
    assert_eq!(farm.view("long").attempt, 1, "no failure");
    // Repeating it changes nothing.
    leaves_in(&mut farm, "spot", seconds(110), None);
    assert_eq!(
        (farm.assigned("spot").len(), farm.assigned("other").len()),
        (1, 1)
    );
    // The one that was hoped for did not end.
    farm.wait(seconds(5));
    leaves_in(&mut farm, "spot", Duration::ZERO, None);
    assert_eq!(farm.assigned("spot").len(), 0);
    assert_eq!((farm.assigned("other").len(), farm.view("short").attempt), (2, 1));
    assert_eq!(farm.scheduler.view().totals.handed_back, 2);
}

#[test]
fn what_is_handed_back_goes_first_and_does_so_after_a_restart_too() {
    let mut farm = Farm::new();
    farm.sync("spot", LINUX, 1);
    farm.execute("first", work("a", LINUX));
    farm.execute("next", work("b", LINUX));
    leaves_in(&mut farm, "spot", Duration::ZERO, None);
    assert_eq!(farm.stage("first"), Stage::Queued);
    farm.restart();
    for operation in ["first", "next"] {
        farm.send(Event::WatcherCame(name(operation)));
    }
    farm.sync("other", LINUX, 1);
    assert_eq!(farm.assigned("other"), ["first"]);
}

#[test]
fn what_is_done_in_the_same_message_is_done() {
    let mut farm = Farm::new();
    farm.sync("spot", LINUX, 4);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("spot")[0];
    leaves_in(&mut farm, "spot", Duration::ZERO, Some((lease, Usage::default())));
    farm.publish_all();
    assert_eq!(farm.stage("op"), Stage::Completed);
}
