//! A runner that somebody else has started, perhaps as another user and in another container.

use std::path::Path;
use std::process::ExitStatus;

use anyhow::Result;
use runner_api::{Capabilities, UidMode, UnixRunner};

use super::runner_process::RunnerProcess;
use crate::bad_options::BadOptions;

/// The runner that a worker works with.
pub(super) enum UsedRunner {
    /// A child, which ends with the worker.
    Own(Box<RunnerProcess>),
    /// Somebody else's. When it ends, actions fail with UNAVAILABLE until it is back, and run elsewhere.
    Others(UnixRunner),
}

impl UsedRunner {
    /// Speaks to it, for as long as this lives.
    pub(super) fn client(&self) -> UnixRunner {
        match self {
            UsedRunner::Own(process) => process.client(),
            UsedRunner::Others(runner) => runner.clone(),
        }
    }

    /// Returns when a child has ended. Of somebody else's nobody tells us.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        match self {
            UsedRunner::Own(process) => process.ended().await,
            UsedRunner::Others(_) => std::future::pending().await,
        }
    }
}

/// The one at this socket, if it is root's, this user's, or that of the user who is named.
pub(super) fn at(socket: &Path, named_uid: Option<u32>) -> UnixRunner {
    let own = rustix::process::geteuid().as_raw();
    let trusted = [0, own].into_iter().chain(named_uid);
    UnixRunner::of_users(socket, trusted.collect())
}

/// Whether the files of one are of use to the other.
pub(super) fn check(capabilities: &Capabilities, persistent_processes: u32) -> Result<()> {
    let own = rustix::process::geteuid().as_raw();
    check_as(own, capabilities, persistent_processes)
}

fn check_as(own: u32, capabilities: &Capabilities, persistent_processes: u32) -> Result<()> {
    let Capabilities {
        uid_mode, action_uid, ..
    } = capabilities;
    match uid_mode {
        UidMode::Rootless if own != *action_uid => Err(BadOptions::message(format!(
            "the runner's commands are user {action_uid}, this worker is user {own}, and neither can give its files to the \
             other: start the runner as root, or both as one user"
        ))),
        UidMode::Privileged if own != 0 && persistent_processes > 0 => Err(BadOptions::message(
            "--persistent-workers needs a worker that is root when the runner is another user: files come and go while \
             such a process runs",
        )),
        UidMode::Rootless | UidMode::Privileged => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use runner_api::Availability;

    use super::*;

    #[test]
    fn worker_and_runner_fit_if_somebody_can_give_files_away() {
        for (own, uid_mode, action_uid, persistent, fits) in [
            (0, UidMode::Privileged, 62_000, 4, true),
            (1000, UidMode::Privileged, 62_000, 0, true),
            (1000, UidMode::Privileged, 62_000, 1, false),
            (1000, UidMode::Rootless, 1000, 4, true),
            (0, UidMode::Rootless, 1000, 4, false),
            (1000, UidMode::Rootless, 1001, 0, false),
        ] {
            let capabilities = Capabilities {
                mechanisms: Vec::new(),
                uid_mode,
                hardlinks_safe: false,
                action_uid,
                action_gid: action_uid,
                runs_max: 1,
                memory_limit: Availability::Available,
                overlays: Availability::Available,
                process_limit: Availability::Available,
                processor_limit: Availability::Available,
            };
            let checked = check_as(own, &capabilities, persistent);
            assert_eq!(
                checked.is_ok(),
                fits,
                "{own} {uid_mode:?} {action_uid} {persistent}"
            );
        }
    }
}
