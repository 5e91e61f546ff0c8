//! What was observed, in the words of the protocol.

use std::collections::BTreeSet;

use lazy_root::{Observed, Written};
use prost::Message;
use prost_types::Any;
use worker_api::v1::ObservedInputs;

/// Nothing could be observed.
pub(crate) fn unobserved(reason: String) -> ObservedInputs {
    ObservedInputs {
        unobserved_reason: reason,
        ..ObservedInputs::default()
    }
}

/// Says instead that there is no room for it, where something was observed.
pub(crate) fn leave_out_observed(told: &mut [Any]) {
    let no_room = unobserved("the action's result leaves no room for it in one message".to_owned());
    for any in told
        .iter_mut()
        .filter(|any| any.to_msg::<ObservedInputs>().is_ok())
    {
        any.value = no_room.encode_to_vec();
    }
}

/// Leaves out what only says that the action has made its outputs.
pub(crate) fn message(observed: Observed, written: Written, outputs: &BTreeSet<String>) -> ObservedInputs {
    let list = |paths: BTreeSet<String>| paths.into_iter().collect::<Vec<_>>();
    let undeclared = |paths: BTreeSet<String>| {
        let mut paths = list(paths);
        paths.retain(|path| !is_at_or_below(path, outputs));
        paths
    };
    ObservedInputs {
        files_read: list(observed.files_read),
        symlinks_read: list(observed.symlinks_read),
        directories_listed: list(observed.directories_listed),
        lookups_failed: undeclared(observed.lookups_failed),
        undeclared_writes: undeclared(written.made),
        undeclared_removals: undeclared(written.removed),
        truncated: observed.truncated || written.truncated,
        unobserved_reason: String::new(),
    }
}

/// Whether a path is one of `outputs`, or below one.
pub(crate) fn is_at_or_below(path: &str, outputs: &BTreeSet<String>) -> bool {
    let above = path.match_indices('/').map(|(end, _)| &path[..end]);
    std::iter::once("")
        .chain(above)
        .chain([path])
        .any(|path| outputs.contains(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn check(path: &str, outputs: &[&str], expected: bool) {
        assert_eq!(
            is_at_or_below(path, &set(outputs)),
            expected,
            "{path} {outputs:?}"
        );
    }

    #[test]
    fn an_output_is_everything_below_it() {
        check("a/b/c", &["a/b"], true);
        check("a/b", &["a/b"], true);
        check("a/bc", &["a/b"], false);
        check("a", &["a/b"], false);
        check("anything/at/all", &[""], true);
        check("anything", &[], false);
    }

    #[test]
    fn what_has_no_room_is_said_to_have_none() {
        let large = ObservedInputs {
            files_read: vec!["a".repeat(1000)],
            ..Default::default()
        };
        let usage = Any::from_msg(&worker_api::v1::ResourceUsage::default()).unwrap();
        let mut told = [usage.clone(), Any::from_msg(&large).unwrap()];
        leave_out_observed(&mut told);
        assert_eq!(told[0], usage);
        let left: ObservedInputs = told[1].to_msg().unwrap();
        assert!(
            left.files_read.is_empty() && left.unobserved_reason.contains("no room"),
            "{left:?}"
        );
    }

    #[test]
    fn outputs_are_no_news() {
        let observed = Observed {
            files_read: set(&["a.h", "out/old"]),
            lookups_failed: set(&["b.h", "out/a.o"]),
            ..Observed::default()
        };
        let written = Written {
            made: set(&["out/a.o", "a.su"]),
            removed: set(&["out/old", "kept"]),
            truncated: true,
        };
        let message = message(observed, written, &set(&["out"]));
        assert_eq!(message.files_read, ["a.h", "out/old"]);
        assert_eq!(message.lookups_failed, ["b.h"]);
        assert_eq!(message.undeclared_writes, ["a.su"]);
        assert_eq!(message.undeclared_removals, ["kept"]);
        assert!(message.truncated);
    }
}
