//! `farrier daemon start` in reproxy's place: the program as bootstrap starts it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far more than it takes to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// By itself after a while, or because somebody ends it: then nobody asks for the sums.
#[test]
fn what_there_is_to_say_of_a_daemon_is_written_however_it_ends() {
    for (idle, is_told) in [("1s", false), ("1h", true)] {
        let directory = TempDir::new().unwrap();
        let logs = directory.path().join("logs");
        let words = ["daemon", "start", "--remote-disabled", "--cache-size", "0"];
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_farrier"))
            .args(words)
            .args(["--idle", idle, "--log-dir"])
            .arg(&logs)
            .env("FARRIER_STATE_DIR", directory.path().join("state"))
            .env_remove("FARRIER_SOCKET")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        if is_told {
            let socket = directory.path().join("state/daemon.socket");
            wait_until("the daemon listens", || socket.exists());
            let process = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
            kill_process(process, Signal::TERM).unwrap();
        }
        assert!(daemon.wait().unwrap().success());
        let names = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path());
        let ends: Vec<_> = names
            .map(|path| path.extension().unwrap_or_default().to_owned())
            .collect();
        assert!(ends.iter().any(|end| end == "rpi"), "--idle {idle}: {ends:?}");
    }
}
