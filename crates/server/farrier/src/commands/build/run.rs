//! `farrier run`: a build as it is, with its compilers behind the daemon.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::BoolishValueParser;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;
use uuid::Uuid;

use super::ask::{ask, stop};
use super::daemon::ClientOptions;
use super::state::State;
use super::{absorb, background, reproducible, summary, tools};
use crate::wire::signals::EndSignals;

/// What `farrier run` can be told.
#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    client: ClientOptions,
    /// The directory that holds everything that the build reads beside the host's own files [default: the git checkout
    /// around the working directory, else the working directory].
    #[arg(long, env = "FARRIER_ROOT", value_name = "DIR")]
    root: Option<PathBuf>,
    /// Makes the same files in every directory, so that another checkout finds them: compilers are told to call the root `.`
    /// in debug information and `__FILE__` where they would write down its path.
    #[arg(long, env = PATH_INDEPENDENT_VARIABLE, value_parser = BoolishValueParser::new())]
    path_independent: bool,
    /// Take no known result: run every step here, and with a strategy other than local by a worker too, and say which outputs
    /// differ from those that are known.
    #[arg(long)]
    compare: bool,
    /// Tools that farrier does not know and whose results are to be kept all the same: bison,protoc,python3. What such a tool
    /// reads and writes is watched when it runs, and its result is taken whenever all it read is the same again. Not for
    /// tools that ask the time, a random number or the network for something that ends up in what they make.
    #[arg(long, env = OBSERVE_VARIABLE, value_name = "NAME[,NAME]...", value_delimiter = ',')]
    observe: Vec<OsString>,
    /// Recipes of make are done by a shell of ours, which does `rm -f`, `mkdir -p` and the like by itself and asks the daemon about
    /// compilers without a process in between. What it does not know to do as /bin/sh does it, /bin/sh does.
    #[arg(long, env = ABSORB_VARIABLE, value_parser = BoolishValueParser::new())]
    absorb: bool,
    /// Sets what makes builds leave out when, where and by whom they were done, unless it is set: SOURCE_DATE_EPOCH, and
    /// KBUILD_BUILD_TIMESTAMP, _USER, _HOST and _VERSION of the Linux kernel.
    #[arg(long)]
    reproducible: bool,
    /// Only what the build itself prints.
    #[arg(long, short)]
    quiet: bool,
    /// The build: make, ninja, cmake --build, ./configure …
    #[arg(
        trailing_var_arg = true,
        required = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

/// What tells the daemon so.
const PATH_INDEPENDENT_VARIABLE: &str = "FARRIER_PATH_INDEPENDENT";
const OBSERVE_VARIABLE: &str = "FARRIER_OBSERVE";
const ABSORB_VARIABLE: &str = "FARRIER_ABSORB";
/// How long the daemon may take to be there; it may have to start a server first.
const DAEMON_WITHIN: Duration = Duration::from_secs(75);
/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// A program that cannot be found, as shells say it.
const EXIT_NOT_FOUND: u8 = 127;

/// Runs `farrier run`, which ends with the build's exit code.
pub(crate) async fn run(options: RunOptions) -> Result<ExitCode> {
    let state = State::open()?;
    let socket = state.socket();
    ensure_daemon(&options.client, &state, &socket)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let links = state.tools();
    tools::link(&links, &path, &options.observe, &tools::wrapper()?)?;

    let build = Uuid::new_v4().to_string();
    let root = root(options.root.as_deref())?;
    let paths = std::iter::once(links.clone()).chain(std::env::split_paths(&path).filter(|at| *at != links));
    let Some((program, words)) = options.command.split_first() else {
        bail!("there is no command")
    };
    let mut command = Command::new(program);
    command
        .args(words)
        .env("PATH", std::env::join_paths(paths).context("PATH")?)
        .env(daemon_api::SOCKET_VARIABLE, &socket)
        .env(wrapper::TOOLS_VARIABLE, &links)
        .env("FARRIER_BUILD", &build)
        .env("FARRIER_ROOT", &root)
        .env(
            PATH_INDEPENDENT_VARIABLE,
            u8::from(options.path_independent).to_string(),
        )
        .stdin(Stdio::inherit());
    command.env(OBSERVE_VARIABLE, options.observe.join(OsStr::new(",")));
    if options.absorb {
        let before = std::env::var_os(absorb::MAKEFILES_VARIABLE);
        let makefiles = absorb::makefiles(&state.shell(), before.as_deref())?;
        command.env(absorb::MAKEFILES_VARIABLE, makefiles);
    }
    if options.compare {
        command.env("FARRIER_COMPARE", "1");
    }
    if let Some(strategy) = options.client.strategy {
        command.env("FARRIER_STRATEGY", strategy.name());
    }
    if options.reproducible {
        command.envs(reproducible::variables(|name| std::env::var_os(name)));
    }
    // From here on a Ctrl-C is for the build, which gets it from the terminal; this goes on to tell how it went.
    let mut signals = EndSignals::listen()?;
    let begun = Instant::now();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("farrier: cannot run {}: {error}", program.display());
            return Ok(ExitCode::from(EXIT_NOT_FOUND));
        }
    };
    let process = child
        .id()
        .and_then(|process| Pid::from_raw(i32::try_from(process).ok()?));
    let shows = !options.quiet && std::io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.context("waiting for the build")?,
            signal = signals.next() => {
                // A terminal has sent SIGINT to the build as well.
                if signal == "SIGTERM" && let Some(process) = process {
                    // It may be over already.
                    let _ = kill_process(process, Signal::TERM);
                }
            }
            _ = ticks.tick(), if shows => show_progress(&socket, &build),
        }
    };
    let end = wrapper::end_of(status);
    if shows {
        title("");
    }
    if !options.quiet {
        match ask(&socket, "build", Some(&build)) {
            Ok(Some(counts)) => eprint!("{}", summary::lines(&counts, begun.elapsed())),
            Ok(None) => eprintln!(
                "farrier: the daemon has gone; see {}",
                state.log("daemon").display()
            ),
            Err(error) => eprintln!("farrier: {error:#}"),
        }
    }
    Ok(ExitCode::from(end.exit_code()))
}

/// Makes sure that a daemon is there which speaks to the wanted server, and is of this version.
fn ensure_daemon(client: &ClientOptions, state: &State, socket: &Path) -> Result<()> {
    let is_wanted = |status: &Value| {
        let endpoint = match status["is_own_server"].as_bool() {
            Some(true) => None,
            _ => status["endpoint"].as_str(),
        };
        status["version"] == env!("CARGO_PKG_VERSION")
            && endpoint == client.endpoint.as_deref()
            && status["instance"] == client.instance.as_str()
    };
    let begun = Instant::now();
    let mut process = None;
    // One that is on its way out still answers for a moment.
    let mut is_told_to_stop = false;
    loop {
        match ask(socket, "status", None) {
            Ok(Some(status)) if is_wanted(&status) => return Ok(()),
            Ok(None) if process.is_none() => process = Some(start_daemon(client, state)?),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) if !is_told_to_stop => {
                stop(socket)?;
                is_told_to_stop = true;
            }
            Ok(Some(_)) | Err(_) => {}
        }
        if let Some(daemon) = &mut process
            && let Some(status) = daemon.try_wait().context("looking after the daemon")?
        {
            match status.success() {
                // Another one was there first, or still is.
                true => process = None,
                false => bail!(
                    "the daemon did not start ({status}); see {}",
                    state.log("daemon").display()
                ),
            }
        }
        if begun.elapsed() > DAEMON_WITHIN {
            bail!(
                "the daemon is not there after {DAEMON_WITHIN:?}; see {}",
                state.log("daemon").display()
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn start_daemon(client: &ClientOptions, state: &State) -> Result<std::process::Child> {
    let mut words: Vec<OsString> = vec!["daemon".into(), "start".into()];
    if let Some(endpoint) = &client.endpoint {
        words.extend(["--endpoint".into(), endpoint.into()]);
    }
    if !client.instance.as_str().is_empty() {
        words.extend(["--instance".into(), client.instance.as_str().into()]);
    }
    words.extend(client.trust.words());
    let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
    background::start(&words, Stdio::null(), &state.log("daemon"))
}

/// The root of the input trees, with every symlink followed.
fn root(named: Option<&Path>) -> Result<PathBuf> {
    let here = std::env::current_dir().context("there is no working directory")?;
    let root = match named {
        Some(root) => root,
        None => here
            .ancestors()
            .find(|directory| directory.join(".git").exists())
            .unwrap_or(&here),
    };
    root.canonicalize()
        .with_context(|| format!("cannot find {}", root.display()))
}

/// In the terminal's title, where it disturbs nothing that the build prints.
fn show_progress(socket: &Path, build: &str) {
    // A daemon that does not answer shows no progress; the summary will say why.
    if let Ok(Some(counts)) = ask(socket, "progress", Some(build)) {
        title(&summary::progress(&counts));
    }
}

fn title(text: &str) {
    let mut terminal = std::io::stderr();
    // Nobody misses a title.
    let _ = write!(terminal, "\x1b]2;{text}\x07").and_then(|()| terminal.flush());
}
