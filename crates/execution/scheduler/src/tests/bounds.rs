//! Every bound holds, and says so.

use reapi::execution::Command;
use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, SchedulerOptions, Stage, Work};

fn farm(options: SchedulerOptions) -> Farm {
    let mut farm = Farm::starting(options);
    farm.sync("w", LINUX, 1);
    farm
}

#[test]
fn operations_beyond_the_bound_are_refused() {
    let mut farm = farm(SchedulerOptions {
        operations_max: 2,
        ..Default::default()
    });
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
    }
    let (code, message) = farm.outcome("c");
    assert_eq!(code, Code::ResourceExhausted);
    assert!(message.contains("2 operations"), "{message}");
    farm.send(Event::Cancel(name("a")));
    farm.execute("d", work("d", LINUX));
    assert_eq!(farm.stage("d"), Stage::Queued);
}

#[test]
fn work_beyond_the_bound_in_bytes_is_refused_but_sharing_costs_nothing() {
    let large = |action: &str| Work {
        command: Command {
            arguments: vec!["x".repeat(10_000)],
            ..Command::default()
        },
        ..work(action, LINUX)
    };
    let mut farm = farm(SchedulerOptions {
        operations_bytes_max: 25_000,
        ..Default::default()
    });
    farm.execute("a", large("a"));
    farm.execute("b", large("b"));
    farm.execute("c", large("c"));
    assert_eq!(farm.outcome("c").0, Code::ResourceExhausted);
    farm.execute("shared", large("b"));
    assert_eq!(farm.stage("shared"), Stage::Queued);
}

#[test]
fn platforms_beyond_the_bound_are_refused() {
    let mut farm = Farm::starting(SchedulerOptions {
        platforms_max: 2,
        ..Default::default()
    });
    for pool in ["a", "b", "c"] {
        farm.execute(pool, work(pool, &[("pool", pool)]));
    }
    assert_eq!(farm.outcome("c").0, Code::ResourceExhausted);
    farm.execute("d", work("d", &[("pool", "b")]));
    assert_eq!(farm.stage("d"), Stage::Queued);
}

#[test]
fn workers_beyond_the_bound_are_not_accepted() {
    let mut farm = farm(SchedulerOptions {
        workers_max: 1,
        ..Default::default()
    });
    farm.sync("x", LINUX, 1);
    assert!(farm.synced("x") && farm.scheduler.desired(&worker("x")).is_none());
    farm.sync("w", LINUX, 1);
    assert!(farm.scheduler.desired(&worker("w")).is_some());
}

#[test]
fn slots_beyond_the_bound_are_not_used() {
    let mut farm = Farm::starting(SchedulerOptions {
        slots_max: 2,
        ..Default::default()
    });
    farm.sync("w", LINUX, u32::MAX);
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
    }
    assert_eq!(farm.leases("w").len(), 2);
}

#[test]
fn no_more_lost_platforms_are_remembered_than_workers_fit() {
    let mut farm = Farm::starting(SchedulerOptions {
        workers_max: 2,
        ..Default::default()
    });
    farm.wait(seconds(15));
    for pool in ["a", "b", "c", "d"] {
        farm.sync(pool, &[("pool", pool)], 1);
        farm.execute(pool, work(pool, &[("pool", pool)]));
        farm.send(Event::WorkerGone(worker(pool)));
        farm.wait(seconds(2));
    }
    assert_eq!(farm.scheduler.pools.len(), 2);
    assert_eq!(
        farm.outcome("a").0,
        Code::Unavailable,
        "its platform was forgotten early"
    );
    assert_eq!(farm.stage("d"), Stage::Queued);
}

#[test]
fn the_oldest_finished_operations_go_first() {
    let mut farm = farm(SchedulerOptions {
        finished_max: 2,
        ..Default::default()
    });
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
        farm.send(Event::Cancel(name(operation)));
        assert_eq!(
            farm.outcome(operation).0,
            Code::Cancelled,
            "visible after the event that finished it"
        );
    }
    assert_eq!(farm.scheduler.next_wakeup(), Some(farm.now), "one too many");
    farm.send(Event::Tick);
    assert!(farm.updated("a") && farm.scheduler.operation(&name("a")).is_none());
    assert_eq!([farm.stage("b"), farm.stage("c")], [Stage::Completed; 2]);
}

#[test]
fn finished_operations_are_bounded_in_bytes() {
    let mut farm = farm(SchedulerOptions {
        finished_bytes_max: 50_000,
        ..Default::default()
    });
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work(operation, LINUX));
        let lease = farm.leases("w")[0];
        farm.complete(
            "w",
            LINUX,
            1,
            lease,
            // It is said twice, in the status and in the message.
            failed(Code::FailedPrecondition, &"x".repeat(10_000)),
        );
        farm.publish_all();
    }
    farm.send(Event::Tick);
    assert!(farm.scheduler.operation(&name("a")).is_none());
    assert_eq!([farm.stage("b"), farm.stage("c")], [Stage::Completed; 2]);
}

#[test]
fn durations_of_nothing_and_of_eternity_are_obeyed() {
    let nothing = std::time::Duration::ZERO;
    let mut farm = farm(SchedulerOptions {
        finished_retention: nothing,
        abandon_after: nothing,
        worker_memory: nothing,
        startup_grace: nothing,
        lease_duration: std::time::Duration::MAX,
        ..Default::default()
    });
    farm.execute("a", work("a", LINUX));
    farm.send(Event::WatcherLeft(name("a")));
    farm.send(Event::Tick);
    assert_eq!(farm.outcome("a").0, Code::Cancelled);
    farm.send(Event::Tick);
    assert!(farm.scheduler.operation(&name("a")).is_none());
    farm.wait(seconds(1 << 40));
    assert!(farm.scheduler.desired(&worker("w")).is_some());
}
