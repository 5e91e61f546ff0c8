//! Workers that answer, but only that they could not.

use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, Stage, WorkerReport};

const RETRYABLE: [Code; 3] = [Code::Unavailable, Code::Internal, Code::Aborted];

#[test]
fn a_failed_set_up_is_retried_on_another_worker() {
    for code in RETRYABLE {
        let mut farm = Farm::new();
        farm.sync("bad", LINUX, 2);
        farm.execute("op", work("a", LINUX));
        farm.sync("good", LINUX, 1);
        let lease = farm.leases("bad")[0];
        farm.complete("bad", LINUX, 2, lease, failed(code, "disk full"));
        assert_eq!(
            farm.assigned("good"),
            ["op"],
            "although `bad` has more free slots"
        );
        assert_eq!((farm.stage("op"), farm.view("op").attempt), (Stage::Executing, 2));
    }
}

#[test]
fn other_failures_are_results() {
    for code in [
        Code::FailedPrecondition,
        Code::DeadlineExceeded,
        Code::InvalidArgument,
        Code::ResourceExhausted,
    ] {
        let mut farm = Farm::new();
        farm.sync("w", LINUX, 1);
        farm.execute("op", work("a", LINUX));
        let lease = farm.leases("w")[0];
        farm.complete("w", LINUX, 1, lease, failed(code, "no"));
        farm.publish_all();
        assert_eq!(farm.outcome("op"), (code, "no".to_owned()));
    }
}

#[test]
fn a_retry_waits_for_a_busy_worker_rather_than_go_back() {
    let mut farm = Farm::new();
    farm.sync("good", LINUX, 1);
    farm.execute("busy", work("x", LINUX));
    farm.sync("bad", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    farm.execute("next", work("b", LINUX));
    let lease = farm.leases("bad")[0];
    farm.complete("bad", LINUX, 1, lease, failed(Code::Internal, "no"));
    assert_eq!(farm.assigned("bad"), ["next"], "others are not held up by it");
    assert_eq!(farm.stage("op"), Stage::Queued);
    assert!(
        farm.view("op")
            .why_queued
            .unwrap()
            .contains("try 2 because worker `bad` could not run it: no")
    );
    let lease = farm.leases("bad")[0];
    farm.complete("bad", LINUX, 1, lease, succeeded(0));
    assert!(farm.leases("bad").is_empty());
    let lease = farm.leases("good")[0];
    farm.complete("good", LINUX, 1, lease, succeeded(0));
    assert_eq!(farm.assigned("good"), ["op"]);
}

/// `good` is busy, and `op`, which `bad` with its two slots has failed, waits for it.
fn retry_that_waits() -> Farm {
    let mut farm = Farm::new();
    farm.sync("good", LINUX, 1);
    farm.execute("busy", work("x", &[]));
    farm.sync("bad", LINUX, 2);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("bad")[0];
    farm.complete("bad", LINUX, 2, lease, failed(Code::Internal, "no"));
    assert!(farm.leases("bad").is_empty());
    farm
}

#[test]
fn when_the_other_worker_goes_the_retry_goes_back_after_all() {
    let mut farm = retry_that_waits();
    farm.send(Event::WorkerGone(worker("good")));
    assert!(farm.leases("bad").is_empty(), "it may come back");
    farm.wait(seconds(2));
    assert_eq!(farm.assigned("bad"), ["op", "busy"]);
}

#[test]
fn when_the_other_worker_takes_no_more_the_retry_goes_back_too() {
    for slots in [0, 1] {
        let mut farm = retry_that_waits();
        let report = WorkerReport {
            name: "good".to_owned(),
            properties: properties(LINUX),
            slots,
            draining: slots > 0,
            leases: vec![(farm.leases("good")[0], running())],
            ..WorkerReport::default()
        };
        farm.send(Event::WorkerSynced(worker("good"), report));
        assert_eq!(farm.assigned("bad"), ["op"]);
    }
    let mut farm = retry_that_waits();
    farm.sync("good", WINDOWS, 1);
    assert_eq!(farm.assigned("bad"), ["op"], "it offers something else now");
}

#[test]
fn the_only_worker_gets_the_retry_and_the_last_failure_is_the_result() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    for attempt in 1..=3 {
        assert_eq!(farm.view("op").attempt, attempt);
        assert!(farm.publications.is_empty());
        let lease = farm.leases("w")[0];
        farm.complete(
            "w",
            LINUX,
            1,
            lease,
            failed(Code::Internal, &format!("failure {attempt}")),
        );
    }
    farm.publish_all();
    assert_eq!(farm.outcome("op"), (Code::Internal, "failure 3".to_owned()));
}

#[test]
fn a_retried_task_can_still_be_joined_and_cancelled() {
    let mut farm = Farm::new();
    farm.sync("good", LINUX, 1);
    farm.execute("busy", work("x", LINUX));
    farm.sync("bad", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("bad")[0];
    farm.complete("bad", LINUX, 1, lease, failed(Code::Unavailable, "no"));
    farm.execute_at("joined", work("a", LINUX), -1);
    farm.send(Event::Cancel(name("op")));
    assert_eq!(farm.stage("joined"), Stage::Queued);
    farm.send(Event::Cancel(name("joined")));
    assert_eq!(farm.scheduler.view().tasks_queued, 0);
}
