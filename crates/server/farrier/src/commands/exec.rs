//! `farrier exec`: one command, run remotely, as if it had run here.
//!
//! Exit codes: the command's own; 124 if it was killed because its time was over; 125 if it could not be executed at
//! all or its outputs could not be fetched; 130 after Ctrl-C. These are the codes of `timeout` and of shells.

mod live;
mod observed;
mod prepare;
mod progress;
mod result;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blob::{DigestFunction, InstanceName};
use clap::Args;
use reapi::execution::ExecuteOperationMetadata;
use remote_action::{Execution, Observer, OperationSlot, describe};
use worker_api::v1::ObservedInputs;

use self::live::LiveOutput;
use self::prepare::prepare;
use self::progress::Progress;
pub(super) use self::result::{made, symlinks};
use super::connection::ServerOptions;
use super::output::explained;
use super::timings::seconds;
use crate::durations;

/// What `farrier exec` can be told.
#[derive(Args, Debug)]
pub(crate) struct ExecOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// A file or directory the command needs; repeat for several. It goes where it is (`src` to `src`, `.` to the
    /// root), or to its base name if its path is absolute or starts with `..`, or where SOURCE=PATH says.
    #[arg(long = "input", short = 'i', value_name = "PATH")]
    inputs: Vec<String>,
    /// A file or directory the command makes, relative to its working directory; repeat for several.
    #[arg(long = "output", short = 'o', value_name = "PATH")]
    outputs: Vec<String>,
    /// Where outputs are put, at the paths that they have in the tree.
    #[arg(long, default_value = ".", value_name = "DIR")]
    output_dir_to: PathBuf,
    /// A platform property the worker must have, for example OSFamily=linux; repeat for several.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    platform: Vec<(String, String)>,
    /// An environment variable of the command; nothing is inherited. Repeat for several.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    env: Vec<(String, String)>,
    /// Kill the command after this long, for example 30s or 10m [default: the server's].
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    timeout: Option<Duration>,
    /// Do not keep the result, nor share this execution with others (Action.do_not_cache).
    #[arg(long)]
    no_cache: bool,
    /// Execute even if the result is known.
    #[arg(long)]
    skip_cache: bool,
    /// Say which inputs the command has read and what it has looked for in vain (the platform property `observe-inputs`),
    /// on standard error.
    #[arg(long)]
    observe: bool,
    /// The lower, the sooner.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    priority: i32,
    /// The command's working directory, relative to the root of the tree. It is made if no input makes it.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATH")]
    workdir: String,
    /// Show the command's output while it runs, as is done on a terminal anyway. Should its worker be lost, the command
    /// starts again, and all of its output is printed once more.
    #[arg(long)]
    follow: bool,
    /// Only the command's own output.
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Every step, also when standard error is no terminal.
    #[arg(long, short)]
    verbose: bool,
    /// The command and its arguments.
    #[arg(
        trailing_var_arg = true,
        required = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

/// The command was killed because its time was over.
const EXIT_TIMED_OUT: u8 = 124;
/// The command could not be executed.
const EXIT_NOT_EXECUTED: u8 = 125;
/// Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

/// Runs `farrier exec`. Never an error: what goes wrong has an exit code of its own.
pub(crate) async fn exec(options: ExecOptions) -> Result<ExitCode> {
    let operation = OperationSlot::default();
    let outcome = tokio::select! {
        outcome = journey(&options, &operation) => outcome,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => {
                if let Some(outcome) = operation.cancel().await {
                    eprintln!("farrier: {outcome}");
                }
                return Ok(ExitCode::from(EXIT_INTERRUPTED));
            }
            Err(error) => Err(error).context("cannot wait for Ctrl-C"),
        },
    };
    Ok(outcome.unwrap_or_else(|error| {
        eprintln!("farrier: {}", explained(&error));
        ExitCode::from(EXIT_NOT_EXECUTED)
    }))
}

/// Runs a command without inputs and outputs, as `farrier up` does with its first one.
pub(crate) async fn run_command(
    endpoint: String,
    instance: InstanceName,
    command: Vec<String>,
) -> Result<ExitCode> {
    let server = ServerOptions {
        trust: Default::default(),
        endpoint,
        instance,
        digest_function: DigestFunction::Sha256,
    };
    let options = ExecOptions {
        server,
        inputs: Vec::new(),
        outputs: Vec::new(),
        output_dir_to: ".".into(),
        platform: Vec::new(),
        env: Vec::new(),
        timeout: None,
        no_cache: false,
        skip_cache: false,
        observe: false,
        priority: 0,
        workdir: String::new(),
        follow: false,
        quiet: false,
        verbose: false,
        command,
    };
    journey(&options, &OperationSlot::default()).await
}

/// The journey: hash, upload, execute, download.
async fn journey(options: &ExecOptions, operation: &OperationSlot) -> Result<ExitCode> {
    let start = Instant::now();
    let progress = Arc::new(Progress::new(options.quiet, options.verbose));
    let prepared = prepare(options).await?;
    progress.step(|| format!("action {}", prepared.action_digest));
    let server = options.server.connect().await?;
    let live = LiveOutput::new();
    let observer = Watching {
        progress: &progress,
        live: &live,
    };
    let execution = Execution {
        server: &server,
        action_digest: prepared.action_digest,
        skip_cache_lookup: options.skip_cache,
        priority: options.priority,
        observer: &observer,
        operation,
    };
    let executing = execution.run_with(&prepared.sources);
    // A program that reads the output gets it once, whatever happens to workers.
    let response = match options.follow || std::io::stdout().is_terminal() {
        true => live.beside(&server, executing).await?,
        false => executing.await?,
    };

    let end = result::End::of(&response)?;
    if let Some(action_result) = &response.result {
        result::replay(&server, action_result, live.shown()).await?;
        // A remark that the command's own output ends with has been read already.
        let is_said = String::from_utf8_lossy(&action_result.stderr_raw)
            .trim_end()
            .ends_with(&response.message);
        // A time-out's is said below.
        if !is_said && end == result::End::Exited {
            progress.say(&response.message);
        }
        if end == result::End::Exited {
            result::download(&server, &prepared, action_result, &options.output_dir_to).await?;
        }
        progress.timings(action_result);
        if options.observe {
            let observed = ObservedInputs::of(action_result);
            observed::lines(observed.as_ref())
                .iter()
                .for_each(|line| progress.say(line));
        }
    }
    let elapsed = seconds(start.elapsed());
    match end {
        result::End::Exited => {
            let how = if response.cached_result {
                "cache hit"
            } else {
                "remote"
            };
            progress.summary(&format!("{how}, {elapsed}"));
            let exit_code = response.result.map_or(0, |action_result| action_result.exit_code);
            Ok(ExitCode::from(as_exit_code(exit_code)))
        }
        result::End::TimedOut { message } => {
            progress.say(&format!("timed out: {message}"));
            Ok(ExitCode::from(EXIT_TIMED_OUT))
        }
    }
}

/// Shows a person how it goes.
struct Watching<'a> {
    progress: &'a Progress,
    live: &'a LiveOutput,
}

impl Observer for Watching<'_> {
    fn stage(&self, metadata: &ExecuteOperationMetadata) {
        self.progress.stage(metadata);
        self.live.stage(metadata);
    }

    fn step(&self, line: &dyn Fn() -> String) {
        self.progress.step(line);
    }
}

/// As shells do it: the low eight bits. What would become 0 stays a failure.
fn as_exit_code(code: i32) -> u8 {
    match code & 0xff {
        0 if code != 0 => 1,
        low => low as u8,
    }
}

pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests;
