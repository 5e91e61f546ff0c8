//! The worker of `farrier up`: a process of its own, started again whenever it dies.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tasks::CancellationToken;
use tokio::process::{Child, Command};

use crate::bad_options::{BadOptions, EXIT_BAD_OPTIONS};

/// A worker that lived this long before it died is started again at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Wait before the second start in a row; doubles up to the longest.
const RESTART_WAIT_MIN: Duration = Duration::from_millis(100);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(10);

/// How the worker is started.
pub(crate) struct WorkerProcess {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Longest that a stopping worker may take to finish what it runs.
    pub(crate) drain: Duration,
}

impl WorkerProcess {
    /// Keeps a worker alive until `stop`, then lets it drain. An error if it cannot work with its options: then no
    /// other start would end differently.
    pub(crate) async fn keep_alive(self, stop: CancellationToken) -> Result<()> {
        let mut wait = RESTART_WAIT_MIN;
        while !stop.is_cancelled() {
            let started = Instant::now();
            match self.run_once(&stop).await {
                Ok(None) => return Ok(()),
                Ok(Some(status)) if status.code() == Some(EXIT_BAD_OPTIONS.into()) => {
                    return Err(BadOptions::message(
                        "the worker cannot work with these options, as it says above; it is not started again",
                    ));
                }
                Ok(Some(status)) => eprintln!("farrier: the worker ended ({status}); starting it again"),
                Err(error) => eprintln!("farrier: {error:#}; trying again"),
            }
            if started.elapsed() > HEALTHY_AFTER {
                wait = RESTART_WAIT_MIN;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RESTART_WAIT_MAX);
        }
        Ok(())
    }

    /// `None` when it ended because it was asked to.
    async fn run_once(&self, stop: &CancellationToken) -> Result<Option<ExitStatus>> {
        let mut child = self.spawn()?;
        // Kept here: `wait` would close it, and the worker takes that for our end.
        let _stdin = child.stdin.take();
        tokio::select! {
            status = child.wait() => return Ok(Some(status.context("cannot wait for the worker")?)),
            () = stop.cancelled() => {}
        }
        if let Some(pid) = child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id as i32))
        {
            // It may have died in this moment; `wait` below tells.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(self.drain, child.wait()).await.is_err() {
            eprintln!(
                "farrier: the worker did not finish within {} s; ending it",
                self.drain.as_secs()
            );
            child.kill().await.context("cannot end the worker")?;
        }
        Ok(None)
    }

    fn spawn(&self) -> Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            // The worker watches the other end of this pipe: it dies with us, however we die.
            .stdin(Stdio::piped())
            // Ctrl-C goes to a terminal's whole foreground group; the worker is told by us instead, so it can drain.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start the worker {}", self.program.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A worker that counts its starts in `log`, and then ends as `end` says.
    fn shell(log: &std::path::Path, end: &str) -> WorkerProcess {
        let script = format!("echo started >> '{}'; {end}", log.display());
        WorkerProcess {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            drain: Duration::from_secs(10),
        }
    }

    #[tokio::test]
    async fn a_worker_that_cannot_work_with_its_options_is_started_once() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let error = shell(&log, "exit 2")
            .keep_alive(CancellationToken::new())
            .await
            .unwrap_err();
        assert!(error.is::<BadOptions>(), "{error}");
        assert_eq!(fs::read_to_string(&log).unwrap(), "started\n");
    }

    #[tokio::test]
    async fn a_worker_that_dies_otherwise_is_started_again() {
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        // Fails, is killed, and only then says that it cannot work: so the test ends.
        let end = format!(
            "case $(wc -l < '{}') in 1) exit 1;; 2) kill -9 $$;; *) exit 2;; esac",
            log.display()
        );
        shell(&log, &end)
            .keep_alive(CancellationToken::new())
            .await
            .unwrap_err();
        assert_eq!(fs::read_to_string(&log).unwrap(), "started\n".repeat(3));
    }
}
