//! Runners that are killed while commands run, again and again.

use std::fs;

use tokio_util::sync::CancellationToken;

use crate::host::{Host, clinging, descendants, eventually, groups_of, mark, modes, processes_marked, shell};

/// How often: this many times in each mode, 25 if the environment does not say.
fn cycles() -> usize {
    std::env::var("FARRIER_KILL_CYCLES")
        .map_or(25, |text| text.parse().expect("FARRIER_KILL_CYCLES is a number"))
}

/// Or waits only for whoever adopted it to notice.
fn is_dead(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .count()
}

#[tokio::test]
async fn killed_runners_leave_nothing() {
    let before = mounts();
    let mark = mark(63);
    for mode in modes() {
        let mut runners = Vec::new();
        for _ in 0..cycles() {
            let mut host = Host::start(*mode).await;
            let build = host.build().await;
            let never = CancellationToken::new();
            let killed = async {
                eventually("all of it runs", || processes_marked(&mark).len() >= 6).await;
                let everything = descendants(host.pid());
                crate::host::kill(host.pid());
                everything
            };
            let (lost, everything) = tokio::join!(
                runner_api::Runner::run(&host.runner, shell(&build, &clinging(&mark)), &never),
                killed
            );
            assert!(lost.is_err(), "{lost:?}");
            host.process.wait().unwrap();
            eventually("all of it is dead", || everything.iter().all(|pid| is_dead(*pid))).await;
            // And what was started between the look and the kill.
            eventually("nothing of it is left", || processes_marked(&mark).is_empty()).await;
            runners.push(host.pid());
        }
        // The next one tidies up; and leaves nothing itself when it may end by itself.
        let mut last = Host::start(*mode).await;
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(last.pid()).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        last.process.wait().unwrap();
        runners.push(last.pid());
        // A number that somebody has again, perhaps a runner of another test, says nothing.
        for runner in runners.into_iter().filter(|runner| is_dead(*runner)) {
            assert_eq!(groups_of(runner), Vec::<std::path::PathBuf>::new(), "{mode:?}");
        }
    }
    assert_eq!(mounts(), before);
}
