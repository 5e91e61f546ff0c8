//! One client, one operation: its life from Execute to oblivion.

use reapi::execution::ExecutedActionMetadata;
use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, LeaseId, LeaseState, Phase, SchedulerOptions, Stage};

#[test]
fn an_operation_is_queued_executed_published_and_forgotten() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("first", work("a", LINUX));
    assert!(farm.updated("first") && farm.synced("w"));
    assert_eq!(farm.stage("first"), Stage::Executing);
    farm.execute("second", work("b", LINUX));
    assert_eq!(farm.stage("second"), Stage::Queued);
    assert!(
        farm.view("second")
            .why_queued
            .unwrap()
            .contains("waits for a free slot")
    );

    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(3));
    assert_eq!(
        farm.stage("first"),
        Stage::Executing,
        "not done before the result is stored"
    );
    assert_eq!(farm.stage("second"), Stage::Executing, "publishing holds no slot");
    farm.publish_all();
    let view = farm.view("first");
    assert_eq!(
        (
            view.stage,
            view.response.unwrap().result.clone().unwrap().exit_code
        ),
        (Stage::Completed, 3)
    );

    farm.wait(seconds(599));
    assert_eq!(farm.stage("first"), Stage::Completed);
    farm.wait(seconds(1));
    assert!(farm.scheduler.operation(&name("first")).is_none());
}

#[test]
fn progress_reported_by_the_worker_reaches_the_operation() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("w")[0];
    let metadata = ExecutedActionMetadata {
        worker: "w".to_owned(),
        ..Default::default()
    };
    let state = LeaseState::Running {
        phase: Phase::UploadingOutputs,
        metadata: Some(Box::new(metadata.clone())),
    };
    farm.report("w", LINUX, 1, vec![(lease, state.clone())]);
    assert!(farm.updated("op"));
    let view = farm.view("op");
    assert_eq!(
        (view.phase, view.partial_metadata.as_deref()),
        (Some(Phase::UploadingOutputs), Some(&metadata))
    );
    farm.report("w", LINUX, 1, vec![(lease, state)]);
    assert!(farm.effects.is_empty(), "the same report again is no news");
}

#[test]
fn cancelling_a_queued_operation_ends_it_and_nothing_runs() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("busy", work("a", LINUX));
    farm.execute("op", work("b", LINUX));
    farm.send(Event::Cancel(name("op")));
    assert_eq!(farm.outcome("op").0, Code::Cancelled);
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(0));
    assert!(farm.leases("w").is_empty());
}

#[test]
fn cancelling_a_running_operation_recalls_the_lease() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("w")[0];
    farm.send(Event::Cancel(name("op")));
    assert!(farm.synced("w") && farm.leases("w").is_empty());
    assert_eq!(farm.outcome("op").0, Code::Cancelled);
    farm.complete("w", LINUX, 1, lease, succeeded(0));
    assert!(
        farm.publications.is_empty(),
        "a result that comes too late is ignored"
    );
    assert!(
        farm.synced("w"),
        "the worker is told once more that nobody wants it"
    );
}

#[test]
fn cancelling_while_the_result_is_being_stored_still_cancels() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(0));
    farm.send(Event::Cancel(name("op")));
    farm.publish_all();
    assert_eq!(farm.outcome("op").0, Code::Cancelled);
}

#[test]
fn events_about_what_is_over_or_unknown_change_nothing() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(0));
    let (task, response) = farm.publications[0].clone();
    farm.publish_all();
    for operation in ["op", "unknown"] {
        for event in [
            Event::Cancel,
            Event::WatcherLeft,
            Event::WatcherCame,
            Event::WatcherLeft,
        ] {
            farm.send(event(name(operation)));
            assert!(farm.effects.is_empty());
        }
    }
    farm.send(Event::Published(task, response));
    farm.send(Event::WorkerGone(worker("unknown")));
    farm.execute("op", work("another", LINUX));
    assert!(farm.effects.is_empty());
    farm.wait(seconds(120));
    assert_eq!(farm.outcome("op").0, Code::Ok);
}

#[test]
fn an_operation_nobody_watches_is_cancelled_after_a_while() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    farm.send(Event::WatcherCame(name("op")));
    farm.send(Event::WatcherLeft(name("op")));
    farm.wait(seconds(25));
    farm.sync("w", LINUX, 1);
    assert_eq!(farm.stage("op"), Stage::Executing, "one watcher is left");

    farm.send(Event::WatcherLeft(name("op")));
    farm.wait(seconds(25));
    farm.sync("w", LINUX, 1);
    farm.send(Event::WatcherCame(name("op")));
    farm.wait(seconds(25));
    farm.sync("w", LINUX, 1);
    farm.wait(seconds(25));
    farm.sync("w", LINUX, 1);
    assert_eq!(farm.stage("op"), Stage::Executing, "somebody came back in time");

    farm.send(Event::WatcherLeft(name("op")));
    for _ in 0..6 {
        farm.wait(seconds(10));
        farm.sync("w", LINUX, 1);
    }
    let (code, message) = farm.outcome("op");
    assert_eq!(code, Code::Cancelled);
    assert!(message.contains("no client"), "{message}");
    assert!(farm.leases("w").is_empty());
}

#[test]
fn only_finished_operations_can_be_forgotten() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    farm.send(Event::Forget(name("op")));
    assert_eq!(farm.stage("op"), Stage::Executing);
    farm.send(Event::Cancel(name("op")));
    farm.send(Event::Forget(name("op")));
    assert!(farm.updated("op"));
    assert!(farm.scheduler.operation(&name("op")).is_none());
}

#[test]
fn operations_are_listed_in_pages() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    for operation in ["c", "a", "d", "b"] {
        farm.execute(operation, work(operation, LINUX));
    }
    let page = |after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(name);
        let views = farm.scheduler.operations(after.as_ref(), limit);
        views.into_iter().map(|view| view.name.to_string()).collect()
    };
    assert_eq!(page(None, 3), ["a", "b", "c"]);
    assert_eq!(page(Some("c"), 3), ["d"]);
    assert_eq!(page(Some("bb"), 1), ["c"]);
    assert!(page(Some("d"), 3).is_empty() && page(None, 0).is_empty());
}

#[test]
fn time_that_runs_backwards_is_taken_for_standing_still() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("op", work("a", LINUX));
    let wakeup = farm.scheduler.next_wakeup();
    let mut effects = Vec::new();
    farm.scheduler.handle(crate::Time(0), Event::Tick, &mut effects);
    assert!(effects.is_empty());
    assert_eq!(farm.scheduler.next_wakeup(), wakeup);
    assert_eq!(farm.leases("w"), [LeaseId(1)]);
}

#[test]
fn the_view_counts_what_is_there() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.execute("b", work("b", LINUX));
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 1, lease, succeeded(0));
    farm.execute("c", work("c", &[]));
    farm.execute("d", work("d", WINDOWS));
    let view = farm.scheduler.view();
    assert_eq!((view.operations_live, view.operations_finished), (3, 1));
    assert_eq!(
        (view.tasks_queued, view.tasks_running, view.tasks_publishing),
        (1, 1, 1)
    );
    let worker = &view.workers[0];
    assert_eq!(
        (
            worker.name.as_str(),
            worker.slots,
            worker.connected,
            worker.leases.len()
        ),
        ("w", 1, true, 1)
    );
    assert_eq!(worker.properties, properties(LINUX));
    assert_eq!(worker.leases[0].operation, name("b"));
    let platforms: Vec<_> = view
        .platforms
        .iter()
        .map(|p| (p.platform.to_string(), p.queued, p.workers))
        .collect();
    assert_eq!(
        platforms,
        [("OSFamily=linux".to_owned(), 0, 1), ("(any)".to_owned(), 1, 1)]
    );
    assert_eq!(
        (view.totals.operations, view.totals.refused, view.totals.granted),
        (4, 1, 2)
    );
}

#[test]
fn who_lets_go_on_purpose_has_less_time_to_come_back() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
        farm.send(Event::LetGo(name(operation)));
        farm.send(Event::WatcherLeft(name(operation)));
    }
    farm.send(Event::LetGo(name("a")));
    farm.send(Event::LetGo(name("b")));
    farm.wait(seconds(9));
    farm.sync("w", LINUX, 1);
    farm.send(Event::WatcherCame(name("b")));
    farm.wait(seconds(1));
    assert_eq!(farm.outcome("a").0, Code::Cancelled);
    farm.wait(seconds(19));
    assert_ne!(farm.stage("b"), Stage::Completed, "somebody watches it again");
    assert_ne!(farm.stage("c"), Stage::Completed, "it was not let go of");
}
