//! Programs of ours that go on in the background.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Starts this program with other words, away from the terminal and from whoever kills a process group. What it says goes
/// to the end of `log`.
pub(super) fn start(words: &[&OsStr], stdin: Stdio, log: &Path) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let errors = file.try_clone().context("cannot write a log")?;
    Command::new(&program)
        .args(words)
        .stdin(stdin)
        .stdout(file)
        .stderr(errors)
        .process_group(0)
        .current_dir("/")
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}
