//! Builds that wait together.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::farm::*;

/// Frees the only slot of worker `w` and tells which operation got it.
fn next(farm: &mut Farm) -> String {
    next_of(farm, "w")
}

fn next_of(farm: &mut Farm, worker: &str) -> String {
    let lease = farm.leases(worker)[0];
    farm.complete(worker, LINUX, 1, lease, succeeded(0));
    farm.publish_all();
    farm.assigned(worker).pop().unwrap_or_default()
}

#[test]
fn a_small_build_does_not_wait_for_a_large_one() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    for n in 0..50 {
        let operation = format!("large-{n}");
        farm.execute(&operation, work_of("large", &operation, LINUX));
    }
    for _ in 0..10 {
        next(&mut farm);
    }
    for n in 0..3 {
        let operation = format!("small-{n}");
        farm.execute(&operation, work_of("small", &operation, LINUX));
    }
    let order: Vec<String> = (0..7).map(|_| next(&mut farm)).collect();
    assert_eq!(
        order,
        [
            "large-11", "small-0", "large-12", "small-1", "large-13", "small-2", "large-14"
        ]
    );
}

#[test]
fn builds_that_have_no_name_are_one() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    for n in 0..6 {
        let operation = format!("unnamed-{n}");
        farm.execute(&operation, work(&operation, LINUX));
    }
    farm.execute("named", work_of("build", "named", LINUX));
    let order: Vec<String> = (0..3).map(|_| next(&mut farm)).collect();
    assert_eq!(order, ["unnamed-1", "named", "unnamed-2"]);
}

#[test]
fn every_priority_has_turns_of_its_own_and_a_lost_worker_costs_no_turn() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("running", work_of("one", "running", LINUX));
    for n in 0..4 {
        let operation = format!("one-{n}");
        farm.execute(&operation, work_of("one", &operation, LINUX));
        let operation = format!("urgent-{n}");
        farm.execute_at(&operation, work_of("urgent", &operation, LINUX), -1);
    }
    // The urgent ones go first, and what they take is no reason for others to wait.
    let order: Vec<String> = (0..4).map(|_| next(&mut farm)).collect();
    assert_eq!(order, ["urgent-0", "urgent-1", "urgent-2", "urgent-3"]);
    farm.execute("two", work_of("two", "two", LINUX));
    assert_eq!(next(&mut farm), "one-0");
    assert_eq!(next(&mut farm), "two");
    // Asked for by somebody in a hurry, an action that waits already moves ahead. What was lost comes back before the
    // others of its priority.
    farm.execute_at("hurried", work_of("three", "one-3", LINUX), -5);
    farm.send(crate::Event::WorkerGone(worker("w")));
    farm.wait(seconds(60));
    farm.sync("v", LINUX, 1);
    assert_eq!(farm.assigned("v"), ["hurried"]);
    let order: Vec<String> = (0..3).map(|_| next_of(&mut farm, "v")).collect();
    assert_eq!(order, ["two", "one-1", "one-2"]);
}

#[test]
fn what_comes_back_stays_first_when_somebody_in_a_hurry_asks_for_it() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("lost", work_of("one", "lost", LINUX));
    // Its build has had a turn among the urgent ones, so that the next one is after that of others.
    farm.execute_at("other", work_of("one", "other", LINUX), -5);
    farm.execute_at("urgent", work_of("two", "urgent", LINUX), -5);
    farm.send(crate::Event::WorkerGone(worker("w")));
    farm.wait(seconds(60));
    farm.execute_at("hurried", work_of("three", "lost", LINUX), -5);
    farm.sync("v", LINUX, 1);
    assert_eq!(farm.assigned("v"), ["hurried"]);
    let order = [next_of(&mut farm, "v"), next_of(&mut farm, "v")];
    assert_eq!(order, ["other", "urgent"]);
}

proptest! {
    /// Nobody starves: while an action waits, each other build gets at most as many as the build of the action has
    /// ahead of it, plus one for the action itself and one for the turn that was under way when it came.
    #[test]
    fn waiting_is_bounded_by_the_number_of_builds(
        arrivals in prop::collection::vec((0usize..6, 1usize..9, 0usize..4), 1..25),
    ) {
        let mut farm = Farm::new();
        farm.sync("w", LINUX, 1);
        farm.execute("first", work("first", LINUX));
        // For each waiting operation: its build, how many of its build are ahead, and what others have got since.
        let mut waiting: BTreeMap<String, (usize, usize, [usize; 6])> = BTreeMap::new();
        let mut count = 0;
        let grant = |farm: &mut Farm, waiting: &mut BTreeMap<String, (usize, usize, [usize; 6])>| {
            let granted = next(farm);
            let Some((build, ..)) = waiting.remove(&granted) else { return Ok(()) };
            for (operation, (own, ahead, got)) in waiting.iter_mut() {
                got[build] += 1;
                prop_assert!(build == *own || got[build] <= *ahead + 2, "{operation} waits: {got:?}, {ahead} ahead");
            }
            Ok(())
        };
        for (build, actions, grants) in arrivals {
            for _ in 0..actions {
                count += 1;
                let operation = format!("{build}-{count:05}");
                let ahead = waiting.values().filter(|(own, ..)| *own == build).count();
                farm.execute(&operation, work_of(&format!("build {build}"), &operation, LINUX));
                waiting.insert(operation, (build, ahead, [0; 6]));
            }
            for _ in 0..grants.min(waiting.len()) {
                grant(&mut farm, &mut waiting)?;
            }
        }
        while !waiting.is_empty() {
            grant(&mut farm, &mut waiting)?;
        }
    }
}
