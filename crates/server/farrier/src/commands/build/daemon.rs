//! `farrier daemon`: what turns commands into actions, in the background of builds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use blob::InstanceName;
use clap::{Args, Subcommand};
use daemon::{
    Daemon, DaemonOptions, DoorError, LocalCacheOptions, Observer, ServiceOptions, Strategy, open_door,
};
use tasks::Group;

use super::ask::stop;
use super::own_server::OwnServer;
use super::proxy::{self, Behind};
use super::reproxy::{Reproxy, ReproxyOptions};
use super::scandeps::{ScanOptions, scan};
use super::state::State;
use super::token::TokenOptions;
use crate::byte_size::ByteSize;
use crate::commands::connection::parse_instance;
use crate::data_directory::DataDirectory;
use crate::durations;
use crate::server_trust::ServerTrust;
use crate::wire::signals::EndSignals;

/// What `farrier daemon` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Serve the wrappers of this user, until nobody has asked for anything for long. `farrier run` starts it.
    Start(Box<StartOptions>),
    /// Answer those who ask which files a compiler would read, as reclient's scandeps_server does.
    Scan(ScanOptions),
    /// End it. Builds that go on do so without it.
    Stop,
}

/// Which server the daemon speaks to, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientOptions {
    /// The server: http://HOST:PORT, grpc://HOST:PORT or HOST:PORT; https:// or grpcs:// for TLS [default: one of this
    /// machine, started when it is needed].
    #[arg(long, env = "FARRIER_ENDPOINT", value_name = "URL")]
    pub(super) endpoint: Option<String>,
    #[command(flatten)]
    pub(super) trust: ServerTrust,
    /// The instance name; the unnamed one if left out.
    #[arg(long, env = "FARRIER_INSTANCE", default_value = "", hide_default_value = true, value_name = "NAME",
        value_parser = parse_instance)]
    pub(super) instance: InstanceName,
    /// Who does what is not in the cache: local (this machine), remote (a worker, or the step fails) or
    /// remote_local_fallback (a worker, else this machine) [default: local with the server of this machine,
    /// remote_local_fallback with another].
    #[arg(long, env = "FARRIER_STRATEGY", value_name = "WHO", value_parser = parse_strategy)]
    pub(super) strategy: Option<Strategy>,
}

#[derive(Args, Debug)]
pub(crate) struct StartOptions {
    #[command(flatten)]
    client: ClientOptions,
    /// A platform property that workers must have; repeat for several.
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::commands::exec::parse_pair)]
    platform: Vec<(String, String)>,
    /// End when nobody has asked for anything for so long; 0s never does.
    #[arg(long, default_value = "3h", value_parser = durations::parse, value_name = "DURATION")]
    idle: Duration,
    /// How much of this machine's disk the daemon may take for results, so that what was built here before needs no server;
    /// 0 takes none.
    #[arg(long, env = "FARRIER_CACHE_SIZE", default_value = "5GiB", value_name = "SIZE")]
    cache_size: ByteSize,
    /// Where they are, with what the daemon remembers of commands; for one daemon at a time [default: with its other things].
    #[arg(long, env = "FARRIER_CACHE_DIR", value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Also show what the daemon keeps, and what the server has, to other clients of the Remote Execution API on this machine
    /// (Bazel's --remote_cache, recc): a cache without execution. Whoever
    /// can reach it can write it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    token: TokenOptions,
    #[command(flatten)]
    reproxy: ReproxyOptions,
}

/// In the place of the server's address where none is asked.
const NO_SERVER: &str = "none";
/// How long wrappers may take to end when the daemon does.
const GOODBYE: Duration = Duration::from_secs(5);

/// Runs `farrier daemon`.
pub(crate) async fn daemon(command: DaemonCommand) -> Result<ExitCode> {
    match command {
        DaemonCommand::Scan(options) => scan(options).await,
        DaemonCommand::Start(options) => start(*options, State::open()?).await,
        DaemonCommand::Stop => {
            let state = State::open()?;
            match stop(&state.socket())? {
                true => println!("the daemon ends"),
                false => println!("no daemon is there"),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn start(options: StartOptions, state: State) -> Result<ExitCode> {
    let door = match open_door(&state.socket()) {
        Ok(door) => door,
        // Two builds have started at once.
        Err(DoorError::Taken) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error.into()),
    };
    let mut signals = EndSignals::listen()?;
    let client = options.client;
    let rules = options.reproxy.rules();
    let own_server = match &client.endpoint {
        None if !rules.is_remote_disabled => Some(OwnServer::start(&state)?),
        _ => None,
    };
    let default_strategy = match own_server {
        Some(_) => Strategy::Local,
        None => Strategy::RemoteLocalFallback,
    };
    let endpoint = match (&client.endpoint, &own_server) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Some(server)) => server.endpoint.clone(),
        // Nobody asks it anything.
        (None, None) => NO_SERVER.to_owned(),
    };
    let behind = Behind {
        tls: client.trust.for_endpoint(&endpoint)?,
        endpoint: endpoint.clone(),
        instance: client.instance.clone(),
    };
    let token = options.token.source(&endpoint)?;
    let has_token = token.is_some();
    let reproxy = options.reproxy.open()?;
    let ledger = reproxy.as_ref().map(Reproxy::ledger);
    let cache_dir = options
        .cache_dir
        .as_deref()
        .map(DataDirectory::open)
        .transpose()?;
    let kept_in = |usual: PathBuf, name: &str| {
        let directory = cache_dir.as_ref().map(|directory| directory.path().join(name));
        directory.unwrap_or(usual)
    };
    let tasks = Group::new("daemon");
    let daemon = Daemon::new(
        DaemonOptions {
            service: ServiceOptions {
                tls: client.trust.for_endpoint(&endpoint)?,
                endpoint,
                instance: client.instance,
                token,
            },
            is_own_server: own_server.is_some(),
            strategy: client.strategy.unwrap_or(default_strategy),
            idle: options.idle,
            platform: options.platform,
            witness: reproxy.as_ref().map(Reproxy::witness),
            rules,
            here: (options.cache_size.0 > 0).then(|| LocalCacheOptions {
                directory: kept_in(state.cache(), "cache"),
                capacity_bytes: options.cache_size.0,
            }),
            observer: Some(observer(&state)?),
            memory: Some(kept_in(state.steps(), "steps")),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        },
        tasks.clone(),
    );
    if let Some(address) = options.listen {
        if has_token {
            bail!("--listen {address}: what others ask is not asked with a token; leave one of the two out");
        }
        let kept = daemon.kept();
        let kept =
            kept.context("--listen shows what is kept on this machine, and nothing is (--cache-size)")?;
        proxy::serve(address, kept, behind, &tasks).await?;
    }
    if let Some(reproxy) = reproxy {
        reproxy.serve(daemon.clone(), &tasks);
    }
    let serving = daemon.serve(door);
    tokio::select! {
        served = serving => served.context("serving wrappers")?,
        _signal = signals.next() => {}
    }
    tasks.shut_down(GOODBYE).await;
    // Whoever asks for the end by an RPC is told what is in the books; here they are closed for everybody else.
    if let Some(ledger) = ledger {
        ledger.close();
    }
    // It lets running actions finish, which takes a while and blocks.
    let ended = tokio::task::spawn_blocking(move || drop(own_server));
    ended.await.context("ending the server")?;
    Ok(ExitCode::SUCCESS)
}

/// This program, which is the runner too.
fn observer(state: &State) -> Result<Observer> {
    let program = std::env::current_exe().context("cannot find this program")?;
    Ok(Observer {
        words: vec![program.into(), "runner".into(), "observe".into()],
        notes: state.notes()?,
    })
}

fn parse_strategy(name: &str) -> Result<Strategy, String> {
    Strategy::named(name).ok_or_else(|| {
        format!("`{name}` is no strategy; there are local, remote, remote_local_fallback and racing")
    })
}
