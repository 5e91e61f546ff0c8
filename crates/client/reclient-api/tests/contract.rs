//! What travels, as reclient's own programs have it: every field of every message by its number, every value of every
//! enumeration, every call. A number that moves is a message that others misread.

#![allow(clippy::unwrap_used, reason = "tests: a failure is one")]

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// A message, and its fields as `number name` with commas between them. Fields that nobody uses any more need no row.
const MESSAGES: &[(&str, &str)] = &[
    // Between rewrapper and reproxy.
    (
        "proxy.RunRequest",
        "1 command, 2 labels, 3 execution_options, 4 metadata, 5 toolchain_inputs",
    ),
    ("proxy.Metadata", "1 event_times, 2 environment"),
    (
        "proxy.RunResponse",
        "1 stdout, 2 stderr, 3 result, 4 execution_id, 5 action_log, 6 remote_fallback_info",
    ),
    (
        "proxy.RemoteFallbackInfo",
        "1 exit_code, 2 stdout, 3 stderr, 4 result_status",
    ),
    (
        "proxy.ProxyExecutionOptions",
        "1 execution_strategy, 2 remote_execution_options, 3 local_execution_options, 4 compare_with_local, \
         5 num_retries_if_mismatched, 6 num_local_reruns, 7 num_remote_reruns, 8 log_environment, 9 include_action_log, \
         10 reclient_timeout, 11 enable_atomic_downloads, 12 download_regex",
    ),
    (
        "proxy.RemoteExecutionOptions",
        "1 accept_cached, 2 do_not_cache, 3 download_outputs, 5 wrapper, 6 canonicalize_working_dir, \
         7 preserve_unchanged_output_mtime",
    ),
    (
        "proxy.LocalExecutionOptions",
        "1 platform, 2 do_not_cache, 3 accept_cached, 4 wrapper",
    ),
    (
        "proxy.GetStatusSummaryResponse",
        "1 completed_action_stats, 2 running_actions, 3 qps",
    ),
    ("proxy.ShutdownResponse", "1 stats"),
    ("proxy.GetRecordsResponse", "1 records"),
    ("proxy.AddProxyEventsRequest", "1 event_times"),
    // The command.
    (
        "cmd.Command",
        "1 identifiers, 2 exec_root, 3 input, 4 output, 5 args, 6 execution_timeout, 7 working_directory, 8 platform, \
         9 remote_working_directory",
    ),
    (
        "cmd.Identifiers",
        "1 command_id, 2 invocation_id, 3 correlated_invocations_id, 4 tool_name, 5 tool_version, 6 execution_id",
    ),
    (
        "cmd.InputSpec",
        "2 inputs, 3 exclude_inputs, 4 environment_variables, 5 virtual_inputs, 6 symlink_behavior, 7 input_node_properties",
    ),
    (
        "cmd.VirtualInput",
        "1 path, 2 contents, 3 is_executable, 4 is_empty_directory, 5 digest, 6 mtime, 7 filemode",
    ),
    ("cmd.OutputSpec", "1 output_files, 2 output_directories"),
    ("cmd.CommandResult", "1 status, 2 exit_code, 3 msg"),
    // The scanner.
    (
        "scandeps.CPPProcessInputsRequest",
        "1 command, 2 filename, 3 directory, 4 cmd_env, 5 exec_id",
    ),
    (
        "scandeps.CPPProcessInputsResponse",
        "1 dependencies, 2 used_cache, 3 error",
    ),
    (
        "scandeps.StatusResponse",
        "1 name, 2 version, 3 uptime, 4 completed_actions, 5 running_actions, 6 longest_current_action",
    ),
    (
        "scandeps.CapabilitiesResponse",
        "1 caching, 2 expects_resource_dir",
    ),
    // The log.
    (
        "log.LogRecord",
        "1 command, 2 result, 3 remote_metadata, 4 local_metadata, 5 completion_status",
    ),
    (
        "log.RemoteMetadata",
        "1 result, 2 cache_hit, 3 num_input_files, 4 num_input_directories, 5 total_input_bytes, 6 command_digest, \
         7 action_digest, 8 event_times, 9 num_output_files, 10 num_output_directories, 11 total_output_bytes, \
         13 logical_bytes_uploaded, 14 real_bytes_uploaded, 15 logical_bytes_downloaded, 16 real_bytes_downloaded, \
         17 rerun_metadata, 18 output_file_digests, 19 output_directory_digests, 20 stderr_digest, 21 stdout_digest, \
         22 auxiliary_metadata, 23 output_file_is_executable",
    ),
    (
        "log.LocalMetadata",
        "1 result, 2 executed_locally, 3 valid_cache_hit, 4 updated_cache, 5 verification, 6 event_times, 7 environment, \
         8 labels, 9 rerun_metadata",
    ),
    (
        "log.Verification",
        "1 mismatches, 2 total_mismatches, 3 total_verified, 4 total_ignored_mismatches",
    ),
    (
        "log.Verification.Mismatch",
        "1 path, 5 remote_digests, 6 action_digest, 7 local_digests, 8 ignored, 9 determinism, 10 remote_exit_codes, \
         11 local_exit_codes",
    ),
    // The numbers of a build.
    (
        "stats.Stats",
        "1 num_records, 2 stats, 4 verification, 5 tool_version, 6 invocation_ids, 7 machine_info, 9 proxy_info, \
         10 build_cache_hit_ratio, 11 build_latency, 12 fatal_exit, 13 log_directories",
    ),
    ("stats.MachineInfo", "1 num_cpu, 2 ram_mbs, 3 os_family, 4 arch"),
    (
        "stats.Stat",
        "1 name, 2 count, 3 counts_by_value, 4 outliers, 5 median, 6 percentile75, 7 percentile85, 8 percentile95, 9 average",
    ),
];

/// An enumeration, and its values in the same way.
const ENUMERATIONS: &[(&str, &str)] = &[
    (
        "proxy.ExecutionStrategy.Value",
        "0 UNSPECIFIED, 1 LOCAL, 2 REMOTE, 3 REMOTE_LOCAL_FALLBACK, 4 RACING",
    ),
    (
        "cmd.SymlinkBehaviorType.Value",
        "0 UNSPECIFIED, 1 RESOLVE, 2 PRESERVE",
    ),
    (
        "cmd.CommandResultStatus.Value",
        "0 UNKNOWN, 1 SUCCESS, 2 CACHE_HIT, 3 NON_ZERO_EXIT, 4 TIMEOUT, 5 INTERRUPTED, 6 REMOTE_ERROR, 7 LOCAL_ERROR",
    ),
    (
        "log.CompletionStatus",
        "0 STATUS_UNKNOWN, 1 STATUS_CACHE_HIT, 2 STATUS_REMOTE_EXECUTION, 3 STATUS_LOCAL_FALLBACK, 4 STATUS_LOCAL_EXECUTION, \
         5 STATUS_RACING_LOCAL, 6 STATUS_RACING_REMOTE, 7 STATUS_REMOTE_FAILURE, 8 STATUS_LOCAL_FAILURE, \
         9 STATUS_NON_ZERO_EXIT, 10 STATUS_TIMEOUT, 11 STATUS_INTERRUPTED",
    ),
];

/// A service and its calls; none streams.
const SERVICES: &[(&str, &str)] = &[
    ("proxy.Commands", "RunCommand, Shutdown"),
    ("proxy.Stats", "GetRecords, AddProxyEvents"),
    ("proxy.Status", "GetStatusSummary"),
    (
        "scandeps.CPPDepsScanner",
        "ProcessInputs, Status, Shutdown, Capabilities",
    ),
];

#[derive(Default)]
struct Known {
    messages: BTreeMap<String, Vec<String>>,
    enumerations: BTreeMap<String, Vec<String>>,
    services: BTreeMap<String, Vec<String>>,
}

impl Known {
    fn of(files: FileDescriptorSet) -> Self {
        let mut known = Known::default();
        for file in files.file {
            let package = file.package().to_owned();
            for message in &file.message_type {
                known.message(&package, message);
            }
            for values in &file.enum_type {
                known.enumeration(&package, values);
            }
            for service in &file.service {
                let calls = service.method.iter().map(|call| {
                    assert!(!call.client_streaming() && !call.server_streaming(), "{call:?}");
                    call.name().to_owned()
                });
                known
                    .services
                    .insert(format!("{package}.{}", service.name()), calls.collect());
            }
        }
        known
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for inner in &message.nested_type {
            self.message(&name, inner);
        }
        for values in &message.enum_type {
            self.enumeration(&name, values);
        }
        let fields = message.field.iter();
        let fields = fields.map(|field| format!("{} {}", field.number(), field.name()));
        self.messages.insert(name, fields.collect());
    }

    fn enumeration(&mut self, scope: &str, values: &prost_types::EnumDescriptorProto) {
        let name = format!("{scope}.{}", values.name());
        let values = values.value.iter();
        let values = values.map(|value| format!("{} {}", value.number(), value.name()));
        self.enumerations.insert(name, values.collect());
    }
}

fn check(kind: &str, rows: &[(&str, &str)], known: &BTreeMap<String, Vec<String>>) {
    let mut missing = Vec::new();
    for (name, row) in rows {
        for wanted in row.split(", ").map(str::trim) {
            let is_there = known
                .get(*name)
                .is_some_and(|found| found.iter().any(|found| found == wanted));
            if !is_there {
                missing.push(format!("{name}: {wanted}; it has {:?}", known.get(*name)));
            }
        }
    }
    assert!(missing.is_empty(), "{kind}:\n{}", missing.join("\n"));
}

#[test]
fn every_number_is_reclient_s() {
    let files = FileDescriptorSet::decode(reclient_api::DESCRIPTORS).unwrap();
    let known = Known::of(files);
    check("messages", MESSAGES, &known.messages);
    check("enumerations", ENUMERATIONS, &known.enumerations);
    check("calls", SERVICES, &known.services);
}
