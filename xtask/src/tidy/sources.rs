//! Rules about single source files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Calls that pure crates never make, because time, files and randomness come to them as arguments.
const PURE_NEVER: [&str; 6] = [
    "std::fs",
    "std::net",
    "SystemTime::now",
    "Instant::now",
    "std::env",
    "thread::sleep",
];
const PURE_FOLDERS: [&str; 4] = [
    "crates/protocol",
    "crates/execution/scheduler",
    "crates/client/compiler",
    "crates/client/include-scanner",
];

/// The one file of each door that turns errors into gRPC statuses by code is what callers of a store must not need.
const STATUS_FREE_FOLDERS: [&str; 6] = [
    "crates/protocol/blob",
    "crates/protocol/merkle",
    "crates/protocol/action",
    "crates/storage/cas/",
    "crates/storage/action-cache",
    "crates/execution/scheduler",
];

/// Every Rust file of ours that a person wrote, relative to the root.
pub(crate) fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "xtask", "e2e", "bench"]
        .map(|folder| root.join(folder))
        .into();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            let name = entry.file_name();
            if kind.is_dir() && name != "generated" && name != "target" {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {shown}"))?;
        let is_test = shown.contains("/tests/") || shown.ends_with("tests.rs");
        if !is_test && !text.starts_with("//!") && !text.starts_with("#!") {
            complaints.push(format!(
                "{shown}: begin with a `//!` line that says what the file is for"
            ));
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if is_test {
            continue;
        }
        if PURE_FOLDERS.iter().any(|folder| shown.starts_with(folder)) && shown.contains("/src/") {
            for never in PURE_NEVER.iter().filter(|never| code.contains(**never)) {
                complaints.push(format!("{shown}: pure code does not use `{never}`"));
            }
        }
        if STATUS_FREE_FOLDERS.iter().any(|folder| shown.starts_with(folder))
            && code.contains("tonic::Status")
        {
            complaints.push(format!(
                "{shown}: errors keep their meaning until the door; no tonic::Status here"
            ));
        }
    }
    Ok(complaints)
}
