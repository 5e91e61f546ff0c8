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
