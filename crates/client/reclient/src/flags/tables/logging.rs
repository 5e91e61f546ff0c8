//! Flags of every program: its log, its version.

use crate::flags::table::Flag;
use crate::flags::value::Kind::{Bool, Int, Path, Text};

/// The same for all.
pub const LOGGING: &[Flag] = &[
    Flag::new("version", Bool, "false", "print the version and exit"),
    Flag::new(
        "version_sdk",
        Bool,
        "false",
        "print the version of the protocol library and exit",
    ),
    Flag::idle(
        "log_dir",
        Path,
        "",
        "what programs print goes to standard error, and reproxy's into output_dir",
    ),
    Flag::idle(
        "v",
        Int,
        "0",
        "the log has one level; see the daemon's own options",
    ),
    Flag::idle(
        "vmodule",
        Text,
        "",
        "the log has one level; see the daemon's own options",
    ),
    Flag::idle(
        "logtostderr",
        Bool,
        "false",
        "what a user has to know is always on standard error",
    ),
    Flag::idle(
        "alsologtostderr",
        Bool,
        "false",
        "what a user has to know is always on standard error",
    ),
    Flag::idle(
        "stderrthreshold",
        Text,
        "ERROR",
        "what a user has to know is always on standard error",
    ),
    Flag::idle(
        "log_backtrace_at",
        Text,
        "",
        "there are no source lines to stop at",
    ),
];
