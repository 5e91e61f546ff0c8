//! `farrier join`: this machine as a worker of a running farrier.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cas_remote::{RemoteChannel, RemoteOptions};
use clap::{Args, ValueEnum};
use runner_api::{Availability, Capabilities, UidMode};
use tasks::Group;
use tokio::sync::watch;
use tokio::time::Instant;
use worker::{Results, Stores, Worker, WorkerError, WorkerOptions, WorkerParts, default_properties};

use super::action_limits::LimitOptions;
use super::action_surroundings::SurroundingsArguments;
use super::found_runner::{self, UsedRunner};
use super::lazy_inputs::LazyArguments;
use super::membership::{Membership, of_connecting};
use super::runner_process::RunnerProcess;
use super::signals::{EndSignals, stdin_closed};
use super::spot_notice::{self, NoticeSource};
use crate::bad_options::BadOptions;
use crate::byte_size::ByteSize;
use crate::data_directory::DataDirectory;
use crate::worker_token::WorkerToken;
use crate::{durations, slots};

/// More than it takes to give everything back.
const FAREWELL_MAX: Duration = Duration::from_secs(3);

/// What `farrier join` can be told.
#[derive(Args, Debug)]
pub(crate) struct JoinOptions {
    /// The server, for example https://build-server:8980. It is always spoken to over TLS.
    endpoint: String,
    #[command(flatten)]
    token: WorkerToken,
    /// Where input files are cached and actions run [default: ~/.local/share/farrier-worker].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Actions to run at once, at most 256 [default: one a core].
    #[arg(long, value_name = "N", value_parser = slots::parse)]
    slots: Option<u32>,
    /// Most bytes of cached input files.
    #[arg(long, default_value = "16GiB", value_name = "SIZE")]
    cache_size: ByteSize,
    /// How strictly actions are confined.
    #[arg(long, value_enum, default_value_t = SandboxChoice::BestEffort, value_name = "HOW")]
    sandbox: SandboxChoice,
    /// Most bytes of stdout, and of stderr, that are kept of an action.
    #[arg(long, default_value = "64MiB", value_name = "SIZE")]
    log_size: ByteSize,
    /// A runner that somebody else has started, by the socket at which it listens: unix:/PATH. What the runner decides
    /// (--sandbox, --through, --host-path, its bound on memory) is said there; --memory then only says how much is shared out.
    #[arg(long, value_name = "unix:/PATH", value_parser = parse_socket,
          conflicts_with_all = ["sandbox", "through", "host_paths"])]
    runner: Option<PathBuf>,
    /// Whose runner may be at that socket, beside root's and this user's own: a user's number.
    #[arg(long, value_name = "UID", requires = "runner")]
    runner_uid: Option<u32>,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    surroundings: SurroundingsArguments,
    #[command(flatten)]
    lazy: LazyArguments,
    /// Name shown to people [default: the host's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A platform property this worker offers, beside what it says itself (OSFamily, ISA, root, network, host-tools) or in the place
    /// of that; repeat for several.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    properties: Vec<(String, String)>,
    /// How long running actions may take to finish when the worker is stopped. Those that are known to take longer are
    /// given back at once, to run elsewhere.
    #[arg(long, default_value = "10s", value_parser = durations::parse, value_name = "DURATION")]
    drain: Duration,
    /// Where it is said that this machine is about to be taken away (a spot instance): aws, gcp, azure, a URL, or
    /// file:PATH. The worker then takes nothing new, gives back what will not end in time, and ends.
    #[arg(long, value_name = "WHERE", value_parser = NoticeSource::parse)]
    spot_notice: Option<NoticeSource>,
    /// End when standard input ends: for a parent that must not leave a worker behind.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
    /// The server runs on this machine and has given its own token, which it takes without TLS.
    #[arg(long, hide = true)]
    same_machine: bool,
}

impl JoinOptions {
    fn name(&self) -> String {
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(host)
    }
}

/// How strictly actions are confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxChoice {
    /// Every mechanism, or refuse to start.
    Require,
    /// Every mechanism the kernel allows; say which are missing.
    BestEffort,
    /// None: commands run as the worker's user with the worker's rights.
    Off,
}

impl SandboxChoice {
    pub(crate) fn as_argument(self) -> &'static str {
        match self {
            SandboxChoice::Require => "require",
            SandboxChoice::BestEffort => "best-effort",
            SandboxChoice::Off => "off",
        }
    }
}

/// Works until a signal, or until the parent is gone, then drains.
pub(crate) async fn join(options: JoinOptions) -> Result<()> {
    let path = match &options.data_dir {
        Some(path) => path.clone(),
        None => DataDirectory::default_path()?.with_file_name("farrier-worker"),
    };
    let directory = DataDirectory::open(&path)?;
    let mut signals = EndSignals::listen()?;
    let membership = match options.same_machine {
        true => None,
        false => {
            let token = options.token.read_if_given()?;
            let (name, file) = (options.name(), directory.identity_file());
            Some(Membership::begin(&options.endpoint, &name, token, file).await?)
        }
    };
    let memory_bytes_max = options.limits.memory_bytes_max();
    let secrets = [Some(directory.path()), options.token.file()];
    let secrets: Vec<&Path> = secrets.into_iter().flatten().collect();
    let more = options.surroundings.runner_arguments(&secrets).into_iter();
    let mut used_runner = match &options.runner {
        Some(socket) => UsedRunner::Others(found_runner::at(socket, options.runner_uid)),
        None => {
            let started = RunnerProcess::start(directory.path(), options.sandbox, memory_bytes_max, more);
            UsedRunner::Own(Box::new(started.await?))
        }
    };
    let runner = used_runner.client();
    let capabilities = runner
        .capabilities()
        .await
        .context("the runner does not answer")?;
    if options.runner.is_some() {
        found_runner::check(&capabilities, options.limits.persistent_processes_max())?;
    }
    for line in missing_mechanisms(&capabilities) {
        eprintln!("farrier worker: {line}");
    }
    options.limits.check(&capabilities)?;
    // What is not bounded is not shared out either.
    let is_bounded = capabilities.memory_limit == Availability::Available;
    let memory_bytes = memory_bytes_max.filter(|_| is_bounded).unwrap_or(0);
    let mut remote_options = RemoteOptions::new(&options.endpoint);
    remote_options.tls = membership.as_ref().map(Membership::tls);
    let remote = RemoteChannel::connect(remote_options)
        .await
        .map_err(of_connecting)?;
    let own_token = match options.same_machine {
        true => options.token.read_text()?,
        false => None,
    };

    let worker_options = worker_options(&options, &directory, memory_bytes, &capabilities);
    let group = Group::new("worker");
    if let Some(membership) = membership {
        group.spawn("certificate", membership.keep(group.stopping()));
    }
    let parts = WorkerParts {
        runner: Arc::new(runner),
        capabilities,
        stores: stores(remote.clone()),
        results: results(remote.clone()),
        channel: remote.channel(),
        output_channel: remote.patient_channel(),
        token: own_token,
    };
    let worker = Worker::open(worker_options, parts, &group)
        .await
        .map_err(|error| match error {
            WorkerError::Option { .. } => BadOptions::mark(error),
            error => error.into(),
        })?;
    let leave = watch::Sender::new(None);
    let working = worker.run(leave.subscribe());
    tokio::pin!(working);
    let left = tokio::select! {
        outcome = &mut working => return outcome.context("the worker stopped"),
        status = used_runner.ended() => bail!("the runner ended: {}", status.context("cannot wait for it")?),
        _ = stdin_closed(), if options.exit_with_stdin => return Ok(()),
        _ = signals.next() => options.drain,
        left = spot_notice::given(options.spot_notice.as_ref()) => {
            eprintln!("farrier worker: this machine goes away in {} s: leaving", left.as_secs());
            left
        }
    };
    let gone_by = Instant::now() + left;
    leave.send_replace(Some(gone_by - farewell(left)));
    tokio::select! {
        outcome = &mut working => outcome.context("the worker stopped")?,
        () = tokio::time::sleep_until(gone_by) => eprintln!("farrier worker: leaving unfinished actions to others"),
        _ = signals.next() => eprintln!("farrier worker: stopped at once"),
        _ = stdin_closed(), if options.exit_with_stdin => {}
    }
    Ok(())
}

/// The last part of the time there is: in it what is not done is given back, and its processes die.
fn farewell(left: Duration) -> Duration {
    (left / 4).min(FAREWELL_MAX)
}

/// Stores by instance name, all over one connection.
fn stores(remote: RemoteChannel) -> Stores {
    Arc::new(move |instance| remote.blob_store(instance.clone()))
}

/// Results by instance name: of actions that stand for images.
fn results(remote: RemoteChannel) -> Results {
    Arc::new(move |instance| remote.action_cache(instance.clone()))
}

fn worker_options(
    options: &JoinOptions,
    directory: &DataDirectory,
    memory_bytes: u64,
    capabilities: &Capabilities,
) -> WorkerOptions {
    let surroundings = options.surroundings.to_options();
    let mut properties = default_properties();
    properties.extend(surroundings.properties(capabilities));
    // Who says it anew means it: an emulator's ISA is another one.
    properties.retain(|(name, _)| !options.properties.iter().any(|(said, _)| said == name));
    properties.extend(options.properties.iter().cloned());
    let mut said = options.properties.iter();
    let says_tools = said.any(|(name, _)| name == host_tools::PROPERTY);
    WorkerOptions {
        name: options.name(),
        slots: options.slots.unwrap_or_else(slots::default),
        properties,
        memory_bytes,
        resources: options.limits.resources(),
        directory: directory.path().to_owned(),
        cache_bytes_max: options.cache_size.0,
        tree_cache_bytes_max: options.surroundings.tree_cache_bytes_max(),
        log_bytes_max: options.log_size.0,
        surroundings,
        limits: options.limits.of_one_action(),
        persistent_processes_max: options.limits.persistent_processes_max(),
        lazy_inputs: options.lazy.to_options(),
        host_tools: options
            .surroundings
            .host_tools(says_tools || options.runner.is_some()),
    }
}

/// What the kernel does not give, for the log of whoever starts a worker.
fn missing_mechanisms(capabilities: &Capabilities) -> Vec<String> {
    let mut lines: Vec<String> = capabilities
        .missing()
        .map(|(mechanism, why)| format!("sandbox: without {mechanism}: {why}"))
        .collect();
    let limits = [
        ("memory", &capabilities.memory_limit),
        ("processes", &capabilities.process_limit),
        ("processors", &capabilities.processor_limit),
    ];
    for (what, limit) in limits {
        if let Availability::Missing { why } = limit {
            lines.push(format!("sandbox: without a bound on {what}: {why}"));
        }
    }
    if !lines.is_empty() && capabilities.uid_mode == UidMode::Rootless {
        lines.push("sandbox: running as root, or allowing user namespaces, would give more".to_owned());
    }
    lines
}

fn parse_socket(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:").map(PathBuf::from) {
        Some(path) if path.is_absolute() => Ok(path),
        _ => Err(format!("`{text}` is not unix:/PATH")),
    }
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
