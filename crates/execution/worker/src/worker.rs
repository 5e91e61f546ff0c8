//! The parts of a worker, put together.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action::{ContainerImage, Platform};
use runner_api::{Availability, Capabilities, Runner};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tasks::Group;
use thiserror::Error;
use tonic::transport::Channel;

use crate::blocking::blocking;
use crate::build_directory::{BuildDirectories, Placement};
use crate::executor::{
    Executor, Images, LiveOutput, Local, Possible, Results, Stores, SurroundingsOptions, fault_guarded,
};
use crate::fetch::Fetcher;
use crate::file_cache::FileCache;
use crate::input_tree::DirectoryCache;
use crate::lazy_inputs::{LazyOptions, LazyParts};
use crate::limits::HOST_TOOLS_LOOK_INTERVAL;
use crate::persistent::Persistent;
use crate::sync_loop::{Identity, LeaveBy, Server, SyncError, SyncLoop};
use crate::tools::{HostTools, Tools};
use crate::tree_cache::TreeCache;

/// What a worker is to be like.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// For people; appears in the metadata of results.
    pub name: String,
    /// How many actions run at once; at least 1.
    pub slots: u32,
    /// What is offered to actions, by name and value; see [`default_properties`].
    pub properties: Vec<(String, String)>,
    /// How much memory all actions together may use; zero if nothing bounds it.
    pub memory_bytes: u64,
    /// What else there is a certain amount of, by name.
    pub resources: Vec<(String, u64)>,
    /// Where build directories and cached files are. Nothing else may be in it, and no other worker.
    pub directory: PathBuf,
    /// How many bytes of input files are kept between actions. One action's inputs may not be more.
    pub cache_bytes_max: u64,
    /// How many bytes of directory trees are kept between actions, to lay input roots over and to run commands in. Zero: none
    /// are, and no action has an image.
    pub tree_cache_bytes_max: u64,
    /// How many bytes of stdout and of stderr are kept for each action; the rest is dropped, with a note.
    pub log_bytes_max: u64,
    /// What actions may have around them.
    pub surroundings: SurroundingsOptions,
    /// What one action may use.
    pub limits: ActionLimits,
    /// How many processes may outlive the action they were started for, to serve those like it. Zero: none does.
    pub persistent_processes_max: u32,
    /// Which actions fetch their inputs when they open them.
    pub lazy_inputs: LazyOptions,
    /// What is said of this machine's tools.
    pub host_tools: HostTools,
}

/// What one action may use at most, where the runner can bound it. `None` is no bound of its own: all actions together
/// have what the runner was given.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActionLimits {
    /// Bytes of memory, files in memory and `/tmp` included.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads at one time.
    pub processes_max: Option<u32>,
    /// Processors, unless the action's platform asks for more.
    pub processors_max: Option<u32>,
    /// Bytes of files on the worker's disk, beside inputs. Kept by looking, so that it may be passed for a moment.
    pub disk_bytes_max: Option<u64>,
}

impl ActionLimits {
    /// How many processors an action of this platform may use: what it has slots for, at least.
    pub(crate) fn processors_of(&self, platform: &Platform) -> Option<u32> {
        let asked = platform.values("cpus").filter_map(|cpus| cpus.parse().ok()).max();
        self.processors_max.map(|max| max.max(asked.unwrap_or(0)))
    }
}

/// What a worker works with.
pub struct WorkerParts {
    /// Runs the commands.
    pub runner: Arc<dyn Runner>,
    /// What the runner has said of itself.
    pub capabilities: Capabilities,
    /// Where the blobs of an instance are.
    pub stores: Stores,
    /// Where the results of an instance are, images among them.
    pub results: Results,
    /// To the server. Keep-alive and TCP_NODELAY are whoever makes it to set.
    pub channel: Channel,
    /// To the same server, for what commands print while somebody reads it. A connection of its own: a reader that takes
    /// nothing must hold up nothing else.
    pub output_channel: Channel,
    /// What the server wants to see before it gives out work.
    pub token: Option<String>,
}

/// Takes actions from a server and executes them on this machine.
pub struct Worker {
    identity: Identity,
    server: Server,
    executor: Arc<dyn Executor>,
    actions: Group,
    processes: Group,
    /// Held for as long as the worker lives.
    _lock: File,
}

/// Why a worker cannot start, or had to stop.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Another worker is there.
    #[error("{} is used by another worker (process {pid}); give each worker a directory of its own", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Who uses it, as it wrote itself.
        pid: String,
    },
    /// The directory cannot be used.
    #[error("worker directory {}: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An option makes no sense.
    #[error("worker option {option}: {reason}")]
    Option {
        /// Which one.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The server will not have it.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// How long actions that are being stopped may take to die before the worker ends without them.
const ACTIONS_PATIENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// Takes the directory, cleans up what an earlier worker has left there, and reads what is cached. Background
    /// tasks run in `group`.
    pub async fn open(
        options: WorkerOptions,
        parts: WorkerParts,
        group: &Group,
    ) -> Result<Self, WorkerError> {
        let WorkerOptions {
            name,
            slots,
            mut properties,
            memory_bytes,
            resources,
            directory,
            cache_bytes_max,
            tree_cache_bytes_max,
            log_bytes_max,
            surroundings,
            limits,
            persistent_processes_max,
            lazy_inputs,
            host_tools,
        } = options;
        let WorkerParts {
            runner,
            capabilities,
            stores,
            results,
            channel,
            output_channel,
            token,
        } = parts;
        if slots == 0 || slots > capabilities.runs_max {
            let reason = format!(
                "{slots}, but 1 to {} are possible with this runner",
                capabilities.runs_max
            );
            return Err(WorkerError::Option {
                option: "slots",
                reason,
            });
        }
        if persistent_processes_max > capabilities.runs_max - slots {
            let reason = format!(
                "{persistent_processes_max}, but with {slots} slots at most {} are possible with this runner",
                capabilities.runs_max - slots
            );
            return Err(WorkerError::Option {
                option: "persistent workers",
                reason,
            });
        }
        let directories_max = (slots + persistent_processes_max) as usize;
        let token = token.as_deref();
        let server = Server::new(channel, token).map_err(|reason| WorkerError::Option {
            option: "token",
            reason,
        })?;
        let mut surroundings = Possible::new(surroundings, &capabilities);
        let fetcher = Fetcher::new();
        let (opened, lazy, tools) = {
            let (directory, fetcher, group) = (directory, fetcher.clone(), group.clone());
            let open = move || {
                let opened = open_directory(
                    &directory,
                    cache_bytes_max,
                    tree_cache_bytes_max,
                    directories_max,
                    fetcher,
                    &capabilities,
                    &group,
                )?;
                let lazy = LazyParts::open(lazy_inputs, &directory, &group);
                let lazy = lazy.map_err(|reason| WorkerError::Option {
                    option: "lazy inputs",
                    reason: format!("this machine cannot have them for every action: {reason}"),
                })?;
                let tools = Tools::open(host_tools, HOST_TOOLS_LOOK_INTERVAL, &group);
                Ok::<_, WorkerError>((opened, lazy, tools))
            };
            blocking(open).await?
        };
        let Opened {
            lock,
            files,
            build_directories,
            trees,
        } = opened;
        // Whoever says which image this machine is has none in it.
        let names_one = properties
            .iter()
            .any(|(name, _)| name == ContainerImage::PROPERTY);
        let images = trees
            .clone()
            .filter(|_| !names_one)
            .map(|trees| Images::new(trees, results));
        if images.is_some() {
            properties.push((
                ContainerImage::PROPERTY.to_owned(),
                ContainerImage::ANY.to_owned(),
            ));
        }
        surroundings.images = images.is_some();
        let processes = group.child("persistent processes");
        let persistent = (persistent_processes_max > 0)
            .then(|| Persistent::new(persistent_processes_max as usize, processes.clone()));
        let executor = Local {
            worker: name.clone(),
            stores,
            directories: DirectoryCache::new(fetcher),
            files,
            build_directories,
            trees,
            images,
            runner,
            log_bytes_max,
            surroundings,
            limits,
            live_output: LiveOutput::new(output_channel),
            persistent,
            lazy,
            tools: tools.clone(),
        };
        // Unlike its name, never the same again: a worker that comes back with nothing is another one.
        let worker_id = uuid::Uuid::new_v4().to_string();
        Ok(Worker {
            identity: Identity {
                worker_id,
                name,
                properties,
                slots,
                memory_bytes,
                resources,
                host_tools: tools.announced(),
            },
            server,
            executor: fault_guarded(Arc::new(executor)),
            actions: group.child("actions"),
            processes,
            _lock: lock,
        })
    }

    /// Works until `leave` says by when it has to be gone, finishes what is running, and returns when the server has the
    /// results. What will not be finished by then is given back to the server, to be run elsewhere. To stop at once, drop
    /// the future: whatever runs is then killed.
    pub async fn run(self, leave: LeaveBy) -> Result<(), WorkerError> {
        let Worker {
            identity,
            server,
            executor,
            actions,
            processes,
            _lock,
        } = self;
        let ended = SyncLoop::new(identity, server, executor, actions.clone())
            .run(leave)
            .await;
        actions.shut_down(ACTIONS_PATIENCE).await;
        processes.shut_down(ACTIONS_PATIENCE).await;
        Ok(ended?)
    }
}

/// Below a worker's directory.
const CACHE: &str = "cache";
const BUILDS: &str = "builds";
const LOCK: &str = "lock";

const TREES: &str = "trees";

/// What there is on the disk.
struct Opened {
    lock: File,
    files: Arc<FileCache>,
    build_directories: Arc<BuildDirectories>,
    trees: Option<Arc<TreeCache>>,
}

fn open_directory(
    directory: &Path,
    cache_bytes_max: u64,
    tree_cache_bytes_max: u64,
    directories_max: usize,
    fetcher: Fetcher,
    capabilities: &Capabilities,
    group: &Group,
) -> Result<Opened, WorkerError> {
    let failed = |source| WorkerError::Directory {
        directory: directory.to_owned(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    // The runner is given paths, and wants them absolute.
    let directory = std::fs::canonicalize(directory).map_err(failed)?;
    let lock = lock(&directory)?;
    // Of a worker that was killed; whatever works below would fail on what is dead.
    if lazy_root::detach_below(&directory).map_err(failed)? > 0 {
        tracing::info!(directory = %directory.display(), "an earlier worker has left mounts; they are gone");
    }
    let files = FileCache::open(&directory.join(CACHE), cache_bytes_max, fetcher).map_err(failed)?;
    let files = Arc::new(files);
    let placement = Arc::new(Placement::for_runner(capabilities));
    let builds = directory.join(BUILDS);
    let build_directories =
        BuildDirectories::open(&builds, files.clone(), placement.clone(), directories_max, group)
            .map_err(failed)?;
    let opened = TreeCache::open(
        &directory.join(TREES),
        files.clone(),
        placement.clone(),
        tree_cache_bytes_max,
        directories_max,
        group,
    );
    let trees = match (opened.map_err(failed)?, &capabilities.overlays) {
        _ if tree_cache_bytes_max == 0 => None,
        (Ok(trees), Availability::Available) if placement.links_files => Some(Arc::new(trees)),
        (Ok(_), Availability::Available) => without_trees("its files would be the actions' own"),
        (Ok(_), Availability::Missing { why }) => without_trees(why),
        (Err(error), _) => without_trees(&error.to_string()),
    };
    Ok(Opened {
        lock,
        files,
        build_directories: Arc::new(build_directories),
        trees,
    })
}

/// Said once, when the worker starts.
fn without_trees(why: &str) -> Option<Arc<TreeCache>> {
    tracing::warn!(
        why,
        "input roots are laid out file by file, and no action has an image: this worker cannot make overlays"
    );
    None
}

/// Makes sure that nobody else works here. The lock goes with the process, however that ends.
fn lock(directory: &Path) -> Result<File, WorkerError> {
    let failed = |source| WorkerError::Directory {
        directory: directory.to_owned(),
        source,
    };
    let path = directory.join(LOCK);
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            lock.read_to_string(&mut pid).map_err(failed)?;
            return Err(WorkerError::InUse {
                directory: directory.to_owned(),
                pid: pid.trim().to_owned(),
            });
        }
        Err(error) => return Err(failed(error.into())),
    }
    let mut note = || -> io::Result<()> {
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())
    };
    note().map_err(failed)?;
    Ok(lock)
}

/// What this machine offers, in the words of REAPI's platform lexicon.
pub fn default_properties() -> Vec<(String, String)> {
    let isa = match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "x86" => "x86-32",
        "aarch64" => "arm-a64",
        "arm" => "arm-a32",
        other => other,
    };
    vec![
        ("OSFamily".to_owned(), std::env::consts::OS.to_owned()),
        ("ISA".to_owned(), isa.to_owned()),
    ]
}

#[cfg(test)]
mod tests;
