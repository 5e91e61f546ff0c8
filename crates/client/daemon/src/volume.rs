//! How much a command read, made and moved.

use std::collections::BTreeMap;

/// How much that was, as far as it is known: of a command that is recalled nobody counts what it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// What it reads.
    pub inputs: Inputs,
    /// The Command of the action, `hash/size`.
    pub command: Option<String>,
    /// Files that it made, by name: the digest, and whether it is a program.
    pub output_files: BTreeMap<String, (String, bool)>,
    /// Directories that it made, by name: the digest of each as a Tree.
    pub output_directories: BTreeMap<String, String>,
    /// All that it made and printed.
    pub output_bytes: u64,
    /// What it printed, if it did.
    pub output: Option<String>,
    /// The same of standard error.
    pub error_output: Option<String>,
    /// What of its inputs went to the server.
    pub uploaded_bytes: u64,
    /// What of its result came from there.
    pub downloaded_bytes: u64,
}

/// The input tree of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Files, those with the same in them once.
    pub files: u64,
    /// Directories, those with the same in them once.
    pub directories: u64,
    /// All of these files.
    pub bytes: u64,
}
