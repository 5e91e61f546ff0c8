//! Every flag of reclient's programs, as its own documentation has it: a row for each, in its order.
//!
//! A row is a name and a default. What each does is checked where it does it: `rewrapper/ask/tests.rs`, and
//! `reproxy/src/programs/daemon_options.rs`.

use super::*;
use crate::flags::Flag;

type Rows = &'static [(&'static str, &'static str)];

/// The flags that every program has.
const EVERY_PROGRAM: Rows = &[
    ("v", "0"),
    ("vmodule", ""),
    ("logtostderr", "false"),
    ("alsologtostderr", "false"),
    ("stderrthreshold", "ERROR"),
    ("log_dir", ""),
    ("log_backtrace_at", ""),
    ("version", "false"),
    ("version_sdk", "false"),
];

const OF_REWRAPPER: Rows = &[
    ("server_address", ""),
    ("command_id", ""),
    ("invocation_id", ""),
    ("correlated_invocations_id", ""),
    ("tool_name", ""),
    ("labels", "type=tool"),
    ("exec_root", ""),
    ("exec_timeout", "1h"),
    ("reclient_timeout", "1h"),
    ("platform", ""),
    ("env_var_allowlist", ""),
    ("inputs", ""),
    ("virtual_inputs", ""),
    ("toolchain_inputs", ""),
    ("input_list_paths", ""),
    ("output_list_paths", ""),
    ("output_files", ""),
    ("output_directories", ""),
    ("exec_strategy", "remote"),
    ("compare", "false"),
    ("num_retries_if_mismatched", "0"),
    ("num_local_reruns", "0"),
    ("num_remote_reruns", "0"),
    ("fail_on_mismatch", "false"),
    ("remote_accept_cache", "true"),
    ("remote_update_cache", "true"),
    ("download_outputs", "true"),
    ("download_regex", ""),
    ("enable_atomic_downloads", "true"),
    ("log_env", "false"),
    ("preserve_unchanged_output_mtime", "false"),
    ("local_wrapper", ""),
    ("remote_wrapper", ""),
    ("dial_timeout", "3m"),
    ("preserve_symlink", "false"),
    ("canonicalize_working_dir", "false"),
    ("action_log", ""),
    ("offline", "false"),
];

const OF_REPROXY: Rows = &[
    ("server_address", ""),
    ("log_format", "reducedtext"),
    ("log_path", ""),
    ("proxy_log_dir", ""),
    ("mismatch_ignore_config_path", ""),
    ("enable_deps_cache", "false"),
    ("cache_dir", ""),
    ("deps_cache_max_mb", "128"),
    ("num_records_to_keep", "0"),
    ("cpp_dependency_scanner_plugin", ""),
    ("ip_reset_min_delay", "3m"),
    ("racing_tmp_dir", ""),
    ("use_unified_cas_ops", "false"),
    ("local_resource_fraction", "1.0"),
    ("cache_silo", ""),
    ("version_cache_silo", "false"),
    ("remote_disabled", "false"),
    ("dump_input_tree", "false"),
    ("use_unified_uploads", "false"),
    ("use_unified_downloads", "false"),
    ("upload_buffer_size", "10000"),
    ("download_buffer_size", "10000"),
    ("upload_tick_duration", "50ms"),
    ("download_tick_duration", "50ms"),
    ("compression_threshold", "-1"),
    ("use_batches", "true"),
    ("log_keep_duration", "24h"),
    ("proxy_idle_timeout", "6h"),
    ("ip_timeout", "10m"),
    ("metrics_project", ""),
    ("metrics_prefix", ""),
    ("metrics_namespace", ""),
    ("metrics_labels", ""),
    ("fail_early_min_action_count", "0"),
    ("fail_early_min_fallback_ratio", "0"),
    ("fail_early_window", "0s"),
    ("racing_bias", "0.75"),
    ("download_tmp_dir", ""),
    ("pprof_port", "0"),
    ("pprof_file", ""),
    ("pprof_mem_file", ""),
    ("profiler_service", ""),
    ("profiler_project_id", ""),
    ("clang_depscan_archive", "false"),
    ("clang_depscan_ignored_plugins", ""),
    ("depsscanner_address", "execrel://"),
    ("depsscan_connect_timeout", "30s"),
    ("wait_for_shutdown_rpc", "false"),
    ("log_http_calls", "false"),
    ("auxiliary_metadata_path", ""),
    ("bq_project", ""),
    ("bq_table", ""),
    ("bq_batch_mb", "8"),
    ("max_listen_size_kb", "8192"),
    ("xattr_digest", ""),
    ("clean_include_paths", "false"),
    ("experimental_cache_miss_rate", "0"),
    ("experimental_sysroot_do_not_upload", "false"),
    ("experimental_goma_deps_cache", "false"),
    ("experimental_goma_deps_cache_size", "300000"),
    ("experimental_exit_on_stuck_actions", "false"),
    ("enable_creds_cache", "true"),
    ("shadow_header_detection", "false"),
];

const OF_THE_CONNECTION: Rows = &[
    ("service", ""),
    ("cas_service", ""),
    ("instance", ""),
    ("service_no_security", "false"),
    ("service_no_auth", "false"),
    ("credential_file", ""),
    ("use_application_default_credentials", "false"),
    ("use_gce_credentials", "false"),
    ("use_external_auth_token", "false"),
    ("credentials_helper", ""),
    ("credentials_helper_args", ""),
    ("use_rpc_credentials", "true"),
    ("tls_server_name", ""),
    ("tls_ca_cert", ""),
    ("tls_client_auth_cert", ""),
    ("tls_client_auth_key", ""),
    ("cas_concurrency", "500"),
    ("max_concurrent_requests_per_conn", "25"),
    ("startup_capabilities", "true"),
    // Bounds of its own by call: none is said.
    ("rpc_timeouts", ""),
    ("grpc_keepalive_time", "0s"),
    ("grpc_keepalive_timeout", "20s"),
    ("grpc_keepalive_permit_without_stream", "false"),
    ("remote_headers", ""),
];

const OF_BOOTSTRAP: Rows = &[
    ("server_address", ""),
    ("re_proxy", ""),
    ("reproxy_wait_seconds", "20"),
    ("shutdown", "false"),
    ("shutdown_seconds", "60"),
    ("log_format", "text"),
    ("log_path", ""),
    ("proxy_log_dir", ""),
    ("fast_log_collection", "false"),
    ("async_reproxy_termination", "false"),
    ("metrics_project", ""),
    ("metrics_uploader", ""),
    ("output_dir", ""),
    ("remote_disabled", "false"),
    ("cache_dir", ""),
    ("log_http_calls", "false"),
];

const OF_DUMPSTATS: Rows = &[
    ("shutdown_proxy", "false"),
    ("shutdown_seconds", "5"),
    ("server_address", ""),
    ("log_format", "text"),
    ("log_path", ""),
    ("proxy_log_dir", ""),
    ("output_dir", ""),
];

const OF_REPROXYSTATUS: Rows = &[("server_address", ""), ("color", "auto"), ("watch", "0s")];

const OF_REPROXYTOOL: Rows = &[
    ("operation", ""),
    ("digest", ""),
    ("path", ""),
    ("symlink_behavior", ""),
    ("overwrite", "false"),
    ("action_root", ""),
    ("exec_attempts", "10"),
    ("json", ""),
    ("log_path", ""),
];

/// What reproxy calls its scanner with.
const OF_SCANDEPS_SERVER: Rows = &[
    ("server_address", ""),
    ("cache_dir", ""),
    ("deps_cache_max_mb", "128"),
    ("enable_deps_cache", "false"),
    ("noenable_deps_cache", "false"),
];

#[test]
fn every_flag_is_there_with_its_default() {
    let programs: [(&str, &[Flag], Rows); 9] = [
        ("every program", LOGGING, EVERY_PROGRAM),
        ("rewrapper", REWRAPPER, OF_REWRAPPER),
        ("reproxy", REPROXY, OF_REPROXY),
        ("the connection", CONNECTION, OF_THE_CONNECTION),
        ("bootstrap", BOOTSTRAP, OF_BOOTSTRAP),
        ("dumpstats", DUMPSTATS, OF_DUMPSTATS),
        ("reproxystatus", REPROXYSTATUS, OF_REPROXYSTATUS),
        ("reproxytool", REPROXYTOOL, OF_REPROXYTOOL),
        ("scandeps_server", SCANDEPS_SERVER, OF_SCANDEPS_SERVER),
    ];
    for (program, table, rows) in programs {
        for (name, default) in rows {
            let flag = table.iter().find(|flag| flag.name == *name);
            let found = flag.map(|flag| flag.default);
            assert_eq!(found, Some(*default), "{program} -{name}");
        }
    }
}

/// A flag of ours that is no row above has to be looked for in reclient's sources, and added there.
#[test]
fn rewrapper_and_reproxy_have_no_flags_of_their_own() {
    let programs: [(&str, &[Flag], Rows); 4] = [
        ("every program", LOGGING, EVERY_PROGRAM),
        ("rewrapper", REWRAPPER, OF_REWRAPPER),
        ("reproxy", REPROXY, OF_REPROXY),
        ("the connection", CONNECTION, OF_THE_CONNECTION),
    ];
    for (program, table, rows) in programs {
        for flag in table {
            let is_row = rows.iter().any(|(name, _)| *name == flag.name);
            assert!(is_row, "{program} -{}", flag.name);
        }
    }
}
