//! The real compiler's own list.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command as Process;

use crate::command::Command;
use crate::depfile::prerequisites;

/// What the compiler reads, as `-M` says it; the error is what it complained about.
pub fn asked(command: &Command, driver: &std::path::Path) -> Result<Vec<PathBuf>, String> {
    let output = Process::new(driver)
        .args(&command.for_dependencies)
        .args(["-M", "-w", "-MT", "x"].map(OsString::from))
        .arg(&command.main)
        .current_dir(&command.cwd)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(text.lines().next().unwrap_or("it failed").to_owned());
    }
    Ok(prerequisites(&output.stdout))
}
