//! Why a command ended as it did, for `ExecuteResponse.server_logs` (E30).
//!
//! Written when something else than the command itself ended it, or kept it from running: then the exit code and what it
//! printed do not say enough. Build tools show or download such a log when an action fails.

use std::time::Duration;

use blob::{Blob, Digest};
use runner_api::{BUILD_PATH, InputRootPlace, Outcome, Root, RunRequest, RunResponse};

use crate::assignment::Assignment;
use crate::outputs::Uploads;

/// Under which name clients find it.
pub(super) const NAME: &str = "farrier";

/// The account, if the ending needs one. `worker` is what people call this machine, `request` says again what was asked of
/// the runner.
pub(super) fn account(
    worker: &str,
    assignment: &Assignment,
    request: impl FnOnce() -> RunRequest,
    run: &RunResponse,
) -> Option<String> {
    let ended = match &run.outcome {
        // That it could not be set up is told as this worker's failure.
        Outcome::Exited(0) | Outcome::SetupFailed { .. } => return None,
        Outcome::Exited(_) if run.processes_refused == 0 => return None,
        Outcome::Exited(code) => format!("exit code {code}, after it could not start processes"),
        Outcome::Signaled(signal) => format!("killed by signal {signal}; not by this worker"),
        Outcome::TimedOut => "killed: out of time".to_owned(),
        Outcome::OutOfMemory => "killed: out of memory".to_owned(),
        Outcome::NotStarted { errno, path } => format!(
            "not started: `{}`: {}",
            path.display(),
            std::io::Error::from_raw_os_error(*errno)
        ),
    };
    let request = request();
    let usage = &run.usage;
    let ran = run.time_counted();
    let limit = |what: Option<String>| what.unwrap_or_else(|| "as all actions together".to_owned());
    let lines = [
        ("action", assignment.action_digest.digest().to_string()),
        ("worker", worker.to_owned()),
        ("ended", ended),
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
            "network",
            if request.network {
                "the worker's"
            } else {
                "loopback only"
            }
            .to_owned(),
        ),
    ];
    let lines = lines.map(|(name, value)| format!("{name:<10} {value}\n"));
    Some(lines.concat())
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
