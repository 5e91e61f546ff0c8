//! Why a command ended as it did, for `ExecuteResponse.server_logs` (E30).
//!
//! Written when something else than the command itself ended it, or kept it from running: then the exit code and what it
//! printed do not say enough. Build tools show or download such a log when an action fails.

use std::time::Duration;

use blob::{Blob, Digest};
use reapi::rpc::Code;
use runner_api::{BUILD_PATH, InputRootPlace, Outcome, Root, RunRequest, RunResponse};

use crate::assignment::Assignment;
use crate::outputs::{OutputError, Uploads};
use crate::worker::ActionLimits;

/// Under which name clients find it.
pub(super) const NAME: &str = "farrier";

/// A command that has ended, and what was asked for it.
pub(super) struct Account<'a> {
    /// What people call this machine.
    pub(super) worker: &'a str,
    pub(super) assignment: &'a Assignment,
    /// Says again what was asked of the runner.
    pub(super) request: &'a (dyn Fn() -> RunRequest + Send + Sync),
    pub(super) run: &'a RunResponse,
    pub(super) limits: &'a ActionLimits,
    /// This worker has ended it, because it wrote more than it may.
    pub(super) is_out_of_disk: bool,
}

impl Account<'_> {
    /// The account, if the ending needs one. `unusable` is why its outputs cannot be taken.
    pub(super) fn text(&self, unusable: Option<&OutputError>) -> Option<String> {
        let ended = match (self.is_out_of_disk, self.limits.disk_bytes_max) {
            (true, Some(bytes)) => format!(
                "killed by this worker: it wrote more than the {} MiB that an action may (--action-disk)",
                bytes >> 20
            ),
            _ => how_it_ended(self.run, unusable)?,
        };
        Some(self.details(&ended))
    }

    fn details(&self, ended: &str) -> String {
        let (assignment, run) = (self.assignment, self.run);
        let request = (self.request)();
        let usage = &run.usage;
        let ran = run.time_counted();
        let limit = |what: Option<String>| what.unwrap_or_else(|| "as all actions together".to_owned());
        let lines = [
            ("action", assignment.action_digest.digest().to_string()),
            ("worker", self.worker.to_owned()),
            ("ended", ended.to_owned()),
            ("program", first_argument(&request)),
            (
                "root",
                match request.root {
                    Root::Host => "the worker's tools".to_owned(),
                    Root::InputRoot => "the input root".to_owned(),
                    Root::Image => "an image".to_owned(),
                },
            ),
            ("inputs", place_of_inputs(&request)),
            ("directory", request.working_directory.display().to_string()),
            ("time", format!("{ran:.1?} of {:.1?}", assignment.timeout)),
            (
                "processor",
                format!(
                    "{:.1?} in user mode, {:.1?} in the kernel",
                    Duration::from_micros(usage.user_us),
                    Duration::from_micros(usage.system_us)
                ),
            ),
            (
                "memory",
                format!(
                    "{} of {}",
                    match usage.memory_peak_bytes {
                        0 => "unknown".to_owned(),
                        bytes => format!("{} MiB", bytes >> 20),
                    },
                    limit(
                        request
                            .memory_bytes_max
                            .map(|bytes| format!("{} MiB", bytes >> 20))
                    )
                ),
            ),
            (
                "processes",
                format!(
                    "at most {}; {} refused",
                    limit(request.processes_max.map(|processes| processes.to_string())),
                    run.processes_refused
                ),
            ),
            (
                "disk",
                match self.limits.disk_bytes_max {
                    Some(bytes) => format!("at most {} MiB", bytes >> 20),
                    None => "as much as there is".to_owned(),
                },
            ),
            (
                "network",
                if request.network {
                    "the worker's"
                } else {
                    "loopback only"
                }
                .to_owned(),
            ),
        ];
        in_lines(lines)
    }
}

/// Nothing where the command itself has said enough.
fn how_it_ended(run: &RunResponse, unusable: Option<&OutputError>) -> Option<String> {
    match (&run.outcome, unusable) {
        // That it could not be set up is told as this worker's failure.
        (Outcome::SetupFailed { .. }, _) | (Outcome::Exited(0), None) => None,
        (Outcome::Exited(0), Some(error)) => Some(format!(
            "exit code 0, with an output that cannot be taken: {error}"
        )),
        (Outcome::Exited(_), _) if run.processes_refused == 0 => None,
        (Outcome::Exited(code), _) => Some(format!("exit code {code}, after it could not start processes")),
        (Outcome::Signaled(signal), _) => Some(format!("killed by signal {signal}; not by this worker")),
        (Outcome::TimedOut, _) => Some("killed: out of time".to_owned()),
        (Outcome::OutOfMemory, _) => Some("killed: out of memory".to_owned()),
        (Outcome::NotStarted { errno, path }, _) => Some(format!(
            "not started: `{}`: {}",
            path.display(),
            std::io::Error::from_raw_os_error(*errno)
        )),
    }
}

/// What is said where there is nothing more to tell than a failure: the command did not run, or not to its end.
pub(super) fn of_failure(worker: &str, assignment: &Assignment, code: Code, message: &str) -> String {
    in_lines([
        ("action", assignment.action_digest.digest().to_string()),
        ("worker", worker.to_owned()),
        ("failed", message.to_owned()),
        ("status", code.as_str_name().to_owned()),
    ])
}

fn in_lines<const N: usize>(lines: [(&str, String); N]) -> String {
    let lines = lines.map(|(name, value)| format!("{name:<10} {value}\n"));
    lines.concat()
}

/// To be uploaded with the outputs.
pub(super) fn add(text: String, assignment: &Assignment, uploads: &mut Uploads) -> Digest {
    let blob = Blob::from_bytes(assignment.function, text.into_bytes());
    let digest = blob.digest();
    uploads.add_blob(blob);
    digest
}

/// Where the command sees them, if it can see anything else than the worker's own directory.
fn place_of_inputs(request: &RunRequest) -> String {
    let place = request.input_root_place.as_ref();
    match request.root {
        Root::InputRoot => "/".to_owned(),
        Root::Host | Root::Image => place.map_or(BUILD_PATH, InputRootPlace::as_str).to_owned(),
    }
}

/// Of any length and any bytes, as the client sent it.
fn first_argument(request: &RunRequest) -> String {
    let first = request.argv.first().map(Vec::as_slice).unwrap_or_default();
    let text = String::from_utf8_lossy(first);
    text.chars().flat_map(char::escape_default).take(200).collect()
}
