//! A request becomes a RunRequest: for a reproxy that is not ours, and for log records.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon_api::Request;
use prost_types::Timestamp;
use reclient_api::cmd::{
    Command, ExcludeInput, Identifiers, InputSpec, OutputSpec, VirtualInput, symlink_behavior_type,
};
use reclient_api::proxy::{
    LocalExecutionOptions, Metadata, ProxyExecutionOptions, RemoteExecutionOptions, RunRequest,
    execution_strategy,
};
use settings::{Settings, Strategy};

/// What reproxy is asked. Lists of paths (`input_list_paths`, `output_list_paths`) must have been read before: reproxy does
/// not read them.
pub fn run_request(request: &Request, settings: &Settings) -> RunRequest {
    RunRequest {
        command: Some(command(request, settings)),
        labels: settings.labels.clone(),
        execution_options: Some(options(settings)),
        metadata: Some(Metadata {
            environment: request
                .environment
                .iter()
                .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
                .collect(),
            ..Metadata::default()
        }),
        toolchain_inputs: texts(&settings.toolchain_inputs),
    }
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

fn seconds(duration: Option<Duration>) -> i32 {
    duration.map_or(0, |duration| {
        i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
    })
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The command alone.
pub(crate) fn command(request: &Request, settings: &Settings) -> Command {
    let exec_root = settings.exec_root.as_deref().unwrap_or(&request.directory);
    let below = request.directory.strip_prefix(exec_root).unwrap_or(Path::new(""));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let allowed = settings.env_allow.iter().flatten().map(|name| {
        let found = request.environment.iter().find(|(other, _)| other == name);
        (name, found.map(|(_, value)| value))
    });
    let allowed = allowed.filter(|(_, value)| value.is_some() || settings.env_unset_is_empty);
    let empty = OsString::new();
    let allowed = allowed.map(|(name, value)| (name, value.unwrap_or(&empty)));
    let set = settings.env_set.iter().map(|(name, value)| (name, value));
    Command {
        identifiers: Some(Identifiers {
            command_id: text(&settings.command_id),
            invocation_id: text(&settings.invocation_id),
            correlated_invocations_id: text(&settings.correlated_invocations_id),
            ..Identifiers::default()
        }),
        exec_root: exec_root.to_string_lossy().into_owned(),
        input: Some(InputSpec {
            inputs: texts(&settings.inputs),
            exclude_inputs: settings
                .inputs_excluded
                .iter()
                .map(|regex| excluded(regex))
                .collect(),
            environment_variables: allowed
                .chain(set)
                .map(|(name, value)| {
                    (
                        name.to_string_lossy().into_owned(),
                        value.to_string_lossy().into_owned(),
                    )
                })
                .collect(),
            virtual_inputs: virtual_inputs(settings),
            symlink_behavior: match settings.preserve_symlink {
                true => symlink_behavior_type::Value::Preserve,
                false => symlink_behavior_type::Value::Unspecified,
            }
            .into(),
            ..InputSpec::default()
        }),
        output: Some(OutputSpec {
            output_files: texts(&settings.output_files),
            output_directories: texts(&settings.output_directories),
        }),
        args: request
            .arguments
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        execution_timeout: seconds(settings.exec_timeout),
        working_directory: below.to_string_lossy().into_owned(),
        platform: settings.platform.clone(),
        remote_working_directory: String::new(),
    }
}

fn excluded(regex: &str) -> ExcludeInput {
    ExcludeInput {
        regex: regex.to_owned(),
        ..ExcludeInput::default()
    }
}

fn virtual_inputs(settings: &Settings) -> Vec<VirtualInput> {
    let files = settings.virtual_inputs.iter().map(|input| VirtualInput {
        path: input.path.to_string_lossy().into_owned(),
        digest: input.digest.clone(),
        mtime: input.mtime_ns.map(|mtime| Timestamp {
            seconds: mtime.div_euclid(1_000_000_000),
            nanos: i32::try_from(mtime.rem_euclid(1_000_000_000)).unwrap_or_default(),
        }),
        filemode: input.mode.unwrap_or_default(),
        ..VirtualInput::default()
    });
    let directories = settings.empty_directories.iter().map(|path| VirtualInput {
        path: path.to_string_lossy().into_owned(),
        is_empty_directory: true,
        ..VirtualInput::default()
    });
    files.chain(directories).collect()
}

fn options(settings: &Settings) -> ProxyExecutionOptions {
    use execution_strategy::Value;
    let wrapper = |words: &[OsString]| {
        let first = words.first().map(|word| word.to_string_lossy().into_owned());
        first.unwrap_or_default()
    };
    let accept_cached = settings.accept_cache.unwrap_or(true);
    ProxyExecutionOptions {
        execution_strategy: match settings.strategy {
            None => Value::Unspecified,
            Some(Strategy::Local) => Value::Local,
            Some(Strategy::Remote) => Value::Remote,
            Some(Strategy::RemoteLocalFallback) => Value::RemoteLocalFallback,
            Some(Strategy::Racing) => Value::Racing,
        }
        .into(),
        remote_execution_options: Some(RemoteExecutionOptions {
            accept_cached,
            do_not_cache: settings.uncacheable,
            download_outputs: settings.download_outputs.unwrap_or(true),
            wrapper: wrapper(&settings.remote_wrapper),
            canonicalize_working_dir: settings.canonicalize_working_dir,
            preserve_unchanged_output_mtime: settings.preserve_unchanged_output_mtime,
        }),
        local_execution_options: Some(LocalExecutionOptions {
            do_not_cache: !settings.update_cache.unwrap_or(true),
            accept_cached,
            wrapper: wrapper(&settings.local_wrapper),
            ..LocalExecutionOptions::default()
        }),
        compare_with_local: settings.compare,
        num_local_reruns: count(settings.local_reruns),
        num_remote_reruns: count(settings.remote_reruns),
        log_environment: settings.log_env,
        include_action_log: settings.action_log.is_some() || (settings.compare && settings.fail_on_mismatch),
        reclient_timeout: seconds(settings.reclient_timeout),
        enable_atomic_downloads: settings.atomic_downloads.unwrap_or(true),
        download_regex: settings.download_regex.clone().unwrap_or_default(),
        ..ProxyExecutionOptions::default()
    }
}
