//! Who gets which slot.

use super::farm::*;
use crate::Event;
use crate::{SchedulerOptions, Stage, WorkerReport};

/// Gives a one-slot worker task after task; the order in which their operations were granted.
fn drain_in_order(farm: &mut Farm, count: usize) -> Vec<String> {
    let mut order = Vec::new();
    farm.sync("w", LINUX, 1);
    for _ in 0..count {
        order.extend(farm.assigned("w"));
        let lease = farm.leases("w")[0];
        farm.complete("w", LINUX, 1, lease, succeeded(0));
        farm.publish_all();
    }
    order
}

#[test]
fn lower_priority_numbers_first_then_first_come_first_served() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    for (operation, priority) in [
        ("a0", 0),
        ("b5", 5),
        ("c-1", -1),
        ("d0", 0),
        ("e-1", -1),
        ("f5", 5),
    ] {
        farm.execute_at(operation, work(operation, LINUX), priority);
    }
    assert_eq!(
        drain_in_order(&mut farm, 6),
        ["c-1", "e-1", "a0", "d0", "b5", "f5"]
    );
}

#[test]
fn a_worker_serves_all_platforms_it_meets_in_one_order() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    farm.execute_at("any-1", work("1", &[]), 1);
    farm.execute_at("linux-0", work("2", LINUX), 0);
    farm.execute_at("windows", work("3", WINDOWS), -9);
    farm.execute_at("any-0", work("4", &[]), 0);
    assert_eq!(drain_in_order(&mut farm, 3), ["linux-0", "any-0", "any-1"]);
    assert_eq!(farm.stage("windows"), Stage::Queued);
}

#[test]
fn work_goes_to_the_worker_with_most_free_slots() {
    let mut farm = Farm::new();
    farm.sync("small", LINUX, 2);
    farm.sync("large", LINUX, 3);
    farm.sync("windows", WINDOWS, 9);
    for operation in ["1", "2", "3", "4", "5", "6"] {
        farm.execute(operation, work(operation, LINUX));
    }
    assert_eq!(farm.assigned("large"), ["1", "2", "4"]);
    assert_eq!(farm.assigned("small"), ["3", "5"]);
    assert!(farm.leases("windows").is_empty());
    assert_eq!(farm.stage("6"), Stage::Queued);
}

#[test]
fn workers_with_more_properties_than_asked_for_match() {
    let mut farm = Farm::new();
    farm.sync("w", &[("OSFamily", "linux"), ("gpu", "yes")], 1);
    farm.execute("op", work("a", LINUX));
    assert_eq!(farm.assigned("w"), ["op"]);
}

#[test]
fn a_draining_worker_finishes_but_takes_nothing() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 2);
    farm.execute("a", work("a", LINUX));
    let lease = farm.leases("w")[0];
    let report = WorkerReport {
        name: "w".to_owned(),
        properties: properties(LINUX),
        slots: 2,
        draining: true,
        leases: vec![(lease, running())],
        ..WorkerReport::default()
    };
    farm.send(Event::WorkerSynced(worker("w"), report));
    farm.execute("b", work("b", LINUX));
    assert_eq!(farm.leases("w"), [lease]);
    assert_eq!(farm.stage("b"), Stage::Queued);
    farm.sync("w", LINUX, 2);
    assert_eq!(farm.leases("w").len(), 2, "it changed its mind");
}

#[test]
fn a_worker_that_offers_fewer_slots_keeps_what_it_has() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 2);
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
    }
    farm.sync("w", LINUX, 1);
    assert_eq!(farm.leases("w").len(), 2);
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(0));
    assert_eq!(farm.assigned("w"), ["b"]);
    assert_eq!(farm.stage("c"), Stage::Queued);
}

#[test]
fn the_place_in_the_queue_is_counted_as_far_as_it_is_cheap() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    for number in 0..150 {
        farm.execute(&format!("{number:03}"), work(&number.to_string(), LINUX));
    }
    let position = |operation| farm.view(operation).position.unwrap();
    assert_eq!((position("007").ahead, position("007").exact), (7, true));
    assert_eq!((position("149").ahead, position("149").exact), (100, false));
}

#[test]
fn the_place_in_the_queue_is_one_among_all_that_want_the_same_workers() {
    let mut farm = Farm::new();
    let offer = [("OSFamily", "linux"), ("disk", "fast")];
    farm.sync("w", &offer, 2);
    // One runs at a time, the others wait.
    farm.execute("running", work("running", &[("cpus", "2")]));
    farm.execute("linux", work("1", LINUX));
    farm.execute("wide", work("2", &[("cpus", "2")]));
    farm.execute("fast", work("3", &[("disk", "fast")]));
    farm.execute("linux too", work("4", LINUX));
    farm.execute_at("urgent", work("5", &[]), -1);
    let position = |farm: &Farm, operation| {
        let position = farm.view(operation).position.unwrap();
        (position.ahead, position.exact)
    };
    for (operation, ahead) in [
        ("urgent", 0),
        ("linux", 1),
        ("wide", 2),
        ("fast", 3),
        ("linux too", 4),
    ] {
        assert_eq!(position(&farm, operation), (ahead, true), "{operation}");
    }
    // Another worker takes some of them, but not all: who gets in whose way cannot be told any more.
    farm.sync("other", LINUX, 1);
    assert_eq!(farm.assigned("other"), ["urgent"]);
    assert_eq!(position(&farm, "linux"), (0, true), "nothing is before it");
    assert_eq!(position(&farm, "wide"), (0, false));
    assert_eq!(position(&farm, "linux too"), (1, false));
}

#[test]
fn what_is_not_after_the_same_is_not_counted() {
    let mut farm = Farm::new();
    let report = WorkerReport {
        name: "w".to_owned(),
        slots: 2,
        resources: vec![("license".to_owned(), 1)],
        ..WorkerReport::default()
    };
    farm.send(Event::WorkerSynced(worker("w"), report));
    for operation in ["l1", "l2", "l3"] {
        farm.execute(operation, work(operation, &[("license", "1")]));
    }
    farm.execute("plain", work("plain", &[]));
    farm.execute("next", work("next", &[]));
    assert_eq!(farm.assigned("w"), ["l1", "plain"]);
    let ahead = |operation| farm.view(operation).position.unwrap();
    assert_eq!((ahead("next").ahead, ahead("next").exact), (0, false));
    assert_eq!((ahead("l3").ahead, ahead("l3").exact), (1, true));
}
