//! Tasks of different sizes on workers with different room.

use std::time::Duration;

use proptest::prelude::*;
use reapi::execution::Command;
use reapi::rpc::Code;

use super::farm::*;
use crate::dispatch::PASSED_OVER_MAX;
use crate::{Event, LeaseId, LeaseState, Stage, Usage, Work, WorkerReport};

const GIB: u64 = 1 << 30;

/// Work of a command, so that it has a shape.
fn command(name: &str, platform: &[(&str, &str)]) -> Work {
    Work {
        command: Command {
            arguments: vec![name.split('#').next().unwrap_or_default().to_owned()],
            ..Command::default()
        },
        ..work(name, platform)
    }
}

struct Host {
    id: &'static str,
    slots: u32,
    memory_bytes: u64,
    resources: &'static [(&'static str, u64)],
}

impl Host {
    fn new(id: &'static str, slots: u32, memory_bytes: u64) -> Self {
        Host {
            id,
            slots,
            memory_bytes,
            resources: &[],
        }
    }

    /// Says what it has, with this lease completed and the others running.
    fn say(&self, farm: &mut Farm, done: Option<(LeaseId, Usage)>) {
        let leases = farm.leases(self.id).into_iter().map(|lease| match done {
            Some((done, _)) if done == lease => (lease, LeaseState::Completed(succeeded(0))),
            _ => (lease, running()),
        });
        let report = WorkerReport {
            name: self.id.to_owned(),
            slots: self.slots,
            memory_bytes: self.memory_bytes,
            resources: self
                .resources
                .iter()
                .map(|(name, amount)| ((*name).to_owned(), *amount))
                .collect(),
            leases: leases.collect(),
            usages: done.into_iter().collect(),
            ..WorkerReport::default()
        };
        farm.send(Event::WorkerSynced(worker(self.id), report));
    }

    /// The lease of an operation is done.
    fn finish(&self, farm: &mut Farm, operation: &str, usage: Usage) {
        let desired = farm.scheduler.desired(&worker(self.id)).unwrap();
        let lease = desired.iter().find(|(_, name, _)| name.as_str() == operation);
        let lease = lease
            .unwrap_or_else(|| panic!("{operation} is not on {}", self.id))
            .0;
        self.say(farm, Some((lease, usage)));
        farm.publish_all();
    }
}

fn usage(cpus: u64, memory_bytes: u64) -> Usage {
    Usage {
        wall: seconds(1),
        cpu: seconds(cpus),
        memory_bytes,
        crowded_out: false,
    }
}

fn crowded_out(memory_bytes: u64) -> Usage {
    Usage {
        crowded_out: true,
        ..usage(1, memory_bytes)
    }
}

/// Runs each of these once, so that their shapes are known.
fn teach(farm: &mut Farm, host: &Host, shapes: &[(&str, Usage)]) {
    for (name, usage) in shapes {
        let operation = format!("teach {name}");
        farm.execute(&operation, command(&format!("{name}#0"), &[]));
        host.finish(farm, &operation, *usage);
        assert_eq!(farm.stage(&operation), Stage::Completed);
    }
}

#[test]
fn what_kept_several_processors_busy_gets_as_many_slots_the_next_time() {
    let mut farm = Farm::new();
    let host = Host::new("w", 4, 0);
    host.say(&mut farm, None);
    teach(&mut farm, &host, &[("link", usage(2, 0)), ("cc", usage(1, 0))]);
    for (operation, what) in [("l1", "link#1"), ("c1", "cc#1"), ("c2", "cc#2"), ("c3", "cc#3")] {
        farm.execute(operation, command(what, &[]));
    }
    assert_eq!(farm.assigned("w"), ["l1", "c1", "c2"], "two and one and one");
}

#[test]
fn memory_is_shared_out_before_it_is_used_up() {
    let mut farm = Farm::new();
    let host = Host::new("w", 8, 8 * GIB);
    host.say(&mut farm, None);
    teach(
        &mut farm,
        &host,
        &[("link", usage(1, 3 * GIB)), ("cc", usage(1, 100 << 20))],
    );
    for number in 1..=3 {
        farm.execute(&format!("l{number}"), command(&format!("link#{number}"), &[]));
    }
    assert_eq!(farm.assigned("w"), ["l1", "l2"], "each counts for 4 GiB");
    farm.execute("new", command("never seen#1", &[]));
    assert_eq!(farm.assigned("w").len(), 3, "an unknown amount is not counted");
    host.finish(&mut farm, "l1", usage(1, 3 * GIB));
    assert!(farm.assigned("w").contains(&"l3".to_owned()));
}

#[test]
fn what_is_thought_too_large_for_every_worker_runs_alone() {
    let mut farm = Farm::new();
    let host = Host::new("w", 2, 2 * GIB);
    host.say(&mut farm, None);
    teach(
        &mut farm,
        &host,
        &[("huge", usage(9, 100 * GIB)), ("cc", usage(1, 0))],
    );
    farm.execute("c1", command("cc#1", &[]));
    farm.execute("h", command("huge#1", &[]));
    assert_eq!(farm.assigned("w"), ["c1"]);
    host.finish(&mut farm, "c1", usage(1, 0));
    farm.execute("c2", command("cc#2", &[]));
    farm.execute("u", command("never seen#1", &[]));
    assert_eq!(farm.assigned("w"), ["h"]);
    host.finish(&mut farm, "h", usage(9, 100 * GIB));
    assert_eq!(farm.assigned("w"), ["c2", "u"]);
}

#[test]
fn what_needs_much_is_passed_over_for_a_while_then_one_worker_waits_for_it_and_the_others_go_on() {
    let mut farm = Farm::new();
    let (one, two) = (Host::new("one", 4, 0), Host::new("two", 4, 0));
    one.say(&mut farm, None);
    teach(&mut farm, &one, &[("wide", usage(4, 0)), ("cc", usage(1, 0))]);
    two.say(&mut farm, None);
    for number in 0..8 {
        farm.execute(&format!("c{number}"), command(&format!("cc#{number}"), &[]));
    }
    farm.execute("w", command("wide#1", &[]));
    for number in 8..100 {
        farm.execute(&format!("c{number}"), command(&format!("cc#{number}"), &[]));
    }
    // Small ones keep ending and keep waiting.
    let mut ended = 0;
    let mut idle = 0;
    while farm.stage("w") == Stage::Queued {
        for host in [&one, &two] {
            let assigned = farm.assigned(host.id);
            idle += 4 - assigned.len();
            if let Some(first) = assigned.first() {
                ended += 1;
                host.finish(&mut farm, first, usage(1, 0));
            }
        }
        assert!(ended <= PASSED_OVER_MAX as usize + 8, "it starves");
    }
    assert!(ended > PASSED_OVER_MAX as usize);
    assert_eq!(
        idle,
        1 + 2 + 3,
        "slots stand empty on one worker only, as they become free"
    );
    let other = if farm.assigned("one") == ["w"] {
        "two"
    } else {
        "one"
    };
    assert_eq!(farm.assigned(other).len(), 4);
}

#[test]
fn a_platform_may_say_what_it_needs() {
    let mut farm = Farm::new();
    Host::new("w", 4, 8 * GIB).say(&mut farm, None);
    farm.execute("two", command("a#1", &[("cpus", "2"), ("memory", "6GiB")]));
    farm.execute("big", command("b#1", &[("memory", "4GiB")]));
    farm.execute("three", command("c#1", &[("cpus", "3")]));
    assert_eq!(
        farm.assigned("w"),
        ["two"],
        "neither the memory nor the processors are there"
    );
    farm.execute("never", command("d#1", &[("memory", "9GiB")]));
    let (code, message) = farm.outcome("never");
    assert_eq!(code, Code::FailedPrecondition);
    assert!(
        message.contains("none offers memory=9GiB, only 8589934592 and less"),
        "{message}"
    );
    farm.execute("wide", command("e#1", &[("cpus", "5")]));
    assert_eq!(farm.outcome("wide").0, Code::FailedPrecondition);
}

#[test]
fn named_resources_are_used_by_one_at_a_time() {
    let mut farm = Farm::new();
    let host = Host {
        resources: &[("gpu", 2), ("license", 1)],
        ..Host::new("w", 8, 0)
    };
    host.say(&mut farm, None);
    farm.execute("g1", command("a", &[("gpu", "1")]));
    farm.execute("g2", command("b", &[("gpu", "2")]));
    farm.execute("l1", command("c", &[("license", "1")]));
    farm.execute("l2", command("d", &[("license", "1")]));
    farm.execute("no", command("e", &[("gpu", "3")]));
    assert_eq!(farm.outcome("no").0, Code::FailedPrecondition);
    assert_eq!(farm.assigned("w"), ["g1", "l1"]);
    let why = |operation| farm.view(operation).why_queued.unwrap();
    assert_eq!(
        why("l2"),
        "waits for 1 of `license`, which others have; matching workers: 1"
    );
    assert_eq!(
        why("g2"),
        "waits for 2 of `gpu`, which others have; matching workers: 1"
    );
    host.finish(&mut farm, "g1", Usage::default());
    host.finish(&mut farm, "l1", Usage::default());
    assert_eq!(farm.assigned("w"), ["g2", "l2"]);
}

#[test]
fn what_waits_for_everything_at_once_is_told_all_of_it() {
    let mut farm = Farm::new();
    let host = Host {
        resources: &[("license", 1)],
        ..Host::new("w", 1, 0)
    };
    host.say(&mut farm, None);
    farm.execute("l1", command("a", &[("license", "1")]));
    farm.execute("l2", command("b", &[("license", "1")]));
    assert_eq!(
        farm.view("l2").why_queued.unwrap(),
        "waits for a free slot and 1 of `license`; matching workers: 1"
    );
}

#[test]
fn what_was_crowded_out_runs_again_with_more_room_and_it_is_not_held_against_it() {
    let mut farm = Farm::new();
    let host = Host::new("w", 4, 4 * GIB);
    host.say(&mut farm, None);
    teach(&mut farm, &host, &[("b", usage(1, GIB))]);
    for operation in ["a", "b"] {
        farm.execute(operation, command(operation, &[]));
    }
    assert_eq!(farm.assigned("w"), ["a", "b"]);
    host.finish(&mut farm, "a", crowded_out(GIB + 1));
    assert_eq!((farm.stage("a"), farm.view("a").attempt), (Stage::Queued, 1));
    host.finish(&mut farm, "b", usage(1, GIB));
    assert_eq!(
        farm.assigned("w"),
        ["a"],
        "alone: it counts for all of the 4 GiB now"
    );
    farm.execute("c", command("b", &[]));
    // What has just all of it may still have had somebody beside it who uses nobody knows how much.
    host.finish(&mut farm, "a", crowded_out(4 * GIB));
    assert_eq!(farm.assigned("w"), ["a"], "nobody at all is beside it now");
    // What had the worker for itself has nobody to blame.
    host.finish(&mut farm, "a", crowded_out(4 * GIB));
    assert_eq!(farm.stage("a"), Stage::Completed);

    // After a restart too it is known.
    farm.restart();
    host.say(&mut farm, None);
    host.finish(&mut farm, "c", usage(1, GIB));
    farm.execute("again", command("a#1", &[]));
    farm.execute("beside", command("b#1", &[]));
    assert_eq!(farm.assigned("w"), ["again"]);
}

#[test]
fn what_says_how_much_memory_it_needs_and_is_crowded_out_runs_again_too() {
    const ASKS: &[(&str, &str)] = &[("memory", "2GiB")];
    let mut farm = Farm::new();
    let host = Host::new("w", 4, 4 * GIB);
    host.say(&mut farm, None);
    farm.execute("greedy", command("never seen", &[]));
    farm.execute("a", command("a#1", ASKS));
    assert_eq!(farm.assigned("w"), ["greedy", "a"]);
    host.finish(&mut farm, "a", crowded_out(GIB));
    assert_eq!((farm.stage("a"), farm.view("a").attempt), (Stage::Executing, 1));
    // Its neighbour is still there, and only what it asks for twice over keeps that away in the end.
    host.finish(&mut farm, "a", crowded_out(GIB));
    assert_eq!((farm.stage("a"), farm.view("a").attempt), (Stage::Queued, 1));
    farm.restart();
    host.say(&mut farm, None);
    farm.send(Event::WatcherCame(name("a")));
    farm.send(Event::WatcherCame(name("greedy")));
    assert_eq!(
        (farm.stage("a"), farm.assigned("w")),
        (Stage::Queued, vec!["greedy".to_owned()])
    );
    host.finish(&mut farm, "greedy", usage(1, 4 * GIB));
    farm.execute("new", command("never seen either", &[]));
    assert_eq!(farm.assigned("w"), ["a"]);
    // Alone it has nobody to blame.
    host.finish(&mut farm, "a", crowded_out(4 * GIB));
    assert_eq!(farm.stage("a"), Stage::Completed);
    // The next one is believed again, and what is not for want of the machine's memory is for the user.
    farm.execute("b", command("a#2", ASKS));
    assert_eq!(farm.assigned("w"), ["new", "b"]);
    host.finish(&mut farm, "b", usage(1, 2 * GIB));
    assert_eq!(farm.stage("b"), Stage::Completed);
}

/// A worker with one small task, and so many small ones passed by a wide one that it is reserved.
fn reserved(farm: &mut Farm, host: &Host) {
    host.say(farm, None);
    teach(farm, host, &[("wide", usage(2, 0))]);
    farm.execute("long", command("long", &[]));
    farm.execute("wide", command("wide#1", &[]));
    for number in 0..PASSED_OVER_MAX {
        let operation = format!("small {number}");
        farm.execute(&operation, command(&operation, &[]));
        assert_eq!(farm.stage(&operation), Stage::Executing);
        host.finish(farm, &operation, usage(1, 0));
    }
    farm.execute("late", command("late", &[]));
    assert_eq!(
        (farm.stage("wide"), farm.stage("late")),
        (Stage::Queued, Stage::Queued)
    );
    let why = |operation| farm.view(operation).why_queued.unwrap();
    assert_eq!(
        why("wide"),
        "waits for 2 free slots on one worker, for which `w` takes nothing else; matching workers: 1"
    );
    assert_eq!(
        why("late"),
        "waits for room on `w`, which is kept for a larger action; matching workers: 1"
    );
}

#[test]
fn what_was_kept_is_given_back_when_nobody_needs_it_any_more() {
    let (host, other) = (Host::new("w", 2, 0), Host::new("other", 2, 0));
    let mut farm = Farm::new();
    reserved(&mut farm, &host);
    farm.send(Event::Cancel(name("wide")));
    assert_eq!(farm.assigned("w"), ["long", "late"]);

    // Room was found elsewhere.
    let mut farm = Farm::new();
    reserved(&mut farm, &host);
    other.say(&mut farm, None);
    assert_eq!(farm.assigned("other"), ["wide"]);
    assert_eq!(farm.assigned("w"), ["long", "late"]);

    // The worker goes, or drains.
    for drains in [false, true] {
        let mut farm = Farm::new();
        reserved(&mut farm, &host);
        match drains {
            false => farm.send(Event::WorkerGone(worker("w"))),
            true => farm.report("w", &[], 0, Vec::new()),
        }
        other.say(&mut farm, None);
        assert_eq!(farm.assigned("other"), ["wide"]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Execute {
        shape: u8,
        priority: i8,
    },
    Finish {
        host: usize,
        which: u8,
        crowded_out: bool,
    },
    Break {
        host: usize,
    },
    Cancel {
        which: u8,
    },
    Restart,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..7, -1i8..2).prop_map(|(shape, priority)| Step::Execute { shape, priority }),
        8 => (0usize..3, any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(host, which, crowded_out)| Step::Finish { host, which, crowded_out }),
        1 => (0usize..3).prop_map(|host| Step::Break { host }),
        1 => any::<u8>().prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::Restart),
        1 => (0u16..3_000).prop_map(Step::Wait),
    ]
}

/// What a shape asks for and what it turns out to use: processors and memory.
type Needs = (&'static [(&'static str, &'static str)], u64, u64);
const SHAPES: [Needs; 7] = [
    (&[], 1, 0),
    (&[], 2, GIB),
    (&[], 4, 3 * GIB),
    (&[], 1, 5 * GIB),
    (&[("cpus", "3")], 1, 0),
    (&[("memory", "2GiB")], 1, GIB),
    (&[("gpu", "1")], 1, 0),
];

proptest! {
    /// The farm's own checks see that no worker is given more than it has, and that nobody waits beside room; here
    /// everything must come to its end.
    #[test]
    fn whatever_the_sizes_everything_runs(steps in prop::collection::vec(step(), 1..120)) {
        let mut farm = Farm::new();
        let hosts = [
            Host { resources: &[("gpu", 1)], ..Host::new("a", 4, 4 * GIB) },
            Host::new("b", 4, 6 * GIB),
            Host::new("c", 8, 0),
        ];
        let say_all = |farm: &mut Farm| hosts.iter().for_each(|host| host.say(farm, None));
        let used = |shape: usize, crowded_out| Usage { crowded_out, ..usage(SHAPES[shape].1, SHAPES[shape].2) };
        say_all(&mut farm);
        let mut operations: Vec<(String, usize)> = Vec::new();
        let finish = |farm: &mut Farm, operations: &[(String, usize)], host: &Host, which: u8, crowded_out| {
            let assigned = farm.assigned(host.id);
            if !assigned.is_empty() {
                let operation = &assigned[which as usize % assigned.len()];
                let shape = operations.iter().find(|(name, _)| name == operation).unwrap().1;
                host.finish(farm, operation, used(shape, crowded_out));
            }
        };
        for step in steps {
            match step {
                Step::Execute { shape, priority } => {
                    let name = format!("op{}", operations.len());
                    let work = command(&format!("s{shape}#{name}"), SHAPES[shape as usize].0);
                    farm.execute_at(&name, work, priority.into());
                    operations.push((name, shape.into()));
                }
                Step::Finish { host, which, crowded_out } => {
                    finish(&mut farm, &operations, &hosts[host], which, crowded_out);
                }
                Step::Break { host } => {
                    farm.send(Event::WorkerGone(worker(hosts[host].id)));
                    farm.wait(Duration::from_millis(100));
                    hosts[host].say(&mut farm, None);
                }
                Step::Cancel { which } => {
                    if let Some((operation, _)) = operations.get(which as usize % operations.len().max(1)) {
                        farm.send(Event::Cancel(name(operation)));
                    }
                }
                Step::Restart => {
                    farm.restart();
                    say_all(&mut farm);
                    for (operation, _) in &operations {
                        farm.send(Event::WatcherCame(name(operation)));
                    }
                }
                Step::Wait(ms) => {
                    farm.wait(Duration::from_millis(ms.into()));
                    say_all(&mut farm);
                }
            }
        }
        for round in 0..operations.len() * 12 {
            finish(&mut farm, &operations, &hosts[round % 3], 0, false);
        }
        for (operation, _) in &operations {
            prop_assert_eq!(farm.stage(operation), Stage::Completed, "{} waits for ever", operation);
        }
        let workers = &farm.scheduler.workers;
        prop_assert!(workers.values().all(|worker| worker.reserved_for.is_empty() && worker.leases.is_empty()));
    }
}
