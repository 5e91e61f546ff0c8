//! Commands that want more memory or more processes than they may have.
//!
//! Without root there is nothing to bound them with on most machines, so there it is only checked that the runner says
//! so.

use std::fs;
use std::path::PathBuf;

use runner_api::{Availability, Outcome, RunRequest};
use rustix::process::{Pid, Signal, kill_process};

use crate::host::{Host, Mode, eventually, modes, shell};

const MIB: u64 = 1 << 20;

/// A runner that can bound what it runs.
async fn bounding(args: &[&str]) -> Option<Host> {
    let mut found = None;
    for mode in modes() {
        let host = Host::start_with(*mode, args).await;
        let capabilities = host.capabilities().await;
        match (*mode, &capabilities.memory_limit, &capabilities.process_limit) {
            (_, Availability::Available, Availability::Available) => found = Some(host),
            (Mode::Rootless, Availability::Missing { why }, _) => assert!(!why.is_empty()),
            (mode, memory, processes) => panic!("{mode:?}: {memory:?}, {processes:?}"),
        }
    }
    found
}

async fn run_with(host: &Host, script: &str, limit: impl FnOnce(&mut RunRequest)) -> crate::host::Ran {
    let build = host.build().await;
    let mut request = shell(&build, script);
    limit(&mut request);
    host.run(&build, request).await
}

/// The control groups of a runner, wherever they are.
fn groups_of(runner: i32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() == format!("farrier-{runner}").as_str() {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
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

#[tokio::test]
async fn what_fills_its_own_tmp_uses_up_its_memory() {
    let Some(host) = bounding(&["--sandbox", "require"]).await else {
        return;
    };
    for place in ["/tmp", "/dev/shm"] {
        let script = format!("dd if=/dev/zero of={place}/full bs=1M count=500 2>/dev/null");
        let ran = run_with(&host, &script, |request| {
            request.memory_bytes_max = Some(64 * MIB)
        })
        .await;
        assert_eq!(
            ran.response.outcome,
            Outcome::OutOfMemory,
            "{place}: {}",
            ran.stderr
        );
    }
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
    assert_eq!(crate::host::processes_marked("98765"), Vec::<i32>::new());

    // Exactly as many as it may have.
    for (processes_max, outcome) in [(2, Outcome::Exited(0)), (1, Outcome::Exited(2))] {
        let ran = run_with(&host, "sleep 0 & wait", |request| {
            request.processes_max = Some(processes_max);
        })
        .await;
        assert_eq!(ran.response.outcome, outcome, "{processes_max}: {}", ran.stderr);
        assert_eq!(ran.response.processes_refused > 0, processes_max == 1);
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
