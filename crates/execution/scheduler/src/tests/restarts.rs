//! The scheduler's process dies and another goes on.

use proptest::prelude::*;
use reapi::rpc::Code;

use super::farm::*;
use crate::{Effect, Event, LeaseState, Scheduler, SchedulerOptions, Stage};

#[test]
fn what_runs_goes_on_where_it_runs() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    let leases = farm.leases("w");
    farm.sync("w", LINUX, 1);

    farm.restart();
    assert_eq!(farm.stage("a"), Stage::Executing);
    farm.send(Event::WatcherCame(name("a")));
    farm.report("w", LINUX, 1, vec![(leases[0], running())]);
    assert_eq!(farm.leases("w"), leases);
    farm.complete("w", LINUX, 1, leases[0], succeeded(0));
    farm.publish_all();
    assert_eq!(farm.stage("a"), Stage::Completed);
    assert_eq!(farm.scheduler.view().totals.granted, 0, "it ran once");
}

#[test]
fn a_free_worker_does_not_get_what_another_may_still_run() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.restart();
    farm.sync("other", LINUX, 1);
    farm.wait(seconds(29));
    assert_eq!(farm.assigned("other"), [""; 0]);

    farm.send(Event::WatcherCame(name("a")));
    farm.sync("other", LINUX, 1);
    farm.wait(seconds(1));
    assert_eq!(farm.assigned("other"), ["a"], "its worker has dropped it by now");
    assert!(farm.view("a").attempt == 2);
}

#[test]
fn a_worker_that_does_not_come_back_is_lost_however_often_the_server_restarts() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.send(Event::WorkerGone(worker("w")));
    for _ in 0..4 {
        farm.restart();
        farm.send(Event::WatcherCame(name("a")));
        farm.sync("other", LINUX, 1);
        farm.wait(seconds(8));
    }
    assert_eq!(farm.assigned("other"), ["a"]);

    // One that does come back in between is away from then on.
    farm.restart();
    farm.wait(seconds(20));
    farm.sync("other", LINUX, 1);
    farm.restart();
    farm.wait(seconds(20));
    assert_eq!(farm.assigned("other"), ["a"]);
}

#[test]
fn a_result_that_was_being_stored_is_stored_and_nothing_runs_again() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(3));
    assert_eq!(farm.publications.len(), 1);

    farm.restart();
    assert!(matches!(&farm.effects[..], [Effect::Publish(..)]));
    farm.report("w", LINUX, 1, vec![(lease, LeaseState::Completed(succeeded(4)))]);
    assert!(farm.synced("w"), "it may forget the lease");
    farm.publish_all();
    let response = farm.view("a").response.unwrap();
    assert_eq!(response.result.as_ref().unwrap().exit_code, 3);
}

#[test]
fn order_and_company_stay() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.send(Event::WorkerGone(worker("w")));
    farm.execute("first", work("x", LINUX));
    farm.execute("second", work("y", LINUX));
    farm.execute("with second", work("y", LINUX));
    farm.execute_at("urgent", work("z", LINUX), -1);
    farm.restart();
    farm.execute("too", work("x", LINUX));
    farm.sync("w", LINUX, 3);
    assert_eq!(farm.assigned("w"), ["urgent", "first", "second"]);
    let leases = farm.leases("w");
    for lease in leases {
        farm.complete("w", LINUX, 3, lease, succeeded(0));
    }
    farm.publish_all();
    for operation in ["first", "second", "with second", "urgent", "too"] {
        assert_eq!(farm.stage(operation), Stage::Completed, "{operation}");
    }
}

#[test]
fn clients_have_a_while_to_come_back_and_the_finished_can_be_asked_for() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("done", work("d", LINUX));
    farm.complete("w", LINUX, 1, farm.leases("w")[0], succeeded(0));
    farm.publish_all();
    farm.execute("gone", work("g", LINUX));
    farm.restart();
    assert_eq!(farm.stage("done"), Stage::Completed);
    for _ in 0..3 {
        assert_ne!(farm.stage("gone"), Stage::Completed);
        farm.sync("w", LINUX, 1);
        farm.wait(seconds(20));
    }
    assert_eq!(farm.outcome("gone").0, Code::Cancelled);
    farm.wait(seconds(540));
    assert!(farm.scheduler.operation(&name("done")).is_none());
}

#[test]
fn an_action_that_kills_workers_is_given_up_whatever_restarts_in_between() {
    let mut farm = Farm::new();
    for (attempt, id) in ["w1", "w2", "w3"].into_iter().enumerate() {
        farm.sync(id, LINUX, 1);
        if attempt == 0 {
            farm.execute("a", work("a", LINUX));
        }
        farm.send(Event::WatcherCame(name("a")));
        assert_eq!(farm.assigned(id), ["a"]);
        farm.restart();
        farm.send(Event::WatcherCame(name("a")));
        farm.report(id, LINUX, 1, Vec::new());
        farm.send(Event::WorkerGone(worker(id)));
        farm.wait(seconds(5));
    }
    let (code, message) = farm.outcome("a");
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("w1, w2, w3"), "{message}");
}

#[test]
fn what_waits_for_a_worker_gives_it_time_to_come_back() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.send(Event::WorkerGone(worker("w")));
    farm.execute("a", work("a", LINUX));
    farm.restart();
    farm.send(Event::WatcherCame(name("a")));
    let why = farm.view("a").why_queued.unwrap();
    assert!(why.contains("in the first 60 s"), "{why}");
    farm.wait(seconds(59));
    assert_eq!(farm.stage("a"), Stage::Queued);
    farm.wait(seconds(1));
    let (code, message) = farm.outcome("a");
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("gone for more than 60 s"), "{message}");
}

proptest! {
    /// A journal that lost any part of itself is no reason to fall over.
    #[test]
    fn any_selection_of_entries_makes_a_scheduler(
        keep in prop::collection::vec(any::<prop::sample::Index>(), 0..60)
    ) {
        let mut farm = Farm::new();
        farm.sync("w", LINUX, 2);
        for operation in ["a", "b", "c", "d", "e"] {
            farm.execute(operation, work(&operation[..1], LINUX));
            farm.execute(&format!("{operation}2"), work(&operation[..1], LINUX));
        }
        farm.complete("w", LINUX, 2, farm.leases("w")[0], succeeded(0));
        farm.complete("w", LINUX, 2, farm.leases("w")[1], failed(Code::Internal, "no space"));
        farm.publish_all();
        farm.send(Event::Cancel(name("c")));
        farm.send(Event::Forget(name("a")));
        let entries: Vec<_> = keep.iter().map(|index| index.get(&farm.journal).clone()).collect();
        let mut effects = Vec::new();
        let restored = Scheduler::restored(SchedulerOptions::default(), farm.now, entries, &mut effects);
        farm.replace(restored, effects);
        farm.wait(seconds(100));
        farm.publish_all();
        farm.wait(seconds(1_000));
        farm.assert_empty();
    }
}
