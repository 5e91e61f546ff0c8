use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::*;
use crate::flags::{Flag, usage};

/// Each program's name and tables.
const PROGRAMS: &[(&str, &[&[Flag]])] = &[
    ("rewrapper", &[LOGGING, REWRAPPER]),
    ("reproxy", &[LOGGING, CONNECTION, REPROXY]),
    ("bootstrap", &[LOGGING, CONNECTION, BOOTSTRAP]),
    ("dumpstats", &[LOGGING, DUMPSTATS]),
    ("reproxystatus", &[LOGGING, REPROXYSTATUS]),
    ("reproxytool", &[LOGGING, CONNECTION, REPROXYTOOL]),
    ("scandeps_server", &[LOGGING, SCANDEPS_SERVER]),
];

#[test]
fn every_default_is_a_value_and_every_name_is_there_once() {
    for (program, tables) in PROGRAMS {
        let mut names = BTreeSet::new();
        for flag in tables.iter().copied().flatten() {
            assert!(names.insert(flag.name), "{program} has two flags -{}", flag.name);
            let complaint = flag.kind.complaint(OsStr::new(flag.default));
            assert_eq!(complaint, None, "{program} -{}={}", flag.name, flag.default);
        }
    }
}

#[test]
fn usage_names_every_flag() {
    for (program, tables) in PROGRAMS {
        let text = usage(program, tables);
        for flag in tables.iter().copied().flatten() {
            assert!(
                text.contains(&format!("\n  -{} ", flag.name)),
                "{program} -{}",
                flag.name
            );
        }
    }
}

/// The defaults that a build depends on, as the reference has them.
#[test]
fn defaults_are_reclient_s() {
    let default = |table: &[Flag], name: &str| {
        let flag = table.iter().find(|flag| flag.name == name);
        flag.map(|flag| flag.default)
    };
    let rewrapper = [
        ("labels", "type=tool"),
        ("exec_timeout", "1h"),
        ("reclient_timeout", "1h"),
        ("exec_strategy", "remote"),
        ("compare", "false"),
        ("remote_accept_cache", "true"),
        ("remote_update_cache", "true"),
        ("download_outputs", "true"),
        ("enable_atomic_downloads", "true"),
        ("dial_timeout", "3m"),
        ("offline", "false"),
    ];
    let reproxy = [
        ("log_format", "reducedtext"),
        ("deps_cache_max_mb", "128"),
        ("num_records_to_keep", "0"),
        ("log_keep_duration", "24h"),
        ("proxy_idle_timeout", "6h"),
        ("ip_timeout", "10m"),
        ("racing_bias", "0.75"),
        ("compression_threshold", "-1"),
        ("local_resource_fraction", "1.0"),
    ];
    let bootstrap = [
        ("reproxy_wait_seconds", "20"),
        ("shutdown_seconds", "60"),
        ("log_format", "text"),
        ("shutdown", "false"),
    ];
    let cases = [
        (REWRAPPER, &rewrapper[..]),
        (REPROXY, &reproxy),
        (BOOTSTRAP, &bootstrap),
        (DUMPSTATS, &[("shutdown_seconds", "5")]),
        (
            CONNECTION,
            &[("cas_concurrency", "500"), ("startup_capabilities", "true")],
        ),
    ];
    for (table, expected) in cases {
        for (name, value) in expected {
            assert_eq!(default(table, name), Some(*value), "-{name}");
        }
    }
}
