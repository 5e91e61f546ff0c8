//! Another process, by its number.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The number in a file; `None` if there is none, or nobody of that number.
pub(crate) fn living(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok().filter(|number| *number > 1)?)?;
    is_alive(pid).then_some(pid)
}

/// Writes a number into a file.
pub(crate) fn write(pid_file: &Path, pid: u32) -> io::Result<()> {
    fs::write(pid_file, format!("{pid}\n"))
}

fn is_alive(pid: Pid) -> bool {
    // One that has ended and that nobody has asked about is not alive any more.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    test_kill_process(pid).is_ok() && !state.starts_with('Z')
}

/// Waits until it has gone, at most for so long. Whether it has.
pub(crate) async fn wait_until_gone(pid: Pid, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn processes_live_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        assert_eq!(living(&file), None);
        for wrong in ["", "x", "-1", "0", "1"] {
            fs::write(&file, wrong).unwrap();
            assert_eq!(living(&file), None, "{wrong}");
        }
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        write(&file, child.id()).unwrap();
        let pid = living(&file).unwrap();
        assert!(!wait_until_gone(pid, Duration::ZERO).await);
        child.kill().unwrap();
        assert!(
            wait_until_gone(pid, Duration::from_secs(60)).await,
            "though nobody has asked about it"
        );
        child.wait().unwrap();
        assert_eq!(living(&file), None);
    }
}
