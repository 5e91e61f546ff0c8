//! How a command ended, and how that is told to the client.

use action::Report;
use reapi::execution::ActionResult;
use reapi::rpc::Code;
use runner_api::{Outcome, RunResponse};

use super::failure::{Failure, output_code};
use super::left_behind::LeftBehind;
use crate::assignment::Assignment;
use crate::outputs::{Log, Outputs};
use crate::worker::ActionLimits;

/// How a command ended, in the client's terms.
pub(super) struct Ending {
    exit_code: i32,
    timed_out: bool,
    /// Whether it ran at all.
    pub(super) started: bool,
    /// For the user.
    messages: Vec<String>,
}

impl Ending {
    /// `limits` are what the command may have; `is_out_of_disk`: it was ended because it wrote more.
    pub(super) fn of(
        run: &RunResponse,
        limits: &ActionLimits,
        is_out_of_disk: bool,
    ) -> Result<Self, Failure> {
        let mut ending = Self::of_outcome(&run.outcome, run, limits)?;
        if let (true, Some(bytes)) = (is_out_of_disk, limits.disk_bytes_max) {
            ending.messages = vec![format!(
                "the command was ended because it wrote more than the {} MiB that an action may (--action-disk)",
                bytes >> 20
            )];
        }
        if run.processes_refused > 0 && ending.exit_code != 0 {
            let message = format!(
                "{} times a process could not be started, because the command had as many as it may{}",
                run.processes_refused,
                limits
                    .processes_max
                    .map_or_else(String::new, |max| format!(" ({max})"))
            );
            ending.messages.push(message);
        }
        Ok(ending)
    }

    fn of_outcome(outcome: &Outcome, run: &RunResponse, limits: &ActionLimits) -> Result<Self, Failure> {
        let ended = Ending {
            exit_code: 0,
            timed_out: false,
            started: true,
            messages: Vec::new(),
        };
        match outcome {
            // As the kernel's own kill would look.
            Outcome::OutOfMemory => Ok(Ending {
                exit_code: 128 + SIGKILL,
                messages: vec![out_of_memory(run.usage.memory_peak_bytes, limits)],
                ..ended
            }),
            Outcome::Exited(exit_code) => Ok(Ending {
                exit_code: *exit_code,
                ..ended
            }),
            // As a shell says it (E32).
            Outcome::Signaled(signal) => {
                let message = format!(
                    "the command was killed by signal {signal}{}",
                    signal_name(*signal)
                );
                Ok(Ending {
                    exit_code: 128 + signal,
                    messages: vec![message],
                    ..ended
                })
            }
            // Clients must not take it for a success, should they look at nothing but the exit code.
            Outcome::TimedOut => Ok(Ending {
                exit_code: 128 + SIGKILL,
                timed_out: true,
                ..ended
            }),
            // As a shell says it, so that users see it where they look: in the exit code and in stderr (E17).
            Outcome::NotStarted { errno, path } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                let message = format!("cannot run `{}`: {error}", path.display());
                let exit_code = if error.kind() == std::io::ErrorKind::NotFound {
                    127
                } else {
                    126
                };
                Ok(Ending {
                    exit_code,
                    started: false,
                    messages: vec![message],
                    ..ended
                })
            }
            Outcome::SetupFailed { message } => Err(Failure::Status(
                Code::Unavailable,
                format!("the runner could not set up the command: {message}"),
            )),
        }
    }

    /// Whether it went on until it was done, and failed.
    pub(super) fn is_failure(&self) -> bool {
        self.started && self.exit_code != 0 && !self.timed_out
    }

    /// The disk is full: the command may well succeed on another worker.
    pub(super) fn for_want_of_disk(&self) -> Failure {
        Failure::Status(
            Code::Unavailable,
            format!(
                "this worker's disk is full, and the command failed with exit code {}",
                self.exit_code
            ),
        )
    }

    /// What the runner did not say in the command's own stderr.
    pub(super) fn stderr_line(&self) -> Option<String> {
        let message = self.messages.first().filter(|_| !self.started)?;
        Some(format!("farrier: {message}\n"))
    }

    pub(super) fn report(self, left_behind: LeftBehind, assignment: &Assignment) -> Report {
        let LeftBehind {
            stdout,
            stderr,
            outputs,
            ..
        } = left_behind;
        let (outputs, unusable) = match outputs {
            Ok(outputs) => (outputs, None),
            Err(error) => (Outputs::default(), Some(error)),
        };
        let mut messages = self.messages;
        messages.extend(skipped(&outputs));
        let result = result(self.exit_code, stdout, stderr, outputs);
        let report = match unusable {
            _ if self.timed_out => Report::timed_out(result, assignment.timeout),
            None => Report::success(result),
            // A command that failed often leaves odd things behind; that it failed is what the user has to know.
            Some(error) if self.exit_code != 0 => {
                messages.push(error.to_string());
                Report::success(result)
            }
            Some(error) => Report::failed(output_code(&error), error.to_string()).with_result(result),
        };
        report.with_message(messages.join("\n"))
    }
}

fn out_of_memory(peak_bytes: u64, limits: &ActionLimits) -> String {
    let may = match limits.memory_bytes_max {
        Some(max) => format!("it may have {} MiB", max >> 20),
        None => "all actions of this worker together had used up what they may have".to_owned(),
    };
    format!(
        "out of memory: the command was killed when its processes used {} MiB; {may}",
        peak_bytes >> 20
    )
}

pub(super) const SIGKILL: i32 = 9;

/// Names of the signals that end commands in practice.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        SIGKILL => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        31 => " (SIGSYS)",
        _ => "",
    }
}

#[allow(deprecated, reason = "clients of API 2.0 read the two old lists of symlinks")]
fn result(exit_code: i32, stdout: Log, stderr: Log, outputs: Outputs) -> ActionResult {
    ActionResult {
        exit_code,
        stdout_raw: stdout.raw,
        stdout_digest: stdout.digest,
        stderr_raw: stderr.raw,
        stderr_digest: stderr.digest,
        output_files: outputs.files,
        output_directories: outputs.directories,
        output_symlinks: outputs.symlinks,
        output_file_symlinks: outputs.file_symlinks,
        output_directory_symlinks: outputs.directory_symlinks,
        ..ActionResult::default()
    }
}

fn skipped(outputs: &Outputs) -> Option<String> {
    let (named, count) = &outputs.skipped;
    (*count > 0).then(|| {
        let named = named.join("`, `");
        format!("{count} sockets, pipes or devices in output directories were left out: `{named}`")
    })
}
