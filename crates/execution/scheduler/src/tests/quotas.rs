//! Tenants that may have so much and no more.

use blob::InstanceName;

use super::farm::*;
use crate::{SchedulerOptions, Stage, Work};

fn of(tenant: &str, action: &str) -> Work {
    Work {
        instance: InstanceName::new(tenant).unwrap(),
        ..work(action, LINUX)
    }
}

fn farm(quotas: &[(&str, u32)]) -> Farm {
    let quota = |(tenant, slots): &(&str, u32)| (InstanceName::new(tenant).unwrap(), *slots);
    Farm::starting(SchedulerOptions {
        quotas: quotas.iter().map(quota).collect(),
        ..SchedulerOptions::default()
    })
}

#[test]
fn a_tenant_with_a_quota_gets_no_more_than_that_and_others_go_on() {
    let mut farm = farm(&[("small", 2)]);
    farm.sync("w", LINUX, 6);
    for n in 0..4 {
        farm.execute(&format!("small-{n}"), of("small", &format!("s{n}")));
    }
    assert_eq!(
        farm.assigned("w"),
        ["small-0", "small-1"],
        "though four slots are free"
    );
    farm.execute("large", of("large", "l"));
    assert_eq!(farm.assigned("w").last().unwrap(), "large");
    let why = farm.view("small-2").why_queued.unwrap();
    assert_eq!(
        why,
        "waits until less runs for instance `small`, which has all of the 2 slots that it may have"
    );
    let platforms = farm.scheduler.view().platforms;
    assert_eq!(platforms[0].why_queued.as_ref(), Some(&why));
    // What ends makes room for one more.
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 6, lease, succeeded(0));
    assert_eq!(farm.assigned("w"), ["small-1", "large", "small-2"]);
}

#[test]
fn what_comes_back_from_a_lost_worker_waits_for_the_quota_too() {
    let mut farm = farm(&[("small", 1)]);
    farm.sync("v", LINUX, 1);
    farm.execute("a", of("small", "a"));
    farm.execute("b", of("small", "b"));
    farm.sync("w", LINUX, 4);
    assert_eq!(
        (farm.assigned("v"), farm.leases("w").len()),
        (vec!["a".to_owned()], 0)
    );
    farm.send(crate::Event::WorkerGone(worker("v")));
    farm.wait(seconds(5));
    assert_eq!(farm.assigned("w"), ["a"], "it goes first, and alone");
    let lease = farm.leases("w")[0];
    farm.complete("w", LINUX, 4, lease, succeeded(0));
    farm.publish_all();
    assert_eq!(
        (farm.stage("a"), farm.assigned("w")),
        (Stage::Completed, vec!["b".to_owned()])
    );
}

#[test]
fn a_quota_holds_across_a_restart() {
    let mut farm = farm(&[("small", 1)]);
    farm.sync("w", LINUX, 4);
    farm.execute("a", of("small", "a"));
    farm.execute("b", of("small", "b"));
    farm.restart();
    farm.sync("w", LINUX, 4);
    assert_eq!(farm.assigned("w"), ["a"]);
}
