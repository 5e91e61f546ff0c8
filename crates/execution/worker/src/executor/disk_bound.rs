//! A command that writes more than it may is ended, and the user told so.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use runner_api::{Outcome, ResourceUsage, RunError, RunResponse};
use tokio_util::sync::CancellationToken;

use super::ending::SIGKILL;
use crate::blocking::blocking;
use crate::disk_use::DiskUse;
use crate::limits::DISK_LOOK_INTERVAL;

/// What a command may write, and where.
pub(super) struct DiskBound {
    pub(super) used: Arc<DiskUse>,
    pub(super) bytes_max: u64,
}

impl DiskBound {
    /// Waits until more is written than may be.
    async fn is_passed(&self) {
        loop {
            tokio::time::sleep(DISK_LOOK_INTERVAL).await;
            let used = self.used.clone();
            match blocking(move || used.written()).await {
                Ok(written) if written > self.bytes_max => return,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "how much an action has written cannot be seen"),
            }
        }
    }
}

/// Runs a command, and ends it by `ending` when it passes its bound. Also answers whether it was ended so.
pub(super) async fn run_within(
    bound: Option<DiskBound>,
    run: impl Future<Output = Result<RunResponse, RunError>>,
    ending: &CancellationToken,
) -> (Result<RunResponse, RunError>, bool) {
    let Some(bound) = bound else {
        return (run.await, false);
    };
    let (began, began_at) = (Instant::now(), SystemTime::now());
    let mut run = pin!(run);
    tokio::select! {
        ran = &mut run => (ran, false),
        () = bound.is_passed() => {
            ending.cancel();
            match run.await {
                Err(RunError::Cancelled) => (Ok(killed(began.elapsed(), began_at)), true),
                // It has ended by itself meanwhile, or cannot be ended.
                other => (other, false),
            }
        }
    }
}

/// As the runner would tell of a command that the kernel has killed.
fn killed(ran: Duration, began_at: SystemTime) -> RunResponse {
    let unix_ns = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    };
    RunResponse {
        outcome: Outcome::Signaled(SIGKILL),
        usage: ResourceUsage::default(),
        started_unix_ns: unix_ns(began_at),
        finished_unix_ns: unix_ns(SystemTime::now()),
        ran,
        stdout_truncated: false,
        stderr_truncated: false,
        processes_refused: 0,
        clock_stopped_ns: 0,
    }
}
