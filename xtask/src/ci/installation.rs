//! What the tests need from the network, fetched while other steps run.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use super::{COMMAND_AT_MOST, command, patience, target};

/// The rest of `e2e/install`, beside steps that do not need it: it waits for the network while they wait for the
/// processor.
pub(super) struct Installation {
    thread: Option<JoinHandle<Result<()>>>,
    log: PathBuf,
    started: Instant,
}

impl Installation {
    pub(super) fn start() -> Result<Self> {
        let log = target()?.join("install.log");
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = command("e2e/install")?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        println!(
            "\n=== install: e2e/install, beside what follows; it writes to {}",
            log.display()
        );
        let thread = thread::spawn(move || {
            let status = patience::end_of(&mut command, COMMAND_AT_MOST).context("install")?;
            ensure!(status.success(), "install failed: {status}");
            Ok(())
        });
        Ok(Installation {
            thread: Some(thread),
            log,
            started: Instant::now(),
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(super) fn end(mut self) -> Result<()> {
        let thread = self.thread.take().context("install has ended before")?;
        let outcome = thread.join().map_err(|_panic| anyhow!("install panicked"))?;
        if outcome.is_err() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
        outcome?;
        println!(
            "\n=== install: ended; it began {} s ago",
            self.started.elapsed().as_secs()
        );
        Ok(())
    }
}

impl Drop for Installation {
    /// Where a step fails meanwhile: nothing is left half-installed.
    fn drop(&mut self) {
        if let Some(Err(_panic)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("install panicked");
        }
    }
}
