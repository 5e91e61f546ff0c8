//! What a command has read of its inputs, and what it has looked for in vain.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::limits::{OBSERVED_BYTES_MAX, OBSERVED_PATHS_MAX};

/// Paths relative to the root, each once, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Files that were opened.
    pub files_read: BTreeSet<String>,
    /// Symlinks that were followed or read.
    pub symlinks_read: BTreeSet<String>,
    /// Directories whose names were read.
    pub directories_listed: BTreeSet<String>,
    /// Names that were looked for and are not there.
    pub lookups_failed: BTreeSet<String>,
    /// There was more than is noted ([`OBSERVED_PATHS_MAX`], [`OBSERVED_BYTES_MAX`]).
    pub truncated: bool,
}

/// What is done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    ReadFile,
    ReadSymlink,
    ListDirectory,
    LookInVain,
}

/// Notes what happens while it is switched on. What the worker does itself, before and after the command, is not noted.
#[derive(Default)]
pub(crate) struct Recorder {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_on: bool,
    observed: Observed,
    paths: usize,
    bytes: usize,
}

impl Recorder {
    pub(crate) fn switch(&self, is_on: bool) {
        self.state.lock().is_on = is_on;
    }

    pub(crate) fn observed(&self) -> Observed {
        self.state.lock().observed.clone()
    }

    pub(crate) fn note(&self, deed: Deed, path: &str) {
        let mut state = self.state.lock();
        if !state.is_on {
            return;
        }
        let State {
            observed,
            paths,
            bytes,
            ..
        } = &mut *state;
        let noted = match deed {
            Deed::ReadFile => &mut observed.files_read,
            Deed::ReadSymlink => &mut observed.symlinks_read,
            Deed::ListDirectory => &mut observed.directories_listed,
            Deed::LookInVain => &mut observed.lookups_failed,
        };
        if noted.contains(path) {
            return;
        }
        if *paths >= OBSERVED_PATHS_MAX || *bytes + path.len() > OBSERVED_BYTES_MAX {
            observed.truncated = true;
            return;
        }
        noted.insert(path.to_owned());
        *paths += 1;
        *bytes += path.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_noted_once_and_only_while_it_is_switched_on() {
        let recorder = Recorder::default();
        recorder.note(Deed::ReadFile, "before");
        recorder.switch(true);
        for (deed, path) in [
            (Deed::ReadFile, "b"),
            (Deed::ReadFile, "a"),
            (Deed::ReadFile, "b"),
            (Deed::LookInVain, "absent"),
            (Deed::ListDirectory, ""),
            (Deed::ReadSymlink, "link"),
        ] {
            recorder.note(deed, path);
        }
        recorder.switch(false);
        recorder.note(Deed::ReadFile, "after");
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let expected = Observed {
            files_read: paths(&["a", "b"]),
            symlinks_read: paths(&["link"]),
            directories_listed: paths(&[""]),
            lookups_failed: paths(&["absent"]),
            truncated: false,
        };
        assert_eq!(recorder.observed(), expected);
    }

    #[test]
    fn what_is_too_much_is_said_to_be_cut() {
        let many = Recorder::default();
        many.switch(true);
        for number in 0..OBSERVED_PATHS_MAX {
            many.note(Deed::LookInVain, &number.to_string());
        }
        assert!(!many.observed().truncated);
        many.note(Deed::LookInVain, "0");
        assert!(!many.observed().truncated, "that one is noted already");
        many.note(Deed::ReadFile, "one more");
        assert!(many.observed().truncated);

        let long = Recorder::default();
        long.switch(true);
        long.note(Deed::ReadFile, &"x".repeat(OBSERVED_BYTES_MAX));
        assert!(!long.observed().truncated);
        long.note(Deed::ReadFile, "y");
        assert!(long.observed().truncated && long.observed().files_read.len() == 1);
    }
}
