//! From flags to what the daemon is asked.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use settings::{Dialect, Settings, Strategy};

use crate::address::{Address, NoAddress};
use crate::flags::Flags;
use crate::rewrapper::virtual_inputs;

/// What a command line of rewrapper asks for.
#[derive(Debug)]
pub struct Ask {
    /// Where reproxy is; `None` leaves it to the environment.
    pub address: Option<Address>,
    /// How long to try to reach it.
    pub dial_timeout: Duration,
    /// For the daemon.
    pub settings: Settings,
}

/// Nothing can be asked.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its message says")]
pub enum NoAsk {
    UnknownStrategy { name: String },
    NegativeCount { name: &'static str },
    MismatchWithoutCompare,
    NoAddress(NoAddress),
    OutsideExecRoot { directory: PathBuf, exec_root: PathBuf },
    VirtualInputs(String),
    NoTime,
}

impl fmt::Display for NoAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAsk::UnknownStrategy { name } => write!(
                f,
                "exec_strategy {name:?} is none of local, remote, remote_local_fallback, racing"
            ),
            NoAsk::NegativeCount { name } => {
                write!(f, "{name} must not be negative, and not above {}", u32::MAX)
            }
            NoAsk::MismatchWithoutCompare => write!(f, "fail_on_mismatch needs compare"),
            NoAsk::NoAddress(error) => write!(f, "server_address: {error}"),
            NoAsk::OutsideExecRoot { directory, exec_root } => write!(
                f,
                "the working directory {} is not below the exec root {}",
                directory.display(),
                exec_root.display()
            ),
            NoAsk::VirtualInputs(error) => write!(f, "{error}"),
            NoAsk::NoTime => write!(f, "reclient_timeout must be at least a second"),
        }
    }
}

impl std::error::Error for NoAsk {}

/// What these flags ask for in this directory, which has no links in its path; nor has the exec root after `resolve`.
pub fn ask(flags: &Flags, directory: &Path, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Ask, NoAsk> {
    let strategy = flags.text("exec_strategy");
    let strategy = Strategy::named(&strategy).ok_or(NoAsk::UnknownStrategy { name: strategy })?;
    let [retries, local_reruns, remote_reruns] = [
        "num_retries_if_mismatched",
        "num_local_reruns",
        "num_remote_reruns",
    ]
    .map(|name| u32::try_from(flags.int(name)).map_err(|_| NoAsk::NegativeCount { name }));
    let (retries, remote_reruns) = (retries?, remote_reruns?);
    let compare = flags.bool("compare");
    let fail_on_mismatch = flags.bool("fail_on_mismatch");
    if fail_on_mismatch && !compare {
        return Err(NoAsk::MismatchWithoutCompare);
    }
    let address = match flags.text("server_address") {
        text if text.is_empty() => None,
        text => Some(Address::parse(&text).map_err(NoAsk::NoAddress)?),
    };
    let exec_root = match flags.path("exec_root") {
        Some(path) => resolve(&directory.join(path)),
        None => directory.to_owned(),
    };
    if !directory.starts_with(&exec_root) {
        let directory = directory.to_owned();
        return Err(NoAsk::OutsideExecRoot { directory, exec_root });
    }
    let update_cache = flags.bool("remote_update_cache");
    let below = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
        let paths = paths.into_iter();
        paths.map(|path| from_exec_root(path, &exec_root)).collect()
    };
    let settings = Settings {
        dialect: Dialect::Reclient,
        command_id: flags.some_text("command_id"),
        invocation_id: flags.some_text("invocation_id"),
        correlated_invocations_id: flags.some_text("correlated_invocations_id"),
        labels: flags.map("labels"),
        strategy: Some(strategy),
        exec_timeout: whole_seconds(flags, "exec_timeout"),
        reclient_timeout: Some(whole_seconds(flags, "reclient_timeout").ok_or(NoAsk::NoTime)?),
        platform: flags.map("platform"),
        env_allow: Some(flags.list("env_var_allowlist")),
        env_unset_is_empty: true,
        inputs: below(flags.paths("inputs")),
        virtual_inputs: virtual_inputs::parse(&flags.text("virtual_inputs")).map_err(NoAsk::VirtualInputs)?,
        toolchain_inputs: below(flags.paths("toolchain_inputs")),
        input_list_paths: from_directory(flags.paths("input_list_paths"), directory),
        output_list_paths: from_directory(flags.paths("output_list_paths"), directory),
        output_files: below(flags.paths("output_files")),
        output_directories: below(flags.paths("output_directories")),
        compare,
        local_reruns: local_reruns?,
        remote_reruns: if remote_reruns == 0 {
            retries
        } else {
            remote_reruns
        },
        fail_on_mismatch,
        accept_cache: Some(flags.bool("remote_accept_cache")),
        // A local run that is not to be stored may still take a result: so it must have the action's usual name.
        update_cache: Some(update_cache),
        uncacheable: !update_cache && strategy != Strategy::Local,
        download_outputs: Some(flags.bool("download_outputs")),
        download_regex: flags.some_text("download_regex"),
        atomic_downloads: Some(flags.bool("enable_atomic_downloads")),
        log_env: flags.bool("log_env"),
        preserve_unchanged_output_mtime: flags.bool("preserve_unchanged_output_mtime"),
        local_wrapper: wrapper(flags, "local_wrapper"),
        remote_wrapper: wrapper(flags, "remote_wrapper"),
        preserve_symlink: flags.bool("preserve_symlink"),
        canonicalize_working_dir: flags.bool("canonicalize_working_dir"),
        action_log: flags.path("action_log").map(|path| directory.join(path)),
        exec_root: Some(exec_root.clone()),
        ..Settings::default()
    };
    Ok(Ask {
        address,
        dial_timeout: flags.duration("dial_timeout"),
        settings,
    })
}

/// Times of commands are whole seconds; none is no limit.
fn whole_seconds(flags: &Flags, name: &str) -> Option<Duration> {
    let seconds = flags.duration(name).as_secs();
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn wrapper(flags: &Flags, name: &str) -> Vec<OsString> {
    flags
        .path(name)
        .map(PathBuf::into_os_string)
        .into_iter()
        .collect()
}

/// Paths of inputs and outputs are relative to the exec root, or absolute; those below it become relative.
fn from_exec_root(path: PathBuf, exec_root: &Path) -> PathBuf {
    match path.strip_prefix(exec_root) {
        Ok(below) if below.as_os_str().is_empty() => Component::CurDir.as_os_str().into(),
        Ok(below) => below.to_owned(),
        Err(_) => path,
    }
}

/// Lists are read from where rewrapper was called.
fn from_directory(paths: Vec<PathBuf>, directory: &Path) -> Vec<PathBuf> {
    paths.into_iter().map(|path| directory.join(path)).collect()
}

#[cfg(test)]
mod tests;
