//! One call of the `farrier` program.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::farrier::Farrier;
use crate::{tools, waiting};

/// A call takes longer only if it hangs.
const CALL_AT_MOST: Duration = Duration::from_secs(120);

/// Runs `farrier` with these words to its end, whatever it prints and however it ends.
pub fn farrier(words: &[&str]) -> Result<Output> {
    farrier_in(&[], words)
}

/// The same with more environment variables.
pub fn farrier_in(environment: &[(&str, &str)], words: &[&str]) -> Result<Output> {
    let mut command = Command::new(tools::farrier()?);
    command
        .args(words)
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    waiting::output_of(&mut command, CALL_AT_MOST).with_context(|| format!("farrier {words:?}"))
}

/// All that it printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Runs a shell command as an action of a server; all that was said about it and all that it printed.
pub fn run(through: &Farrier, text: &str) -> Result<String> {
    let url = through.grpc_url();
    let output = farrier(&["exec", "--endpoint", &url, "--", "sh", "-c", text])?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(said(&output))
}

/// Stores bytes on a server; the digest as the program prints it.
pub fn put(to: &Farrier, bytes: &[u8]) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), bytes)?;
    let path = file.path().to_string_lossy().into_owned();
    let output = farrier(&["cas", "put", "--endpoint", &to.grpc_url(), &path])?;
    ensure!(output.status.success(), "{}", said(&output));
    let digest = String::from_utf8(output.stdout)?;
    let digest = digest.split_whitespace().next().context("no digest is printed")?;
    Ok(digest.to_owned())
}

/// Reads a blob from a server.
pub fn get(from: &Farrier, digest: &str) -> Result<Output> {
    farrier(&["cas", "get", "--endpoint", &from.grpc_url(), digest])
}
