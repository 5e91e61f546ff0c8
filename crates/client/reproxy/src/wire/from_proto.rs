//! A RunRequest becomes a request.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use daemon_api::Request;
use reclient_api::cmd::{Command, InputSpec, input_type, symlink_behavior_type};
use reclient_api::proxy::local_execution_options::LocalExecutionPlatform;
use reclient_api::proxy::{ProxyExecutionOptions, RunRequest, execution_strategy};
use settings::{Dialect, Settings, Strategy, VirtualInput};

/// The command cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The message contradicts itself or lacks something.
    Wrong(&'static str),
    /// It asks for something that our daemon does not do.
    NotHere(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Wrong(what) => write!(f, "wrong request: {what}"),
            Refused::NotHere(what) => write!(f, "not done by this daemon: {what}"),
        }
    }
}

impl std::error::Error for Refused {}

/// What the daemon is asked.
pub fn request(run: RunRequest) -> Result<Request, Refused> {
    let command = run.command.ok_or(Refused::Wrong("no command"))?;
    let options = run
        .execution_options
        .ok_or(Refused::Wrong("no execution_options"))?;
    let metadata = run.metadata.unwrap_or_default();
    if command.args.is_empty() {
        return Err(Refused::Wrong("a command without args"));
    }
    let (exec_root, directory) = places(&command)?;
    let environment = metadata.environment.iter().map(|variable| pair(variable));
    let mut settings = of_options(options)?;
    settings.labels = run.labels;
    settings.toolchain_inputs = paths(run.toolchain_inputs);
    settings.exec_root = Some(exec_root);
    let arguments = command.args.iter().map(OsString::from).collect();
    of_command(command, &mut settings)?;
    Ok(Request {
        arguments,
        directory,
        environment: environment.collect(),
        settings: settings.to_pairs(),
        is_terminal: false,
    })
}

/// The exec root and the working directory, both absolute.
fn places(command: &Command) -> Result<(PathBuf, PathBuf), Refused> {
    let exec_root = PathBuf::from(&command.exec_root);
    if !exec_root.is_absolute() {
        return Err(Refused::Wrong("exec_root is not absolute"));
    }
    let below = Path::new(&command.working_directory);
    let is_below = below
        .components()
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    if !is_below {
        return Err(Refused::Wrong("working_directory is not below exec_root"));
    }
    let remote = &command.remote_working_directory;
    if !remote.is_empty() && *remote != command.working_directory {
        return Err(Refused::NotHere(
            "another remote_working_directory; use canonicalize_working_dir",
        ));
    }
    let directory = match command.working_directory.as_str() {
        "" | "." => exec_root.clone(),
        below => exec_root.join(below),
    };
    Ok((exec_root, directory))
}

/// `NAME=VALUE`; without `=` the value is empty.
fn pair(variable: &str) -> (OsString, OsString) {
    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
    (name.into(), value.into())
}

fn paths(texts: Vec<String>) -> Vec<PathBuf> {
    texts
        .into_iter()
        .map(PathBuf::from)
        .filter(|path| !path.as_os_str().is_empty())
        .collect()
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn of_options(options: ProxyExecutionOptions) -> Result<Settings, Refused> {
    use execution_strategy::Value;
    let strategy = match options.execution_strategy() {
        Value::Unspecified => return Err(Refused::Wrong("no execution_strategy")),
        Value::Local => Strategy::Local,
        Value::Remote => Strategy::Remote,
        Value::RemoteLocalFallback => Strategy::RemoteLocalFallback,
        Value::Racing => Strategy::Racing,
    };
    let counts = [
        options.num_retries_if_mismatched,
        options.num_local_reruns,
        options.num_remote_reruns,
    ]
    .map(|count| u32::try_from(count).map_err(|_| Refused::Wrong("a negative number of reruns")));
    let [retries, local_reruns, remote_reruns] = counts;
    let (retries, remote_reruns) = (retries?, remote_reruns?);
    let reclient_timeout = u64::try_from(options.reclient_timeout).unwrap_or_default();
    if reclient_timeout == 0 {
        return Err(Refused::Wrong("reclient_timeout is not positive"));
    }
    let mut settings = Settings {
        dialect: Dialect::Reclient,
        strategy: Some(strategy),
        reclient_timeout: Some(Duration::from_secs(reclient_timeout)),
        compare: options.compare_with_local,
        local_reruns: local_reruns?,
        remote_reruns: if remote_reruns == 0 {
            retries
        } else {
            remote_reruns
        },
        log_env: options.log_environment,
        atomic_downloads: Some(options.enable_atomic_downloads),
        download_regex: some(options.download_regex),
        env_unset_is_empty: true,
        ..Settings::default()
    };
    // Without these options each of them has its default, which is not the default of a message.
    if let Some(remote) = options.remote_execution_options {
        settings.accept_cache = Some(remote.accept_cached);
        settings.uncacheable = remote.do_not_cache;
        settings.download_outputs = Some(remote.download_outputs);
        settings.remote_wrapper = some(remote.wrapper).map(OsString::from).into_iter().collect();
        settings.canonicalize_working_dir = remote.canonicalize_working_dir;
        settings.preserve_unchanged_output_mtime = remote.preserve_unchanged_output_mtime;
    }
    if let Some(local) = options.local_execution_options {
        if local.platform() == LocalExecutionPlatform::Docker {
            return Err(Refused::NotHere("local runs in an image"));
        }
        settings.update_cache = Some(!local.do_not_cache);
        if strategy == Strategy::Local {
            settings.accept_cache = Some(local.accept_cached);
        }
        settings.local_wrapper = some(local.wrapper).map(OsString::from).into_iter().collect();
    }
    Ok(settings)
}

fn of_command(command: Command, settings: &mut Settings) -> Result<(), Refused> {
    let identifiers = command.identifiers.unwrap_or_default();
    settings.command_id = some(identifiers.command_id);
    settings.invocation_id = some(identifiers.invocation_id);
    settings.correlated_invocations_id = some(identifiers.correlated_invocations_id);
    settings.exec_timeout = u64::try_from(command.execution_timeout)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    settings.platform = command.platform;
    let output = command.output.unwrap_or_default();
    settings.output_files = paths(output.output_files);
    settings.output_directories = paths(output.output_directories);
    of_inputs(command.input.unwrap_or_default(), settings)
}

fn of_inputs(input: InputSpec, settings: &mut Settings) -> Result<(), Refused> {
    use symlink_behavior_type::Value;
    settings.preserve_symlink = input.symlink_behavior() == Value::Preserve;
    settings.inputs = paths(input.inputs);
    // The values are those that were seen there, not those of the environment here.
    settings.env_allow = Some(Vec::new());
    let variables = input.environment_variables.into_iter();
    settings.env_set = variables
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    if !input.input_node_properties.is_empty() {
        return Err(Refused::NotHere("input_node_properties"));
    }
    for excluded in input.exclude_inputs {
        if excluded.r#type() != input_type::Value::Unspecified {
            return Err(Refused::NotHere("exclude_inputs of one type"));
        }
        settings.inputs_excluded.push(excluded.regex);
    }
    for input in input.virtual_inputs {
        if input.path.is_empty() {
            return Err(Refused::Wrong("a virtual input without a path"));
        }
        if input.is_empty_directory {
            settings.empty_directories.push(input.path.into());
            continue;
        }
        if input.digest.is_empty() {
            return Err(Refused::NotHere(
                "virtual inputs with contents; upload them and name their digest",
            ));
        }
        let mtime_ns = input.mtime.map(|at| {
            let nanoseconds = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
            i64::try_from(nanoseconds).map_err(|_| Refused::Wrong("the mtime of a virtual input"))
        });
        settings.virtual_inputs.push(VirtualInput {
            path: input.path.into(),
            digest: input.digest,
            mtime_ns: mtime_ns.transpose()?,
            mode: match (input.filemode, input.is_executable) {
                (0, true) => Some(0o755),
                (0, false) => None,
                (mode, _) => Some(mode),
            },
        });
    }
    Ok(())
}
