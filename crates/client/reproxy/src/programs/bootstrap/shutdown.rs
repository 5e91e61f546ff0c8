//! After a build.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use reclient::address::Address;
use reclient_api::stats::Stats;

use super::{Bootstrap, CALL};
use crate::client::Reproxy;
use crate::programs::EXIT_WRONG;
use crate::programs::metrics::{from_logs, output_directory, publish};
use crate::programs::process;

/// How long reaching it may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What came of ending a reproxy.
pub(crate) enum Ended {
    /// It has gone, and these are its sums.
    Gone(Option<Box<Stats>>),
    /// There was none.
    Nobody,
    /// It is still there, for this reason.
    Still(String),
}

/// Ends the reproxy at an address, at most for so long.
pub(crate) async fn end_reproxy(address: &Address, pid_file: &Path, limit: Duration) -> Ended {
    let Ok(reproxy) = Reproxy::connect(address, CONNECT_MAX).await else {
        return Ended::Nobody;
    };
    let pid = process::living(pid_file);
    let answer = match tokio::time::timeout(limit, reproxy.shut_down()).await {
        Err(_) => return Ended::Still(format!("it has not ended after {} s", limit.as_secs())),
        Ok(Err(status)) => return Ended::Still(format!("it does not end: {}", status.message())),
        Ok(Ok(stats)) => stats,
    };
    // It has answered, and ends: what it has stored is stored when its process is no more.
    if let Some(pid) = pid
        && !process::wait_until_gone(pid, limit).await
    {
        return Ended::Still(format!("its process is still there after {} s", limit.as_secs()));
    }
    // Nobody's number any more.
    let _ = std::fs::remove_file(pid_file);
    Ended::Gone(answer.map(Box::new))
}

/// Ends reproxy, and says how the build was: from its logs, or in a hurry from reproxy's own sums.
pub(super) async fn shut_down(bootstrap: &Bootstrap) -> ExitCode {
    let flags = &bootstrap.flags;
    let complain = |line: &str| eprintln!("bootstrap: {line}");
    let limit = Duration::from_secs(u64::try_from(flags.int("shutdown_seconds")).unwrap_or_default());
    let own = match end_reproxy(&bootstrap.address, &bootstrap.pid_file, limit).await {
        Ended::Gone(stats) => stats,
        Ended::Nobody => {
            complain(&format!(
                "warning: no reproxy is running at {}",
                bootstrap.address
            ));
            None
        }
        Ended::Still(why) => return CALL.wrong(&format!("{}: {why}", bootstrap.address)),
    };
    let own = own.map(|stats| *stats);
    let stats = match (flags.bool("fast_log_collection"), own) {
        (true, Some(stats)) => Some(stats),
        (_, own) => from_logs(flags, &complain).or(own),
    };
    let is_published = match stats {
        Some(stats) => publish(&stats, &output_directory(flags), &complain),
        // Neither logs nor a reproxy: there is nothing to say.
        None => true,
    };
    if is_published {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_WRONG)
    }
}
