//! `reproxy`, besides the flags of the connection and of logging.

use crate::flags::table::Flag;
use crate::flags::value::Kind::{Bool, Duration, Float, Int, List, Path, Text};

const NO_CLOUD: &str = "no metrics go to Google Cloud; read rbe_metrics.pb";
const NO_SCANNER: &str = "the daemon finds inputs itself";
const NO_BATCHERS: &str = "the daemon decides itself how blobs travel";
const NO_PROFILER: &str = "there is no profiler; use perf";
const NO_GIVING_UP: &str = "a server that fails is left alone, and the build goes on here";
const DEAD: &str = "reclient does not use it either";

/// The daemon's.
pub const REPROXY: &[Flag] = &[
    Flag::new(
        "server_address",
        Text,
        "",
        "where to listen: unix:///path or host:port",
    ),
    Flag::new(
        "log_format",
        Text,
        "reducedtext",
        "text (.rpl) or reducedtext (.rrpl: without inputs and arguments)",
    ),
    Flag::new("log_path", Text, "", "deprecated: text://FILE"),
    Flag::new(
        "proxy_log_dir",
        List,
        "",
        "directory of the logs of commands; the first counts",
    ),
    Flag::idle(
        "mismatch_ignore_config_path",
        Path,
        "",
        "every output that differs is named",
    ),
    Flag::new(
        "cache_dir",
        Path,
        "",
        "directory of what is remembered over restarts",
    ),
    Flag::idle(
        "enable_deps_cache",
        Bool,
        "false",
        "what has been found is always remembered",
    ),
    Flag::idle(
        "deps_cache_max_mb",
        Int,
        "128",
        "the bound is that of the cache directory",
    ),
    Flag::new(
        "num_records_to_keep",
        Int,
        "0",
        "how many log records are kept in memory",
    ),
    Flag::idle("cpp_dependency_scanner_plugin", Text, "", DEAD),
    Flag::idle("ip_reset_min_delay", Duration, "3m", DEAD),
    Flag::idle("racing_tmp_dir", Path, "", DEAD),
    Flag::idle("use_unified_cas_ops", Bool, "false", DEAD),
    Flag::idle("shadow_header_detection", Bool, "false", DEAD),
    Flag::new(
        "local_resource_fraction",
        Float,
        "1.0",
        "how much of the processors commands take that run here instead of elsewhere",
    ),
    Flag::new(
        "cache_silo",
        Text,
        "",
        "a part of every action's name: results are shared within a silo only",
    ),
    Flag::new("version_cache_silo", Bool, "false", "the version is a silo"),
    Flag::new(
        "remote_disabled",
        Bool,
        "false",
        "everything runs here, and no results are shared",
    ),
    Flag::idle(
        "dump_input_tree",
        Bool,
        "false",
        "farrier action show and farrier cas get have a command's inputs",
    ),
    Flag::idle("use_unified_uploads", Bool, "false", NO_BATCHERS),
    Flag::idle("use_unified_downloads", Bool, "false", NO_BATCHERS),
    Flag::idle("upload_buffer_size", Int, "10000", NO_BATCHERS),
    Flag::idle("download_buffer_size", Int, "10000", NO_BATCHERS),
    Flag::idle("upload_tick_duration", Duration, "50ms", NO_BATCHERS),
    Flag::idle("download_tick_duration", Duration, "50ms", NO_BATCHERS),
    Flag::idle("compression_threshold", Int, "-1", NO_BATCHERS),
    Flag::idle("use_batches", Bool, "true", NO_BATCHERS),
    Flag::new(
        "log_keep_duration",
        Duration,
        "24h",
        "older logs are removed at the start",
    ),
    Flag::new(
        "proxy_idle_timeout",
        Duration,
        "6h",
        "end after so long without a command; 0 is never",
    ),
    Flag::new(
        "ip_timeout",
        Duration,
        "10m",
        "how long it may take to find a command's inputs",
    ),
    Flag::idle("metrics_project", Text, "", NO_CLOUD),
    Flag::idle("metrics_prefix", Text, "", NO_CLOUD),
    Flag::idle("metrics_namespace", Text, "", NO_CLOUD),
    Flag::idle("metrics_labels", Text, "", NO_CLOUD),
    Flag::idle("fail_early_min_action_count", Int, "0", NO_GIVING_UP),
    Flag::idle("fail_early_min_fallback_ratio", Float, "0", NO_GIVING_UP),
    Flag::idle("fail_early_window", Duration, "0s", NO_GIVING_UP),
    Flag::new(
        "racing_bias",
        Float,
        "0.75",
        "with racing, how long a command waits for a late worker before it runs here too; 0 to 10",
    ),
    Flag::idle(
        "download_tmp_dir",
        Path,
        "",
        "outputs are fetched beside their place",
    ),
    Flag::idle("pprof_port", Int, "0", NO_PROFILER),
    Flag::idle("pprof_file", Path, "", NO_PROFILER),
    Flag::idle("pprof_mem_file", Path, "", NO_PROFILER),
    Flag::idle("profiler_service", Text, "", NO_PROFILER),
    Flag::idle("profiler_project_id", Text, "", NO_PROFILER),
    Flag::idle("clang_depscan_archive", Bool, "false", NO_SCANNER),
    Flag::idle("clang_depscan_ignored_plugins", List, "", NO_SCANNER),
    Flag::idle("depsscanner_address", Text, "execrel://", NO_SCANNER),
    Flag::idle("depsscan_connect_timeout", Duration, "30s", NO_SCANNER),
    Flag::idle(
        "wait_for_shutdown_rpc",
        Bool,
        "false",
        "an interrupt always ends the daemon, in good order",
    ),
    Flag::idle("log_http_calls", Bool, "false", "no call is made over plain HTTP"),
    Flag::new(
        "auxiliary_metadata_path",
        Path,
        "",
        "descriptors of what servers add to results, which is then in the logs",
    ),
    Flag::idle("bq_project", Text, "", NO_CLOUD),
    Flag::idle("bq_table", Text, "", NO_CLOUD),
    Flag::idle("bq_batch_mb", Int, "8", NO_CLOUD),
    Flag::idle(
        "max_listen_size_kb",
        Int,
        "8192",
        "what a command prints is passed on piece by piece",
    ),
    Flag::idle(
        "xattr_digest",
        Text,
        "",
        "a file's digest is that of its contents, whatever is written beside them",
    ),
    Flag::idle("clean_include_paths", Bool, "false", NO_SCANNER),
    Flag::idle(
        "experimental_cache_miss_rate",
        Int,
        "0",
        "a known result is always taken; see remote_accept_cache",
    ),
    Flag::idle("experimental_sysroot_do_not_upload", Bool, "false", NO_BATCHERS),
    Flag::idle("experimental_goma_deps_cache", Bool, "false", NO_SCANNER),
    Flag::idle("experimental_goma_deps_cache_size", Int, "300000", NO_SCANNER),
    Flag::idle(
        "experimental_exit_on_stuck_actions",
        Bool,
        "false",
        "every wait has a bound",
    ),
    Flag::idle(
        "enable_creds_cache",
        Bool,
        "true",
        "credentials are never written to disk",
    ),
];
