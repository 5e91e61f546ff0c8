//! The command line: what can be said, and where each word leads.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::bad_options::{EXIT_BAD_OPTIONS, exit_code};
use crate::commands::{action, build, cas, exec, farm, image};
use crate::wire;

/// Remote Build Execution: run each command of a build once, anywhere, and give everyone else the result.
#[derive(Debug, Parser)]
#[command(name = "farrier", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, for example `info`, `debug` or `services=debug`.
    #[arg(
        long,
        global = true,
        env = "FARRIER_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a build with its compilers behind the cache: make, ninja, cmake, configure …
    Run(build::RunOptions),
    /// Show the last build step by step: how each was answered, how long it took, and why it was not kept.
    Steps(build::StepsOptions),
    /// Show the last build as a trace for the viewers of Chrome and Perfetto, every step with what it waited for.
    Trace(build::TraceOptions),
    /// Say why a step was not answered from the cache: how it differs from the last time that it was done.
    Why(build::WhyOptions),
    /// Show how the last builds went, and what is kept for the next ones.
    Stats(build::ReportOptions),
    /// Show the daemon behind `run`, and its server.
    Status(build::ReportOptions),
    /// The daemon behind `run`.
    #[command(subcommand)]
    Daemon(build::DaemonCommand),
    /// Start everything on this machine: storage, scheduler and one worker, on one port.
    Up(Box<wire::up::UpOptions>),
    /// Add this machine as a worker to a running farrier.
    Join(wire::join::JoinOptions),
    /// The worker that `up` starts; the same as `join`.
    #[command(hide = true)]
    Worker(wire::join::JoinOptions),
    /// Spawn and confine commands for a worker; started by `join` and `up`.
    #[command(hide = true, disable_help_flag = true)]
    Runner {
        /// Read by the runner itself, before this parser sees them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<PathBuf>,
    },
    /// Run one command remotely: upload inputs, execute, download outputs.
    Exec(exec::ExecOptions),
    /// Show the workers and what they run.
    Workers(farm::FarmOptions),
    /// Show what waits, and why.
    Queue(farm::FarmOptions),
    /// Take workers out of service by their names, or put them back.
    Drain(farm::DrainOptions),
    /// Look into the content-addressable storage.
    #[command(subcommand)]
    Cas(cas::CasCommand),
    /// Upload images for actions to run in.
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Look at actions and their results.
    #[command(subcommand)]
    Action(action::ActionCommand),
}

/// Parses the command line and runs what it says.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            eprintln!("farrier: {}", not_utf8(std::env::args_os().skip(1)));
            return ExitCode::from(EXIT_BAD_OPTIONS);
        }
        Err(error) => error.exit(),
    };
    if let Err(error) = start_logging(&cli.log) {
        eprintln!("farrier: {error:#}");
        return ExitCode::from(EXIT_BAD_OPTIONS);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("farrier: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(options) => build::run(options).await,
            Command::Steps(options) => build::steps(&options),
            Command::Trace(options) => build::trace(&options),
            Command::Why(options) => build::why(&options).await,
            Command::Stats(options) => build::stats(&options),
            Command::Status(options) => build::status(&options),
            Command::Daemon(command) => build::daemon(command).await,
            Command::Up(options) => wire::up::up(*options).await,
            Command::Join(options) | Command::Worker(options) => {
                wire::join::join(options).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Runner { .. } => {
                anyhow::bail!("`farrier runner` has to be the first word after the program")
            }
            Command::Exec(options) => exec::exec(options).await,
            Command::Workers(options) => {
                let shown = farm::run(options, farm::Sight::Workers).await;
                shown.map(|()| ExitCode::SUCCESS)
            }
            Command::Queue(options) => {
                let shown = farm::run(options, farm::Sight::Queue).await;
                shown.map(|()| ExitCode::SUCCESS)
            }
            Command::Drain(options) => farm::drain(options).await.map(|()| ExitCode::SUCCESS),
            Command::Cas(command) => cas::run(command).await,
            Command::Image(command) => image::run(command).await.map(|()| ExitCode::SUCCESS),
            Command::Action(command) => action::run(command).await,
        }
    });
    // Blocking work that nobody waits for any more must not hold up the exit.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| {
        eprintln!("farrier: {error:#}");
        exit_code(&error)
    })
}

/// Names the words that are no text, which the parser does not. Local paths may be such words; those that are not
/// meant are named too.
fn not_utf8(words: impl Iterator<Item = OsString>) -> String {
    let named: Vec<_> = words
        .enumerate()
        .filter(|(_, word)| word.to_str().is_none())
        .map(|(index, word)| format!("word {} is {word:?}", index + 1))
        .collect();
    format!(
        "the command line holds bytes that are not UTF-8, where only UTF-8 can be sent to a server: {}",
        named.join(", ")
    )
}

fn start_logging(filter: &str) -> anyhow::Result<()> {
    use anyhow::Context;
    use std::io::IsTerminal;

    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("`{filter}` is not a log filter; try `info`"))?;
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn words_that_are_not_utf8_are_named() {
        let words = [b"exec".to_vec(), b"--".to_vec(), b"caf\xe9".to_vec()].map(OsString::from_vec);
        let refused = Cli::try_parse_from([OsString::from("farrier")].iter().chain(&words)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidUtf8);
        let told = not_utf8(words.into_iter());
        assert!(told.ends_with(r#"word 3 is "caf\xE9""#), "{told}");
    }

    /// What other programs of ours start the daemon with.
    #[test]
    fn the_daemon_has_every_option_that_it_is_started_with() {
        let cli = Cli::command();
        let start = cli
            .find_subcommand("daemon")
            .and_then(|daemon| daemon.find_subcommand("start"))
            .unwrap();
        let options: Vec<_> = start
            .get_arguments()
            .filter_map(|option| option.get_long())
            .collect();
        let of_recc = ["--endpoint", "--instance", "--token-file"];
        for told in reproxy::programs::daemon_options().chain(of_recc) {
            let name = told.trim_start_matches("--");
            assert!(options.contains(&name), "{told} is none of {options:?}");
        }
    }
}
