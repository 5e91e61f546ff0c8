//! Commands that want more memory or more processes than they may have.
//!
//! Without root there is nothing to bound memory with on most machines; what is tried of that then says so and ends.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runner_api::{Availability, Outcome};
use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, Mode, descendants, eventually, groups_of, mark, modes, processes_marked, run_with};

const MIB: u64 = 1 << 20;

/// A runner that can bound all of what it runs; none where the kernel gives nobody here such a thing.
async fn bounding(args: &[&str]) -> Option<Host> {
    let mut found = None;
    for mode in modes() {
        let host = Host::start_with(*mode, args).await;
        let capabilities = host.capabilities().await;
        match (*mode, &capabilities.memory_limit, &capabilities.process_limit) {
            (_, Availability::Available, Availability::Available) => found = Some(host),
            (Mode::Rootless, Availability::Missing { why }, Availability::Available) => {
                println!("not tried without root: {why}");
            }
            (mode, memory, processes) => panic!("{mode:?}: {memory:?}, {processes:?}"),
        }
    }
    found
}

#[tokio::test]
async fn a_command_that_uses_up_its_memory_is_killed_alone_and_says_why() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    let modest = run_with(&host, "sleep 1; echo still there", |_| {});
    let greedy = async {
        // `tail` keeps what has no end of line; in a world that was ready, and in a new one.
        for _ in 0..2 {
            let ran = run_with(&host, "tail /dev/zero; exit 3", |request| {
                request.memory_bytes_max = Some(64 * MIB);
            })
            .await;
            assert_eq!(ran.response.outcome, Outcome::OutOfMemory, "{}", ran.stderr);
            let peak = ran.response.usage.memory_peak_bytes;
            assert!((32 * MIB..=64 * MIB).contains(&peak), "{peak}");
        }
    };
    let (modest, ()) = tokio::join!(modest, greedy);
    let usage = modest.response.usage;
    assert_eq!(modest.ok(), "still there\n");
    assert!(
        usage.memory_peak_bytes > 0 && usage.memory_peak_bytes < 64 * MIB,
        "{usage:?}"
    );
}

/// Ways to use memory that do not look like it. What the page cache holds can be dropped, so it is no use of memory.
const WAYS: &[(&str, &str, Outcome)] = &[
    (
        "/tmp",
        "exec dd if=/dev/zero of=/tmp/full bs=1M count=500 2>/dev/null",
        Outcome::OutOfMemory,
    ),
    (
        "/dev/shm",
        "exec dd if=/dev/zero of=/dev/shm/full bs=1M count=500 2>/dev/null",
        Outcome::OutOfMemory,
    ),
    (
        "memfd",
        "exec perl -e 'my $n = q{x}; my $fd = syscall(319, $n, 0); open(my $f, qq{>&=$fd}) or exit 9; \
         syswrite($f, q{x} x 1048576) for 1 .. 300'",
        Outcome::OutOfMemory,
    ),
    (
        "shared memory of System V",
        "exec perl -e 'my $id = shmget(1, 300 << 20, 0x3b6) // exit 9; \
         for my $at (0 .. 299) { shmwrite($id, q{x} x 1048576, $at << 20, 1048576) or exit 8 }'",
        Outcome::OutOfMemory,
    ),
    (
        "empty files in /tmp",
        "exec perl -e 'for my $n (1 .. 400000) { open(my $f, q{>}, qq{/tmp/$n}) or exit 9 }'",
        Outcome::OutOfMemory,
    ),
    (
        "page cache",
        "dd if=/dev/zero of=big bs=1M count=200 2>/dev/null && cat big big > /dev/null",
        Outcome::Exited(0),
    ),
];

#[tokio::test]
async fn what_uses_memory_by_another_name_uses_up_its_memory() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    for (way, script, outcome) in WAYS {
        let ran = run_with(&host, script, |request| request.memory_bytes_max = Some(64 * MIB)).await;
        assert_eq!(ran.response.outcome, *outcome, "{way}: {}", ran.stderr);
    }
    // Where huge pages are set aside they are the whole machine's; here is none, or it is counted.
    let script = "exec python3 -c 'import mmap; mmap.mmap(-1, 1 << 30, flags=0x40022)' 2>/dev/null";
    let ran = run_with(&host, script, |request| request.memory_bytes_max = Some(64 * MIB)).await;
    assert_ne!(ran.response.outcome, Outcome::Exited(0));
}

/// All of a command goes with the one that used too much, whether the kernel kills only that or all.
#[tokio::test]
async fn what_shared_the_memory_does_not_outlive_it() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    let mark = mark(64);
    let script = format!("setsid sleep {mark} & sleep {mark} & tail /dev/zero");
    let ran = run_with(&host, &script, |request| {
        request.memory_bytes_max = Some(64 * MIB)
    })
    .await;
    assert_eq!(ran.response.outcome, Outcome::OutOfMemory, "{}", ran.stderr);
    assert_eq!(processes_marked(&mark), []);
}

#[tokio::test]
async fn all_commands_together_have_what_the_runner_has() {
    let limit = (128 * MIB).to_string();
    let Some(host) = bounding(&["--sandbox", "require", "--memory", &limit]).await else {
        return;
    };
    let ran = run_with(&host, "tail /dev/zero", |_| {}).await;
    assert_eq!(ran.response.outcome, Outcome::OutOfMemory, "{}", ran.stderr);
    // And the runner goes on.
    assert_eq!(run_with(&host, "echo on", |_| {}).await.ok(), "on\n");
}

#[tokio::test]
async fn a_fork_bomb_is_kept_small_and_leaves_nothing() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    let script = "i=0; while [ $i -lt 200 ]; do sleep 98765 & i=$((i+1)); done; echo all; kill 0";
    let ran = run_with(&host, script, |request| request.processes_max = Some(50)).await;
    assert!(ran.response.processes_refused > 0, "{:?}", ran.response);
    assert!(
        !ran.stdout.contains("all") || ran.stderr.contains("fork"),
        "{}",
        ran.stderr
    );
    assert_eq!(processes_marked("98765"), Vec::<i32>::new());
}

/// By a control group, which counts, or by the kernel's own limit for a user in a user namespace.
#[tokio::test]
async fn a_command_has_exactly_as_many_processes_as_it_may() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let counts = *mode == Mode::Privileged;
        // In a world that was ready, and in new ones.
        for (processes_max, outcome) in [
            (2, Outcome::Exited(0)),
            (1, Outcome::Exited(2)),
            (2, Outcome::Exited(0)),
        ] {
            let ran = run_with(&host, "sleep 0 & wait", |request| {
                request.processes_max = Some(processes_max);
            })
            .await;
            assert_eq!(
                ran.response.outcome, outcome,
                "{mode:?} {processes_max}: {}",
                ran.stderr
            );
            let refused = ran.response.processes_refused > 0;
            assert_eq!(refused, counts && processes_max == 1, "{mode:?}");
        }
        // Threads are counted too.
        let threads = "import threading, time\n\
                       for _ in range(100): threading.Thread(target=time.sleep, args=(1,), daemon=True).start()";
        let ran = run_with(
            &host,
            &format!("python3 -c '{threads}' 2>&1 | tail -n 1"),
            |request| {
                request.processes_max = Some(20);
            },
        )
        .await;
        assert_eq!(ran.ok(), "RuntimeError: can't start new thread\n");
    }
}

#[tokio::test]
async fn a_bomb_that_multiplies_is_kept_small_and_others_go_on() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let bomb = run_with(&host, "b() { b | b & }; b; sleep 60", |request| {
            request.processes_max = Some(50);
            request.timeout = Some(Duration::from_secs(2));
        });
        let others = async {
            let (mut slowest, mut most) = (Duration::ZERO, 0);
            for _ in 0..20 {
                let start = Instant::now();
                host.shell("true").await.ok();
                slowest = slowest.max(start.elapsed());
                most = most.max(descendants(host.pid()).len());
            }
            (slowest, most)
        };
        let (bomb, (slowest, most)) = tokio::join!(bomb, others);
        let outcome = bomb.response.outcome;
        assert!(
            matches!(outcome, Outcome::TimedOut | Outcome::Exited(2)),
            "{outcome:?}"
        );
        assert!(bomb.stderr.contains("Cannot fork"), "{}", bomb.stderr);
        println!("{mode:?}: beside it, `true` took {slowest:?} at most; {most} processes");
        // Fifty, an init, another command, and supervisors with ready worlds.
        assert!(most <= 50 + 30, "{most} processes");
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
        // All of it is dead.
        let spares = host.spares(1..=8).await.len();
        assert_eq!(descendants(host.pid()).len(), 2 * spares);
    }
}

#[tokio::test]
async fn a_command_that_gets_over_the_loss_of_a_process_has_succeeded() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    let ran = run_with(&host, "tail /dev/zero; echo 'got over it'", |request| {
        request.memory_bytes_max = Some(64 * MIB);
    })
    .await;
    // Version 2 kills all of it.
    if ran.response.outcome != Outcome::OutOfMemory {
        assert_eq!(ran.ok(), "got over it\n");
    }
}

#[tokio::test]
async fn groups_go_with_what_was_in_them() {
    let Some(mut host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    let runner = host.pid();
    for _ in 0..10 {
        run_with(&host, "sleep 0.01 & true", |_| {}).await.ok();
    }
    host.spares(1..=8).await;
    let groups = groups_of(runner);
    assert!(!groups.is_empty());
    let below = |group: &PathBuf| {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    let spares = host.supervisors().len();
    eventually("only waiting supervisors have groups", || {
        groups.iter().all(|group| below(group) <= spares)
    })
    .await;

    kill_process(Pid::from_raw(runner).unwrap(), Signal::TERM).unwrap();
    host.process.wait().unwrap();
    assert_eq!(groups_of(runner), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_next_runner_removes_what_a_killed_one_left() {
    let Some(mut host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    let runner = host.pid();
    host.spares(1..=8).await;
    host.process.kill().unwrap();
    host.process.wait().unwrap();
    assert!(!groups_of(runner).is_empty());
    // What it ran dies a moment after it.
    let mut next = Vec::new();
    for _ in 0..50 {
        next.push(bounding(&["--sandbox", "require"]).await);
        if groups_of(runner).is_empty() {
            return;
        }
    }
    panic!("still there: {:?}", groups_of(runner));
}

/// Four threads that do nothing but count use one processor's time, however many are idle.
#[tokio::test]
async fn a_command_uses_as_many_processors_as_it_may() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    if let Availability::Missing { why } = host.capabilities().await.processor_limit {
        println!("not tried: {why}");
        return;
    }
    let script =
        "for n in 1 2 3 4; do (while :; do :; done) & all=\"$all $!\"; done; sleep 2; kill $all; wait";
    // In a world that was ready, and in a new one.
    for network in [false, true] {
        let ran = run_with(&host, script, |request| {
            request.processors_max = Some(1);
            request.network = network;
        })
        .await;
        assert_eq!(ran.response.outcome, Outcome::Exited(0), "{}", ran.stderr);
        let usage = ran.response.usage;
        let used = Duration::from_micros(usage.user_us + usage.system_us);
        assert!(
            used <= ran.response.ran.mul_f64(1.2),
            "{used:?} in {:?}",
            ran.response.ran
        );
        assert!(used >= Duration::from_millis(300), "{used:?}: they did run");
    }
}
