//! Several clients, one action (checklist E9, E10, E16).

use std::sync::Arc;

use blob::InstanceName;
use reapi::rpc::Code;

use super::farm::*;
use crate::{Event, Request, SchedulerOptions, Stage};

#[test]
fn the_same_action_runs_once_and_everybody_gets_the_result() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 4);
    farm.execute("a", work("x", LINUX));
    farm.execute("b", work("x", LINUX));
    assert_eq!(farm.leases("w").len(), 1);
    assert_eq!(farm.stage("b"), Stage::Executing);
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 4, lease, succeeded(0));
    farm.publish_all();
    let (a, b) = (farm.view("a").response.unwrap(), farm.view("b").response.unwrap());
    assert!(Arc::ptr_eq(&a, &b));
}

#[test]
fn skip_cache_lookup_shares_what_has_no_result_yet_but_not_what_has() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 4);
    farm.execute("a", work("x", LINUX));
    let fresh = |operation| {
        let work = Arc::new(work("x", LINUX));
        Event::Execute(Request {
            operation: name(operation),
            work,
            priority: 0,
            skip_cache_lookup: true,
        })
    };
    farm.send(fresh("b"));
    assert_eq!(farm.leases("w").len(), 1);
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 4, lease, succeeded(0));
    farm.send(fresh("c"));
    assert_eq!(farm.leases("w").len(), 1, "a new execution");
    farm.publish_all();
    assert_eq!([farm.stage("a"), farm.stage("b")], [Stage::Completed; 2]);
    assert_eq!(farm.stage("c"), Stage::Executing);
    farm.execute("d", work("x", LINUX));
    assert_eq!(farm.leases("w").len(), 1, "the new execution can be joined");
}

#[test]
fn do_not_cache_and_other_instances_are_never_merged() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 4);
    for operation in ["a", "b"] {
        farm.execute(
            operation,
            crate::Work {
                do_not_cache: true,
                ..work("x", LINUX)
            },
        );
    }
    farm.execute("c", work("x", LINUX));
    let instance = InstanceName::new("other").unwrap();
    farm.execute(
        "d",
        crate::Work {
            instance,
            ..work("x", LINUX)
        },
    );
    assert_eq!(farm.leases("w").len(), 4);
}

#[test]
fn cancelling_one_leaves_the_others_and_the_last_takes_the_task() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    for operation in ["a", "b", "c"] {
        farm.execute(operation, work("x", LINUX));
    }
    let leases = farm.leases("w");
    farm.send(Event::Cancel(name("a")));
    assert_eq!(farm.outcome("a").0, Code::Cancelled);
    assert!(
        farm.leases("w") == leases && !farm.synced("w"),
        "the worker does not notice"
    );
    assert_eq!(farm.assigned("w"), ["a"], "the lease keeps its name");
    farm.send(Event::Cancel(name("c")));
    assert_eq!(farm.stage("b"), Stage::Executing);
    farm.send(Event::Cancel(name("b")));
    assert!(farm.leases("w").is_empty());
    farm.execute("d", work("x", LINUX));
    assert_eq!(
        farm.stage("d"),
        Stage::Executing,
        "a cancelled task is not joined"
    );
}

#[test]
fn a_shared_task_is_as_urgent_as_its_most_urgent_operation() {
    let mut farm = Farm::starting(SchedulerOptions::default());
    farm.execute_at("lazy", work("x", LINUX), 5);
    farm.execute_at("middle", work("y", LINUX), 1);
    farm.execute_at("eager", work("x", LINUX), -3);
    assert_eq!(farm.view("lazy").position.unwrap().ahead, 0);
    assert_eq!(farm.view("middle").position.unwrap().ahead, 1);
    farm.send(Event::Cancel(name("eager")));
    assert_eq!(
        farm.view("lazy").position.unwrap().ahead,
        1,
        "and no longer when that one is gone"
    );
    farm.sync("w", LINUX, 1);
    assert_eq!(farm.assigned("w"), ["middle"]);
}
