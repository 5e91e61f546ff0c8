//! Platforms nobody meets: now, no longer, or not yet (checklist E4).

use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, SchedulerOptions, Stage, WorkerReport};

fn drain(farm: &mut Farm, id: &str, offer: &[(&str, &str)]) {
    let leases = farm
        .leases(id)
        .into_iter()
        .map(|lease| (lease, running()))
        .collect();
    let properties = properties(offer);
    let report = WorkerReport {
        name: id.to_owned(),
        properties,
        slots: 1,
        draining: true,
        leases,
        ..WorkerReport::default()
    };
    farm.send(Event::WorkerSynced(worker(id), report));
}

#[test]
fn impossible_platforms_are_refused_at_once_with_the_reason() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", WINDOWS));
    let (code, message) = farm.outcome("op");
    assert_eq!(code, Code::FailedPrecondition);
    assert!(
        message.contains("none offers OSFamily=windows, only linux"),
        "{message}"
    );
    assert!(message.contains("nearest worker, `w`"), "{message}");
    assert!(farm.updated("op"));
}

#[test]
fn while_the_server_starts_operations_wait_for_workers() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    farm.execute("linux", work("a", LINUX));
    farm.execute("windows", work("b", WINDOWS));
    let why = farm.view("windows").why_queued.unwrap();
    assert!(
        why.contains("first 15 s") && why.contains("no worker is connected"),
        "{why}"
    );
    farm.wait(seconds(14));
    farm.sync("w", LINUX, 1);
    assert_eq!(farm.stage("linux"), Stage::Executing);
    assert_eq!(farm.stage("windows"), Stage::Queued);
    farm.wait(seconds(1));
    assert_eq!(farm.outcome("windows").0, Code::FailedPrecondition);
    assert_eq!(farm.stage("linux"), Stage::Executing);
}

#[test]
fn a_platform_is_remembered_for_a_while_after_its_last_worker() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.send(Event::WorkerGone(worker("w")));
    farm.wait(seconds(2));
    assert!(farm.scheduler.desired(&worker("w")).is_none());
    farm.execute("early", work("a", LINUX));
    let why = farm.view("early").why_queued.unwrap();
    assert!(why.contains("to come back; the last was `w`"), "{why}");
    farm.wait(seconds(59));
    farm.execute("late", work("b", LINUX));
    assert_eq!([farm.stage("early"), farm.stage("late")], [Stage::Queued; 2]);
    farm.wait(seconds(1));
    for operation in ["early", "late"] {
        let (code, message) = farm.outcome(operation);
        assert_eq!(
            code,
            Code::Unavailable,
            "it may be possible again, so clients should retry"
        );
        assert!(message.contains("gone for more than 60 s"), "{message}");
    }
    farm.execute("later", work("c", LINUX));
    assert_eq!(farm.outcome("later").0, Code::Unavailable);
}

#[test]
fn a_worker_that_comes_back_in_time_takes_what_waited() {
    let mut farm = Farm::new();
    farm.sync("old", LINUX, 1);
    farm.send(Event::WorkerGone(worker("old")));
    farm.wait(seconds(40));
    farm.execute("op", work("a", LINUX));
    farm.sync("new", LINUX, 1);
    assert_eq!(farm.assigned("new"), ["op"]);
    farm.wait(seconds(29));
    farm.sync("new", LINUX, 1);
    assert_eq!(
        farm.stage("op"),
        Stage::Executing,
        "the old worker's end is forgotten"
    );
}

#[test]
fn a_draining_worker_counts_as_leaving() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("running", work("a", LINUX));
    farm.execute("waiting", work("b", LINUX));
    drain(&mut farm, "w", LINUX);
    for _ in 0..4 {
        farm.wait(seconds(15));
        drain(&mut farm, "w", LINUX);
    }
    assert_eq!(farm.outcome("waiting").0, Code::Unavailable);
    assert_eq!(farm.stage("running"), Stage::Executing);
    farm.wait(seconds(30));
    assert_eq!(
        farm.outcome("running").0,
        Code::Unavailable,
        "nobody is left to try it again"
    );
}

#[test]
fn a_worker_may_change_what_it_offers() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 2);
    farm.execute("linux", work("a", LINUX));
    farm.sync("w", WINDOWS, 2);
    assert_eq!(farm.assigned("w"), ["linux"], "what it has it keeps");
    farm.execute("windows", work("b", WINDOWS));
    farm.execute("more", work("c", LINUX));
    assert_eq!(farm.assigned("w"), ["linux", "windows"]);
    assert_eq!(farm.stage("more"), Stage::Queued);
    farm.wait(seconds(20));
    farm.sync("w", WINDOWS, 2);
    farm.wait(seconds(20));
    farm.sync("w", WINDOWS, 2);
    farm.wait(seconds(20));
    assert_eq!(farm.outcome("more").0, Code::Unavailable);
}

#[test]
fn a_worker_without_slots_makes_nothing_possible() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 0);
    farm.execute("op", work("a", LINUX));
    assert_eq!(farm.outcome("op").0, Code::Unavailable);
    farm.sync("w", LINUX, 1);
    farm.execute("next", work("a", LINUX));
    assert_eq!(farm.assigned("w"), ["next"]);
}

#[test]
fn what_is_preferred_decides_where_there_is_a_choice_and_never_keeps_anything_waiting() {
    let mut farm = Farm::new();
    let fast: &[(&str, &str)] = &[("OSFamily", "linux"), ("disk", "fast")];
    farm.sync("a", LINUX, 4);
    farm.sync("fast", fast, 1);
    let platform = &[("OSFamily", "linux"), ("prefer:disk", "fast")];
    farm.execute("one", work("one", platform));
    assert_eq!(farm.assigned("fast"), ["one"], "though `a` has more room");
    farm.execute("two", work("two", platform));
    assert_eq!(farm.assigned("a"), ["two"]);
    farm.execute("odd", work("odd", &[("prefer:colour", "blue")]));
    assert_eq!(farm.stage("odd"), Stage::Executing, "nobody has it");
}

#[test]
fn a_command_goes_where_its_like_ran_last_if_there_is_room() {
    let mut farm = Farm::new();
    farm.sync("b", LINUX, 2);
    farm.execute("first", command_of("cc", "first", LINUX));
    farm.finish("b", 2, 1);
    farm.sync("a", LINUX, 8);
    farm.execute("second", command_of("cc", "second", LINUX));
    farm.execute("other", command_of("ld", "other", LINUX));
    assert_eq!(
        (farm.assigned("b"), farm.assigned("a")),
        (vec!["second".to_owned()], vec!["other".to_owned()])
    );
    farm.execute("third", command_of("cc", "third", LINUX));
    farm.execute("fourth", command_of("cc", "fourth", LINUX));
    assert_eq!(farm.assigned("b"), ["second", "third"]);
    assert_eq!(farm.assigned("a"), ["other", "fourth"], "where there is room");
}
