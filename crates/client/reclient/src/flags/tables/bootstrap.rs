//! `bootstrap`, besides the flags of the connection and of logging.

use crate::flags::table::Flag;
use crate::flags::value::Kind::{Bool, Int, List, Path, Text};

/// Starts and ends reproxy.
pub const BOOTSTRAP: &[Flag] = &[
    Flag::new(
        "server_address",
        Text,
        "",
        "where reproxy listens: unix:///path or host:port",
    ),
    Flag::new(
        "re_proxy",
        Path,
        "",
        "the program to start; reproxy beside this one if empty",
    ),
    Flag::new("reproxy_wait_seconds", Int, "20", "how long it may take to start"),
    Flag::new("shutdown", Bool, "false", "end reproxy instead"),
    Flag::new("shutdown_seconds", Int, "60", "how long that may take"),
    Flag::new("log_format", Text, "text", "text or reducedtext"),
    Flag::new("log_path", Text, "", "deprecated: text://FILE"),
    Flag::new("proxy_log_dir", List, "", "directory of the logs of commands"),
    Flag::new(
        "output_dir",
        Path,
        "",
        "directory of the metrics and of reproxy's output; that of temporary files if empty",
    ),
    Flag::new("remote_disabled", Bool, "false", "everything runs here"),
    Flag::new("cache_dir", Path, "", "directory of what reproxy remembers"),
    Flag::new(
        "fast_log_collection",
        Bool,
        "false",
        "take the numbers from reproxy instead of its logs",
    ),
    Flag::idle(
        "async_reproxy_termination",
        Bool,
        "false",
        "reproxy is always waited for: what it stores must be stored",
    ),
    Flag::idle(
        "metrics_project",
        Text,
        "",
        "no metrics go to Google Cloud; read rbe_metrics.pb",
    ),
    Flag::idle(
        "metrics_uploader",
        Path,
        "",
        "no metrics go to Google Cloud; read rbe_metrics.pb",
    ),
    Flag::idle(
        "metrics_labels",
        Text,
        "",
        "no metrics go to Google Cloud; read rbe_metrics.pb",
    ),
    Flag::idle(
        "metrics_namespace",
        Text,
        "",
        "no metrics go to Google Cloud; read rbe_metrics.pb",
    ),
    Flag::idle(
        "metrics_prefix",
        Text,
        "",
        "no metrics go to Google Cloud; read rbe_metrics.pb",
    ),
    Flag::idle(
        "metrics_table",
        Text,
        "",
        "no metrics go to Google Cloud; read rbe_metrics.pb",
    ),
    Flag::idle("log_http_calls", Bool, "false", "no call is made over plain HTTP"),
];
