//! Builds that wait together.

use std::collections::BTreeMap;

use action::Platform;
use blob::InstanceName;
use proptest::prelude::*;

use super::farm::*;
use crate::turns::weighted;
use crate::{Shape, Usage, Work};

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
fn priorities_are_weights_and_a_lost_worker_costs_no_turn() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("running", work_of("one", "running", LINUX));
    for n in 0..8 {
        let operation = format!("one-{n}");
        farm.execute(&operation, work_of("one", &operation, LINUX));
        let operation = format!("urgent-{n}");
        farm.execute_at(&operation, work_of("urgent", &operation, LINUX), -1);
    }
    // The urgent ones get four for each of the others, which go on.
    let order: Vec<String> = (0..9).map(|_| next(&mut farm)).collect();
    let expected = [
        "urgent-0", "urgent-1", "urgent-2", "one-0", "urgent-3", "urgent-4", "urgent-5", "urgent-6", "one-1",
    ];
    assert_eq!(order, expected);
    assert_eq!(next(&mut farm), "urgent-7");
    // Asked for by somebody in a hurry, an action that waits already moves ahead. What was lost comes back before all.
    farm.execute_at("hurried", work_of("three", "one-3", LINUX), -5);
    farm.send(crate::Event::WorkerGone(worker("w")));
    farm.wait(seconds(60));
    farm.sync("v", LINUX, 1);
    assert_eq!(farm.assigned("v"), ["urgent-7"]);
    let order: Vec<String> = (0..3).map(|_| next_of(&mut farm, "v")).collect();
    assert_eq!(order, ["hurried", "one-2", "one-4"]);
}

/// The same, for an instance.
fn work_in(tenant: &str, build: &str, action: &str) -> Work {
    Work {
        instance: InstanceName::new(tenant).unwrap(),
        ..work_of(build, action, LINUX)
    }
}

#[test]
fn tenants_share_alike_whatever_they_send_and_save_nothing_up() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("running", work_in("many", "0", "running"));
    for n in 0..8 {
        // One has a build, urgent at that; the other four.
        let operation = format!("one-{n}");
        farm.execute_at(&operation, work_in("one", "only", &operation), -20);
        let operation = format!("many-{n}");
        farm.execute(&operation, work_in("many", &(n % 4).to_string(), &operation));
    }
    let order: Vec<String> = (0..6).map(|_| next(&mut farm)).collect();
    assert_eq!(order, ["many-0", "one-0", "many-1", "one-1", "many-2", "one-2"]);
    for n in 3..6 {
        assert_eq!(next(&mut farm), format!("many-{n}"));
        assert_eq!(next(&mut farm), format!("one-{n}"));
    }
    // Who comes now has the next, and not all that it has never asked for.
    for n in 0..3 {
        let operation = format!("new-{n}");
        farm.execute(&operation, work_in("new", "n", &operation));
    }
    let order: Vec<String> = (0..5).map(|_| next(&mut farm)).collect();
    assert_eq!(order, ["many-6", "one-6", "new-0", "many-7", "one-7"]);
}

#[test]
fn what_is_done_on_other_workers_is_no_reason_to_wait_here() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.sync("fast", WINDOWS, 64);
    farm.execute("running", work_in("a", "a", "running"));
    for n in 0..64 {
        let operation = format!("elsewhere-{n}");
        let work = Work {
            platform: Platform::new(properties(WINDOWS)).unwrap(),
            ..work_in("b", "b", &operation)
        };
        farm.execute(&operation, work);
    }
    for n in 0..3 {
        for tenant in ["a", "b"] {
            let operation = format!("{tenant}-{n}");
            farm.execute(&operation, work_in(tenant, tenant, &operation));
        }
    }
    let order: Vec<String> = (0..4).map(|_| next(&mut farm)).collect();
    assert_eq!(order, ["a-0", "b-0", "a-1", "b-1"]);
}

#[test]
fn the_longest_of_a_build_begin_first() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    let long = |action: &str| {
        let mut work = work_of("build", action, LINUX);
        work.command.arguments = vec!["link".to_owned()];
        work
    };
    let (shape, usage) = (
        Shape::of(&long("x").command, &long("x").platform),
        Usage {
            wall: seconds(3),
            ..Usage::default()
        },
    );
    farm.scheduler.shapes.note(shape, &usage, &worker("w"));
    farm.execute("running", work_of("build", "running", LINUX));
    for n in 0..5 {
        let operation = format!("short-{n}");
        farm.execute(&operation, work_of("build", &operation, LINUX));
    }
    farm.execute("long", long("again"));
    let order: Vec<String> = (0..6).map(|_| next(&mut farm)).collect();
    assert_eq!(
        order,
        ["short-0", "short-1", "short-2", "long", "short-3", "short-4"]
    );
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

/// One that waits: whose it is, how far its turn was from the clock when it came, and how many each flow and each tenant
/// has been given since.
struct Waiting {
    tenant: usize,
    own: usize,
    distance: u64,
    tenants: [u64; TENANTS],
    flows: BTreeMap<usize, u64>,
}

const TENANTS: usize = 3;
const PRIORITIES: [i32; 4] = [-1, 0, 1, 2];

proptest! {
    /// Nobody starves, and by how much who waits is bounded, whatever comes in afterwards. A tenant gets at most two
    /// more than each of the others that waits. Within one, a build gets at most as many as its steps
    /// fit in the way to the turn of the one that waits, and that way is the longer the more of its own build are ahead
    /// of it, and nothing else.
    #[test]
    fn waiting_is_bounded_by_who_waits_and_not_by_how_much(
        arrivals in prop::collection::vec((0usize..TENANTS, 0usize..3, 0usize..4, 1usize..9, 0usize..4), 1..25),
    ) {
        let mut farm = Farm::new();
        farm.sync("w", LINUX, 1);
        farm.execute("first", work("first", LINUX));
        let mut waiting: BTreeMap<String, Waiting> = BTreeMap::new();
        let mut count = 0;
        let grant = |farm: &mut Farm, waiting: &mut BTreeMap<String, Waiting>| {
            let granted = next(farm);
            let Some(Waiting { tenant, own, .. }) = waiting.remove(&granted) else { return Ok(()) };
            for (operation, waits) in waiting.iter_mut() {
                waits.tenants[tenant] += 1;
                let served = waits.tenants[waits.tenant];
                prop_assert!(waits.tenants[tenant] <= served + 2, "{operation} waits: {:?}", waits.tenants);
                if tenant == waits.tenant && own != waits.own {
                    let got = waits.flows.entry(own).or_default();
                    *got += 1;
                    let most = waits.distance / weighted(PRIORITIES[own % 4]) + 1;
                    prop_assert!(*got <= most, "{operation} waits: {own} got {got}, at most {most}");
                }
            }
            Ok(())
        };
        for (tenant, build, priority, actions, grants) in arrivals {
            let own = build * 4 + priority;
            for _ in 0..actions {
                count += 1;
                let operation = format!("{tenant}-{build}-{priority}-{count:05}");
                let ahead = waiting.values().filter(|waits| (waits.tenant, waits.own) == (tenant, own)).count();
                let work = work_in(&format!("tenant-{tenant}"), &format!("build {build}"), &operation);
                farm.execute_at(&operation, work, PRIORITIES[priority]);
                // Sharing with one's own kind only; and what was granted last may be a step ahead.
                let distance = weighted(PRIORITIES[priority]) * (ahead as u64 + 2);
                let (tenants, flows) = ([0; TENANTS], BTreeMap::new());
                waiting.insert(operation, Waiting { tenant, own, distance, tenants, flows });
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
