//! Workers that speak, fall silent, break off and come back.

use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, LeaseId, LeaseState, SchedulerOptions, Stage};

#[test]
fn syncing_renews_all_leases_and_silence_ends_them() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 2);
    farm.execute("a", work("a", LINUX));
    farm.execute("b", work("b", LINUX));
    for _ in 0..3 {
        farm.wait(seconds(29));
        farm.sync("w", LINUX, 2);
    }
    assert_eq!(farm.leases("w"), [LeaseId(1), LeaseId(2)]);
    farm.wait(seconds(30));
    assert!(farm.scheduler.desired(&worker("w")).is_none());
    assert_eq!([farm.stage("a"), farm.stage("b")], [Stage::Queued; 2]);
    assert_eq!(farm.view("a").attempt, 2);
    farm.sync("w", LINUX, 2);
    assert_eq!(
        farm.leases("w"),
        [LeaseId(3), LeaseId(4)],
        "it starts anew, under new leases"
    );
}

#[test]
fn a_lost_task_comes_back_to_the_front_of_its_queue() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
    }
    farm.send(Event::WorkerGone(worker("w")));
    farm.wait(seconds(2));
    assert_eq!(farm.stage("a"), Stage::Queued);
    assert_eq!(farm.view("a").position.unwrap().ahead, 0);
    farm.sync("w2", LINUX, 1);
    assert_eq!(farm.assigned("w2"), ["a"]);
}

#[test]
fn a_worker_that_reconnects_in_time_keeps_its_lease() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.send(Event::WorkerGone(worker("w")));
    farm.execute("b", work("b", LINUX));
    farm.wait(seconds(1));
    farm.sync("w", LINUX, 1);
    assert_eq!(farm.leases("w"), [LeaseId(1)]);
    farm.wait(seconds(29));
    assert_eq!(farm.stage("a"), Stage::Executing);
}

#[test]
fn a_worker_without_stream_gets_nothing_new() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 2);
    farm.send(Event::WorkerGone(worker("w")));
    farm.execute("a", work("a", LINUX));
    assert_eq!(farm.stage("a"), Stage::Queued);
    farm.sync("w", LINUX, 2);
    assert_eq!(farm.stage("a"), Stage::Executing);
}

#[test]
fn breaking_off_does_not_prolong_a_lease() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.wait(seconds(29));
    farm.send(Event::WorkerGone(worker("w")));
    farm.wait(seconds(1));
    assert_eq!(farm.stage("a"), Stage::Queued);
}

#[test]
fn a_desired_lease_stays_desired_until_the_worker_reports_it() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    for _ in 0..4 {
        farm.wait(seconds(10));
        farm.report("w", LINUX, 1, vec![]);
        assert!(farm.synced("w"), "the worker is told again");
        assert_eq!(farm.leases("w"), [LeaseId(1)]);
    }
    farm.sync("w", LINUX, 1);
    assert!(!farm.synced("w"));
}

#[test]
fn a_worker_that_never_takes_a_lease_up_loses_it() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.sync("other", LINUX, 1);
    for _ in 0..6 {
        farm.wait(seconds(10));
        farm.sync("other", LINUX, 1);
        farm.report("w", LINUX, 1, vec![]);
    }
    assert!(farm.leases("w").is_empty());
    assert_eq!(farm.assigned("other"), ["a"]);
}

#[test]
fn leaving_a_lease_out_of_one_report_does_not_cost_it() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    for _ in 0..7 {
        farm.wait(seconds(10));
        farm.sync("w", LINUX, 1);
    }
    farm.report("w", LINUX, 1, vec![]);
    assert_eq!(farm.leases("w"), [LeaseId(1)]);
}

#[test]
fn what_workers_say_about_leases_of_others_or_of_the_past_is_ignored() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.sync("x", LINUX, 1);
    let done = |lease| (LeaseId(lease), LeaseState::Completed(succeeded(0)));
    farm.report("x", LINUX, 1, vec![done(1), done(0), done(77), done(u64::MAX)]);
    assert!(farm.synced("x"), "it is told what it should do instead");
    assert!(farm.publications.is_empty());
    assert_eq!(farm.leases("w"), [LeaseId(1)]);
    farm.complete("w", LINUX, 1, LeaseId(1), succeeded(0));
    farm.complete("w", LINUX, 1, LeaseId(1), succeeded(0));
    assert_eq!(
        farm.publications.len(),
        1,
        "completed once, however often it is said"
    );
}

#[test]
fn a_worker_that_outlived_the_server_cannot_confuse_old_leases_with_new_ones() {
    let mut farm = Farm::new();
    farm.execute("waits", work("a", &[]));
    farm.report(
        "w",
        LINUX,
        1,
        vec![
            (LeaseId(1), running()),
            (LeaseId(41), LeaseState::Completed(succeeded(0))),
        ],
    );
    farm.execute("new", work("b", LINUX));
    assert_eq!(farm.leases("w"), [LeaseId(42)]);
    farm.report(
        "w",
        LINUX,
        1,
        vec![(LeaseId(1), LeaseState::Completed(succeeded(0)))],
    );
    assert!(farm.publications.is_empty());
}

#[test]
fn a_worker_whose_process_restarted_is_another_worker() {
    let mut farm = Farm::new();
    farm.sync("w#1", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.send(Event::WorkerGone(worker("w#1")));
    farm.sync("w#2", LINUX, 1);
    assert!(farm.leases("w#2").is_empty());
    farm.wait(seconds(2));
    assert_eq!(farm.assigned("w#2"), ["a"]);
}

#[test]
fn a_task_that_takes_its_workers_with_it_is_given_up() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    farm.execute("a", work("a", LINUX));
    for id in ["w1", "w2", "w3"] {
        assert_eq!(farm.stage("a"), Stage::Queued);
        farm.sync(id, LINUX, 1);
        assert_eq!(farm.assigned(id), ["a"]);
        farm.send(Event::WorkerGone(worker(id)));
        farm.wait(seconds(2));
    }
    let (code, message) = farm.outcome("a");
    assert_eq!(code, Code::Unavailable);
    assert!(
        message.contains("3 attempts on the workers w1, w2, w3"),
        "{message}"
    );
    assert!(message.contains("may be killing its worker"), "{message}");
}
