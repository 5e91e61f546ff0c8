//! Workers that people take out of service.

use super::farm::*;
use crate::{Event, SchedulerOptions, Stage};

fn drain(farm: &mut Farm, pattern: &str, on: bool) {
    let pattern = pattern.to_owned();
    farm.send(Event::Drain { pattern, on });
}

#[test]
fn they_finish_what_they_have_and_get_nothing_new_until_it_is_taken_back() {
    let mut farm = Farm::new();
    farm.sync("host-1", LINUX, 1);
    farm.sync("other", LINUX, 1);
    farm.execute("a", work("a", LINUX));
    farm.execute("b", work("b", LINUX));
    drain(&mut farm, "host-*", true);
    assert_eq!(
        (farm.assigned("host-1").len(), farm.assigned("other").len()),
        (1, 1)
    );
    farm.execute("c", work("c", LINUX));
    let lease = farm.leases("host-1")[0];
    farm.complete("host-1", LINUX, 1, lease, succeeded(0));
    farm.publish_all();
    assert_eq!(
        (farm.assigned("host-1").len(), farm.stage("c")),
        (0, Stage::Queued)
    );
    // What it says of itself changes nothing, nor does a restart of the server; and those that come later are like it.
    farm.sync("host-1", LINUX, 1);
    farm.sync("host-2", LINUX, 1);
    farm.restart();
    farm.send(Event::WatcherCame(name("c")));
    farm.sync("host-1", LINUX, 1);
    farm.sync("host-2", LINUX, 1);
    farm.sync("other", LINUX, 1);
    assert_eq!(farm.stage("c"), Stage::Queued);
    assert!(farm.scheduler.drained().eq(["host-*"]));

    drain(&mut farm, "host-*", false);
    assert_eq!(farm.stage("c"), Stage::Executing);
    assert_eq!(farm.scheduler.drained().count(), 0);
}

#[test]
fn a_platform_of_drained_workers_only_is_as_if_they_had_left() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    drain(&mut farm, "*", true);
    farm.execute("a", work("a", LINUX));
    assert_eq!(farm.stage("a"), Stage::Queued);
    for _ in 0..3 {
        farm.sync("w", LINUX, 1);
        farm.wait(seconds(20));
    }
    assert_eq!(farm.stage("a"), Stage::Completed);
    assert!(farm.outcome("a").1.contains("gone for more than 60 s"));
}

#[test]
fn there_are_so_many_patterns_at_most() {
    let mut farm = Farm::starting(SchedulerOptions {
        drains_max: 2,
        ..SchedulerOptions::default()
    });
    for pattern in ["a", "b", "c", "a"] {
        drain(&mut farm, pattern, true);
    }
    assert!(farm.scheduler.drained().eq(["a", "b"]));
}
