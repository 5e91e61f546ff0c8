//! Output without an end.

use std::fs;
use std::time::Duration;

use runner_api::{Outcome, RunRequest};

use crate::host::{Build, Host, descendants, modes, shell};

const MIB: u64 = 1 << 20;
/// How much of each stream is kept.
const KEPT: u64 = MIB;

/// How much goes to each of the two streams: this many GiB, 1 if the environment does not say.
fn gibibytes() -> u64 {
    std::env::var("FARRIER_FLOOD_GIB").map_or(1, |text| text.parse().expect("FARRIER_FLOOD_GIB is a number"))
}

/// The most memory that a process has had in its life, bytes; zero if it is gone.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// The most that a runner, its supervisors and their inits have had.
fn peak_of_all(host: &Host) -> u64 {
    let supervisors = host.supervisors();
    let inits = supervisors
        .iter()
        .flat_map(|supervisor| descendants(*supervisor).into_iter().take(1));
    let own = supervisors.iter().copied().chain(inits).chain([host.pid()]);
    own.map(peak).max().unwrap_or(0)
}

/// Runs it and measures, until it has ended.
async fn flood(
    host: &Host,
    build: &Build,
    script: &str,
    timeout: Duration,
) -> (runner_api::RunResponse, u64) {
    let request = RunRequest {
        timeout: Some(timeout),
        output_log_bytes_max: KEPT,
        ..shell(build, script)
    };
    let never = tokio_util::sync::CancellationToken::new();
    let mut run = std::pin::pin!(runner_api::Runner::run(&host.runner, request, &never));
    let mut most = 0;
    loop {
        tokio::select! {
            response = &mut run => return (response.unwrap(), most),
            () = tokio::time::sleep(Duration::from_millis(50)) => most = most.max(peak_of_all(host)),
        }
    }
}

#[tokio::test]
async fn a_flood_costs_no_memory_and_is_counted_to_the_byte() {
    let each = gibibytes() << 30;
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let script = format!("head -c {each} /dev/zero & head -c {each} /dev/zero >&2; wait");
        let (response, most) =
            flood(&host, &build, &script, Duration::from_secs(30 + 60 * gibibytes())).await;
        assert_eq!(response.outcome, Outcome::Exited(0));
        assert!(response.stdout_truncated && response.stderr_truncated);
        for (name, path) in [("stdout", &build.stdout), ("stderr", &build.stderr)] {
            let log = fs::read(path).unwrap();
            let (kept, marker) = log.split_at(KEPT as usize);
            assert!(kept.iter().all(|byte| *byte == 0));
            let expected = runner_api::log_marker(name, KEPT, each - KEPT, false);
            assert_eq!(String::from_utf8_lossy(marker), expected);
        }
        assert!(0 < most && most < 32 * MIB, "{mode:?}: {most} bytes");
    }
}

#[tokio::test]
async fn a_flood_without_an_end_is_ended_by_the_clock() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let (response, _) = flood(&host, &build, "yes & yes >&2", Duration::from_secs(1)).await;
        assert_eq!(response.outcome, Outcome::TimedOut);
        // What is reported is what the timeout was counted by (E14).
        let ran = response.ran;
        assert!(
            Duration::from_secs(1) <= ran && ran < Duration::from_secs(4),
            "{mode:?}: {ran:?}"
        );
        assert!(response.stdout_truncated && response.stderr_truncated);
        let log = fs::read_to_string(&build.stderr).unwrap();
        assert!(log.starts_with("y\ny\n") && log.ends_with("bytes were dropped]\n"));
    }
}
