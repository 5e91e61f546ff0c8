//! The smaller programs, besides the flags of logging.

use crate::flags::table::Flag;
use crate::flags::value::Kind::{Bool, Int, List, Path, Text};

/// `dumpstats`.
pub const DUMPSTATS: &[Flag] = &[
    Flag::new("shutdown_proxy", Bool, "false", "end reproxy first"),
    Flag::new("shutdown_seconds", Int, "5", "how long that may take"),
    Flag::new("server_address", Text, "", "where reproxy listens"),
    Flag::new("log_format", Text, "text", "text or reducedtext"),
    Flag::new("log_path", Text, "", "deprecated: text://FILE"),
    Flag::new("proxy_log_dir", List, "", "directories of the logs of commands"),
    Flag::new("output_dir", Path, "", "directory of the metrics"),
];

/// `reproxystatus`.
pub const REPROXYSTATUS: &[Flag] = &[
    Flag::new(
        "server_address",
        Text,
        "",
        "where reproxy listens; every one on this machine if empty",
    ),
    Flag::new("color", Text, "auto", "off, on or auto"),
    Flag::new(
        "watch",
        crate::flags::value::Kind::Duration,
        "0s",
        "say it again after so long, until interrupted",
    ),
];

/// `reproxytool`.
pub const REPROXYTOOL: &[Flag] = &[
    Flag::new("operation", Text, "", "what to do"),
    Flag::new("digest", Text, "", "hash/size of what it is about"),
    Flag::new("path", Path, "", "file or directory here"),
    Flag::new("symlink_behavior", Text, "", "resolve or preserve"),
    Flag::new("overwrite", Bool, "false", "replace what is there"),
    Flag::new("action_root", Path, "", "directory of an action"),
    Flag::new("exec_attempts", Int, "10", "how often to run it"),
    Flag::new("json", Path, "", "file for the answer as JSON"),
    Flag::new("log_path", Text, "", "log to read"),
];

/// `scandeps_server`.
pub const SCANDEPS_SERVER: &[Flag] = &[
    Flag::new("server_address", Text, "", "where to listen"),
    Flag::new(
        "cache_dir",
        Path,
        "",
        "directory of what is remembered over restarts",
    ),
    Flag::idle(
        "deps_cache_max_mb",
        Int,
        "128",
        "the bound is that of the cache directory",
    ),
    Flag::idle(
        "enable_deps_cache",
        Bool,
        "false",
        "what has been found is always remembered",
    ),
    Flag::idle(
        "noenable_deps_cache",
        Bool,
        "false",
        "what has been found is always remembered",
    ),
    Flag::idle(
        "experimental_deadlock",
        Int,
        "0",
        "reclient does not use it either",
    ),
    Flag::idle(
        "experimental_segfault",
        Int,
        "0",
        "reclient does not use it either",
    ),
    Flag::idle(
        "shadow_header_detection",
        Bool,
        "false",
        "a header that would come first is always noticed",
    ),
];
