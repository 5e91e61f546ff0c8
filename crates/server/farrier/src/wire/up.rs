//! `farrier up`: all roles in one process tree, on one port.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use blob::InstanceName;
use clap::{Args, ValueEnum};
use services::Timeouts;
use tasks::{CancellationToken, Group};
use tokio::net::TcpListener;

use super::action_limits::LimitOptions;
use super::action_surroundings::SurroundingsArguments;
use super::door_options::DoorOptions;
use super::join::SandboxChoice;
use super::lazy_inputs::LazyArguments;
use super::scheduling::SchedulingArguments;
use super::server::{ServerOptions, serve};
use super::signals::{EndSignals, stdin_closed};
pub(crate) use super::storage::Sizes;
use super::storage::{self, InstanceChoice};
use super::storage_arguments::StorageArguments;
use super::worker_process::WorkerProcess;
use crate::bad_options::BadOptions;
use crate::banner::{Banner, reachable};
use crate::byte_size::ByteSize;
use crate::commands::exec;
use crate::data_directory::DataDirectory;
use crate::local_storage::LocalStorage;
use crate::{durations, slots};

/// What `farrier up` can be told.
#[derive(Args, Debug)]
pub(crate) struct UpOptions {
    /// Address to serve on. Anyone who can reach it can run commands: leave it on loopback, or protect the network.
    #[arg(
        long,
        default_value = "127.0.0.1:8980",
        env = "FARRIER_LISTEN",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
    /// Where blobs, results and the worker's files are kept [default: ~/.local/share/farrier].
    #[arg(long, env = "FARRIER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Instances to serve; repeat for several. They share blobs, not action results; NAME=BASE also reads those of BASE
    /// (a pull request uses what main has built, and writes its own) [default: the unnamed one].
    #[arg(long = "instance", value_name = "NAME[=BASE]", value_parser = parse_instance)]
    instances: Vec<InstanceChoice>,
    /// Most bytes of blobs [default: half of the free space, at most 64GiB].
    #[arg(long, value_name = "SIZE")]
    cas_size: Option<ByteSize>,
    #[command(flatten)]
    storage: StorageArguments,
    /// Read everything that is stored an hour after the start and then once in so long, and drop what is damaged; 0s
    /// never does.
    #[arg(long, default_value = "168h", value_parser = durations::parse, value_name = "DURATION")]
    scrub_every: Duration,
    /// Most bytes of action results [default: up to 1GiB].
    #[arg(long, value_name = "SIZE")]
    action_cache_size: Option<ByteSize>,
    /// Most bytes of the worker's own copies of input files [default: up to 16GiB].
    #[arg(long, value_name = "SIZE")]
    worker_cache_size: Option<ByteSize>,
    /// Actions to run at once on this machine, at most 256 [default: one a core]. 0 starts no worker: `farrier join` adds some.
    #[arg(long, value_name = "N", value_parser = slots::parse_or_none)]
    slots: Option<u32>,
    /// How strictly actions are confined.
    #[arg(long, value_enum, default_value_t = SandboxChoice::BestEffort, value_name = "HOW")]
    sandbox: SandboxChoice,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    surroundings: SurroundingsArguments,
    #[command(flatten)]
    lazy: LazyArguments,
    /// Whether clients may write the action cache themselves [default: only when listening on loopback].
    #[arg(long, value_enum, value_name = "WHO")]
    client_results: Option<ClientResults>,
    #[command(flatten)]
    doors: DoorOptions,
    /// Timeout of actions that name none.
    #[arg(long, default_value = "1h", value_parser = durations::parse, value_name = "DURATION")]
    default_timeout: Duration,
    /// Longest timeout an action may ask for.
    #[arg(long, default_value = "24h", value_parser = durations::parse, value_name = "DURATION")]
    max_timeout: Duration,
    #[command(flatten)]
    scheduling: SchedulingArguments,
    /// How long running actions may take to finish when farrier is stopped.
    #[arg(long, default_value = "10s", value_parser = durations::parse, value_name = "DURATION")]
    drain: Duration,
    /// Stop after the first command, with its exit code.
    #[arg(long, requires = "command")]
    once: bool,
    /// Also stop when standard input ends: whoever holds the other end wants no server without itself.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
    /// A first command to run remotely; its output is printed, and farrier goes on serving.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Who may write action results beside the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClientResults {
    /// Every client: what local execution with a shared cache needs.
    Allow,
    /// Nobody: only what ran on a worker is ever served.
    Deny,
}

/// When the first scrub of a server begins.
const FIRST_SCRUB_AFTER: Duration = Duration::from_secs(3600);
/// What a scrub takes from the disk: little beside a build.
pub(super) const SCRUB_BYTES_PER_SECOND: u64 = 32 << 20;
/// How long open calls may take to end once the worker is done.
const GOODBYE: Duration = Duration::from_secs(3);

/// Runs until SIGINT or SIGTERM, then drains.
pub(crate) async fn up(options: UpOptions) -> Result<ExitCode> {
    if options.default_timeout > options.max_timeout {
        return Err(BadOptions::message(
            "--default-timeout is longer than --max-timeout",
        ));
    }
    options.storage.check()?;
    let choice_of_instances = instances(&options.instances)?;
    let names: Vec<InstanceName> = choice_of_instances
        .iter()
        .map(|choice| choice.name.clone())
        .collect();
    let path = options
        .data_dir
        .clone()
        .map_or_else(DataDirectory::default_path, Ok)?;
    let directory = DataDirectory::open(&path)?;
    let sizes = sizes(&options, &directory)?;
    let client_results = may_clients_write(options.client_results, options.listen);
    let choices = options.storage.choices(client_results);
    let storage = storage::open(&directory, sizes, &choice_of_instances, choices).await?;
    let (local, bucket, shards) = (
        storage.local.clone(),
        storage.bucket.clone(),
        storage.shards.clone(),
    );
    let authority = Arc::new(directory.authority()?);
    let join_token = directory.join_token(authority.fingerprint())?;
    let own_token = directory.own_token()?;
    let doors = options.doors.open(&authority)?;
    let slots = match options.storage.is_shard() {
        true => 0,
        false => options.slots.unwrap_or_else(slots::default),
    };

    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}; is farrier running already?", options.listen))?;
    let address = listener
        .local_addr()
        .context("the listening socket has no address")?;
    let mut signals = EndSignals::listen()?;
    let (closing, stop_worker, stop_server) = (
        CancellationToken::new(),
        CancellationToken::new(),
        CancellationToken::new(),
    );

    let group = Group::new("up");
    let workers = Group::new("worker process");
    let server_options = ServerOptions {
        timeouts: Timeouts {
            default: options.default_timeout,
            max: options.max_timeout,
        },
        scheduler: options.scheduling.options(storage.instances.names())?,
        authority,
        join_secret: join_token.secret.clone(),
        own_token,
        certificates_last: options.doors.certificates_last(),
        doors,
        journal: directory.journal_file(),
        blob_size_bytes_max: storage.blob_size_bytes_max,
        local: local.clone(),
        runs_actions: !options.storage.is_shard(),
    };
    let (failed_sender, failed) = tokio::sync::oneshot::channel();
    let serving = serve(
        listener,
        Arc::new(storage.instances),
        server_options,
        closing.clone(),
        stop_server.clone(),
    );
    group.spawn("server", async move {
        if let Err(error) = serving.await {
            // The receiver is gone only when we are stopping anyway.
            let _ = failed_sender.send(error);
        }
    });
    group.spawn(
        "scrub",
        keep_scrubbed(local.clone(), options.scrub_every, group.stopping()),
    );
    if let Some(bucket) = bucket.clone() {
        group.spawn(
            "collect",
            bucket.keep_collected(options.storage.bucket_keeps(), group.stopping()),
        );
    }
    if let Some(shards) = shards {
        let stop = group.stopping();
        group.spawn("shards", async move {
            tokio::select! {
                () = shards.keep_in_order() => {}
                () = stop.cancelled() => {}
            }
        });
    }
    let (no_worker_sender, no_worker) = tokio::sync::oneshot::channel();
    if slots > 0 {
        let process = worker_process(&options, &directory, address, slots, sizes)?;
        let working = process.keep_alive(stop_worker.clone());
        workers.spawn("worker process", async move {
            if let Err(error) = working.await {
                // The receiver is gone only when we are stopping anyway.
                let _ = no_worker_sender.send(error);
            }
        });
    }
    let banner = Banner {
        address,
        directory: &directory,
        sizes,
        slots: (!options.storage.is_shard()).then_some(slots),
        names: &names,
        client_results,
        token: &join_token,
        has_front_door: options.doors.has_front_door(),
    };
    say(&banner.to_string());

    let first_command = first_command(&options, address, &names[0]);
    let end = tokio::select! {
        exit = first_command => Ok(exit?),
        signal = signals.next() => {
            eprintln!("\nfarrier: {signal}: finishing what runs (again to stop at once)");
            Ok(ExitCode::SUCCESS)
        }
        () = stdin_closed(), if options.exit_with_stdin => Ok(ExitCode::SUCCESS),
        // Without its worker this machine would take actions and never run them; better to end where people look.
        Ok(error) = no_worker => Err(error),
        Ok(error) = failed => return Err(error),
    };
    closing.cancel();
    let kept_in = options.storage.kept_in();
    let kept_in = kept_in.unwrap_or_else(|| directory.path().display().to_string());
    let orderly = async {
        stop_worker.cancel();
        workers.shut_down(options.drain + GOODBYE).await;
        stop_server.cancel();
        group.shut_down(GOODBYE).await;
        local.close();
        if let Some(bucket) = bucket {
            bucket.close().await;
        }
    };
    tokio::select! {
        () = orderly => eprintln!("farrier: stopped; everything acknowledged is kept in {kept_in}"),
        signal = signals.next() => eprintln!("farrier: {signal}: stopped at once"),
    }
    end
}

/// Prints a line. A reader that has gone away is no reason to stop serving.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Runs the command of the command line, if there is one. Returns only with `--once`.
async fn first_command(
    options: &UpOptions,
    address: SocketAddr,
    instance: &InstanceName,
) -> Result<ExitCode> {
    if !options.command.is_empty() {
        say(&format!("\n$ {}", options.command.join(" ")));
        let exit = exec::run_command(
            format!("http://{}", reachable(address)),
            instance.clone(),
            options.command.clone(),
        );
        match exit.await {
            Ok(exit) if options.once => return Ok(exit),
            Ok(_) => {}
            Err(error) if options.once => return Err(error),
            Err(error) => eprintln!("farrier: {error:#}"),
        }
    }
    std::future::pending().await
}

fn worker_process(
    options: &UpOptions,
    directory: &DataDirectory,
    address: SocketAddr,
    slots: u32,
    sizes: Sizes,
) -> Result<WorkerProcess> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let with_path = |option: &str, path: PathBuf| {
        let mut argument = OsString::from(option);
        argument.push(path);
        argument
    };
    let mut arguments = vec![
        "worker".into(),
        format!("http://{}", reachable(address)).into(),
        "--exit-with-stdin".into(),
        "--same-machine".into(),
        with_path("--token-file=", directory.own_token_file()),
        with_path("--data-dir=", directory.worker()),
        format!("--slots={slots}").into(),
        format!("--cache-size={}", sizes.worker_cache.0).into(),
        format!("--sandbox={}", options.sandbox.as_argument()).into(),
        format!("--drain={}ms", options.drain.as_millis()).into(),
    ];
    arguments.extend(options.limits.to_arguments());
    // What the server has there is none of an action's business either.
    let surroundings = options.surroundings.hiding(directory.path().to_owned());
    arguments.extend(surroundings.to_arguments());
    arguments.extend(options.lazy.to_arguments());
    Ok(WorkerProcess {
        program,
        arguments,
        drain: options.drain + Duration::from_secs(1),
    })
}

/// What was given, and shares of the disk for the rest. What farrier itself keeps there counts as free, so that the
/// shares do not shrink, and blobs are not evicted, from start to start.
fn sizes(options: &UpOptions, directory: &DataDirectory) -> Result<Sizes> {
    if let (Some(cas), Some(action_cache), Some(worker_cache)) = (
        options.cas_size,
        options.action_cache_size,
        options.worker_cache_size,
    ) {
        return Ok(Sizes {
            cas,
            action_cache,
            worker_cache,
        });
    }
    let default = storage::default_sizes(directory.free_bytes()?.saturating_add(directory.used_bytes()));
    Ok(Sizes {
        cas: options.cas_size.unwrap_or(default.cas),
        action_cache: options.action_cache_size.unwrap_or(default.action_cache),
        worker_cache: options.worker_cache_size.unwrap_or(default.worker_cache),
    })
}

/// Whoever writes the action cache decides what everybody else's build contains. On loopback that is the user
/// alone; anywhere else it has to be asked for.
fn may_clients_write(asked: Option<ClientResults>, listen: SocketAddr) -> bool {
    match asked {
        Some(answer) => answer == ClientResults::Allow,
        None => listen.ip().is_loopback(),
    }
}

/// The instances to serve: those asked for, each once, or the unnamed one. A base is one of them.
fn instances(asked: &[InstanceChoice]) -> Result<Vec<InstanceChoice>> {
    if asked.is_empty() {
        return Ok(vec![InstanceChoice {
            name: InstanceName::default(),
            base: None,
        }]);
    }
    for (index, InstanceChoice { name, base }) in asked.iter().enumerate() {
        if asked[..index].iter().any(|other| other.name == *name) {
            let text = format!(
                "--instance {:?} is given twice; name each instance once",
                name.as_str()
            );
            return Err(BadOptions::message(text));
        }
        if let Some(base) = base
            && (base == name
                || !asked
                    .iter()
                    .any(|other| other.name == *base && other.base.is_none()))
        {
            let text = format!(
                "--instance {:?} reads {:?}, which must be another instance that is given too and has no base itself",
                name.as_str(),
                base.as_str()
            );
            return Err(BadOptions::message(text));
        }
    }
    Ok(asked.to_vec())
}

fn parse_instance(text: &str) -> Result<InstanceChoice, String> {
    let (name, base) = match text.split_once('=') {
        Some((name, base)) => (name, Some(parse_name(base)?)),
        None => (text, None),
    };
    Ok(InstanceChoice {
        name: parse_name(name)?,
        base,
    })
}

fn parse_name(name: &str) -> Result<InstanceName, String> {
    InstanceName::new(name).map_err(|error| error.to_string())
}

/// Reads everything that is stored again and again, until `stop`.
async fn keep_scrubbed(local: LocalStorage, every: Duration, stop: CancellationToken) {
    if every.is_zero() {
        return;
    }
    // Soon after a start, or a server that is restarted every night would never get to it.
    let mut wait = every.min(FIRST_SCRUB_AFTER);
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = every,
            () = stop.cancelled() => return,
        }
        tokio::select! {
            result = local.scrub(Some(SCRUB_BYTES_PER_SECOND), |_| {}) => match result {
                // Each store has said what was found.
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "scrubbing stopped; it will be tried again"),
                Err(_runs) => tracing::info!("somebody else is scrubbing"),
            },
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_once_or_not_at_all_and_reads_one_that_is_there() {
        let names = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| parse_instance(name).unwrap()).collect();
            instances(&names).map(|names| names.len())
        };
        assert_eq!(names(&[]).unwrap(), 1);
        assert_eq!(names(&["a", "b", "a/b"]).unwrap(), 3);
        assert_eq!(names(&["main", "pr/1=main", "pr/2=main"]).unwrap(), 3);
        let error = names(&["a", "b", "a"]).unwrap_err().to_string();
        assert!(error.contains("\"a\" is given twice"), "{error}");
        for wrong in [&["a=a"][..], &["a=b"], &["a", "b=a", "c=b"]] {
            let error = names(wrong).unwrap_err().to_string();
            assert!(error.contains("must be another instance"), "{error}");
        }
    }

    #[test]
    fn clients_write_results_on_loopback_or_when_allowed() {
        let on = |listen: &str, asked| may_clients_write(asked, listen.parse().unwrap());
        assert!(on("127.0.0.1:1", None) && on("[::1]:1", None));
        assert!(!on("0.0.0.0:1", None) && !on("192.0.2.1:1", None));
        assert!(on("0.0.0.0:1", Some(ClientResults::Allow)) && !on("127.0.0.1:1", Some(ClientResults::Deny)));
    }
}
