//! A second run of what seems to be stuck.

use super::farm::*;
use crate::{Event, SchedulerOptions, Stage};

/// A farm that knows that `cc` takes ten seconds, and has given one to worker `a`. There is a worker `b` too.
fn one_running() -> Farm {
    let mut farm = Farm::new();
    farm.sync("a", LINUX, 1);
    farm.execute("before", command_of("cc", "before", LINUX));
    farm.finish("a", 1, 10);
    farm.execute("op", command_of("cc", "action", LINUX));
    assert_eq!(farm.assigned("a"), ["op"]);
    farm.sync("b", LINUX, 1);
    farm
}

/// Lets time pass while the workers report what they do.
fn pass(farm: &mut Farm, workers: &[&str], seconds_in_all: u64) {
    for _ in 0..seconds_in_all / 10 {
        farm.wait(seconds(10));
        for worker in workers {
            farm.sync(worker, LINUX, 1);
        }
    }
}

#[test]
fn what_takes_many_times_as_long_as_its_like_is_given_to_a_second_worker() {
    let mut farm = one_running();
    pass(&mut farm, &["a", "b"], 50);
    assert_eq!(
        farm.leases("b").len(),
        0,
        "four times ten seconds, but not a minute"
    );
    pass(&mut farm, &["a", "b"], 20);
    assert_eq!([farm.assigned("a"), farm.assigned("b")], [["op"], ["op"]]);
    assert_eq!(
        (farm.scheduler.view().tasks_running, farm.scheduler.totals.hedged),
        (1, 1)
    );
    // Whoever is done first is believed, the other is recalled.
    farm.finish("b", 1, 10);
    assert_eq!((farm.stage("op"), farm.leases("a").len()), (Stage::Completed, 0));
}

#[test]
fn the_first_may_still_be_first() {
    let mut farm = one_running();
    pass(&mut farm, &["a", "b"], 70);
    farm.finish("a", 1, 70);
    assert_eq!((farm.stage("op"), farm.leases("b").len()), (Stage::Completed, 0));
}

#[test]
fn nobody_is_kept_from_work_by_it_and_what_must_not_be_cached_runs_once() {
    let mut farm = one_running();
    farm.execute("other", command_of("ld", "other", LINUX));
    assert_eq!(farm.assigned("b"), ["other"]);
    pass(&mut farm, &["a", "b"], 70);
    assert_eq!(farm.assigned("b"), ["other"]);
    farm.finish("b", 1, 1);
    farm.wait(seconds(10));
    assert_eq!(farm.assigned("b"), ["op"], "it is looked for room again");

    let mut farm = Farm::new();
    farm.sync("a", LINUX, 1);
    farm.execute("before", command_of("cc", "before", LINUX));
    farm.finish("a", 1, 1);
    let work = crate::Work {
        do_not_cache: true,
        ..command_of("cc", "action", LINUX)
    };
    farm.execute("op", work);
    farm.sync("b", LINUX, 1);
    pass(&mut farm, &["a", "b"], 600);
    assert_eq!(farm.leases("b").len(), 0);
}

#[test]
fn one_of_two_runs_may_be_lost_or_fail_and_the_other_goes_on_also_after_a_restart() {
    for first_is_lost in [true, false] {
        let mut farm = one_running();
        pass(&mut farm, &["a", "b"], 70);
        farm.restart();
        assert_eq!([farm.assigned("a"), farm.assigned("b")], [["op"], ["op"]]);
        let (lost, stays) = if first_is_lost { ("a", "b") } else { ("b", "a") };
        farm.sync(stays, LINUX, 1);
        farm.send(Event::WorkerGone(worker(lost)));
        pass(&mut farm, &[stays], 40);
        assert_eq!((farm.stage("op"), farm.view("op").attempt), (Stage::Executing, 2));
        assert_eq!(
            (farm.assigned(stays), farm.leases(lost).len()),
            (vec!["op".to_owned()], 0)
        );
        farm.restart();
        farm.sync(stays, LINUX, 1);
        assert_eq!(farm.assigned(stays), ["op"]);
        farm.finish(stays, 1, 10);
        assert_eq!(farm.stage("op"), Stage::Completed);
    }
}

#[test]
fn a_worker_that_cannot_run_it_does_not_end_the_run_of_the_other() {
    let mut farm = one_running();
    pass(&mut farm, &["a", "b"], 70);
    let lease = farm.leases("b")[0];
    let cannot = failed(reapi::rpc::Code::Internal, "no space");
    farm.complete("b", LINUX, 1, lease, cannot);
    assert_eq!(
        (farm.assigned("a"), farm.leases("b").len()),
        (vec!["op".to_owned()], 0)
    );
    farm.finish("a", 1, 10);
    assert_eq!(farm.stage("op"), Stage::Completed);
}

#[test]
fn cancelling_takes_both_runs_away() {
    let mut farm = one_running();
    pass(&mut farm, &["a", "b"], 70);
    farm.send(Event::Cancel(name("op")));
    assert_eq!((farm.leases("a").len(), farm.leases("b").len()), (0, 0));
}

#[test]
fn a_quota_leaves_no_room_for_a_second_run() {
    let tenant = blob::InstanceName::default();
    let mut farm = Farm::starting(SchedulerOptions {
        quotas: [(tenant, 1)].into(),
        ..SchedulerOptions::default()
    });
    farm.sync("a", LINUX, 1);
    farm.execute("before", command_of("cc", "before", LINUX));
    farm.finish("a", 1, 10);
    farm.execute("op", command_of("cc", "action", LINUX));
    farm.sync("b", LINUX, 1);
    pass(&mut farm, &["a", "b"], 100);
    assert_eq!(
        (farm.assigned("a"), farm.leases("b").len()),
        (vec!["op".to_owned()], 0)
    );
}
