//! A running `farrier up`, to be used, killed and started again.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process_tree::{self, Process};
use crate::{tools, waiting};

/// How long the server may take until it listens. Debug builds on a busy machine are slow.
const START_AT_MOST: Duration = Duration::from_secs(30);
/// How long processes may take to notice that the one above them was killed.
const ORPHANS_AT_MOST: Duration = Duration::from_secs(10);
/// How much of the server's log a failing test shows, in bytes from its end.
const LOG_SHOWN_BYTES: usize = 8 * 1024;

/// `farrier up` on a free port with a data directory of its own; both go when this is dropped.
#[derive(Debug)]
pub struct Farrier {
    process: Child,
    address: SocketAddr,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    directory: TempDir,
}

impl Farrier {
    /// Starts with an empty data directory and waits until it listens.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts with more options for `farrier up`.
    pub fn start_with(options: &[&str]) -> Result<Self> {
        Self::start_in(&[], options)
    }

    /// The same with more environment variables.
    pub fn start_in(environment: &[(&str, &str)], options: &[&str]) -> Result<Self> {
        Self::start_at(waiting::free_address()?, environment, options)
    }

    /// The same at this address.
    pub fn start_at(address: SocketAddr, environment: &[(&str, &str)], options: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-e2e-").tempdir()?;
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let process = spawn(address, &directory, &options, &environment)?;
        let mut farrier = Self {
            process,
            address,
            options,
            environment,
            directory,
        };
        farrier.until_ready()?;
        Ok(farrier)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as Bazel wants it.
    pub fn grpc_url(&self) -> String {
        format!("grpc://{}", self.address)
    }

    /// Its address as buildbox and tonic want it.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The worker process, which is started after the server listens.
    pub fn worker(&self) -> Result<Process> {
        waiting::until("farrier has a worker process", START_AT_MOST, || {
            Ok(self.descendants().into_iter().find(is_worker))
        })
    }

    /// Every process below the server: worker, runner, actions.
    pub fn descendants(&self) -> Vec<Process> {
        process_tree::descendants(self.pid())
    }

    /// SIGKILL for the server process alone, at the worst moment for its disk. Everything below it has to end by
    /// itself, or this is an error.
    pub fn kill(&mut self) -> Result<()> {
        let below = self.descendants();
        self.process.kill().context("cannot kill farrier")?;
        self.process.wait().context("cannot wait for farrier")?;
        let running = |process: &Process| process_tree::still_runs(process);
        let outcome = waiting::until(
            "nothing that farrier started runs any more",
            ORPHANS_AT_MOST,
            || Ok((!below.iter().any(running)).then_some(())),
        );
        outcome.with_context(|| {
            let left: Vec<_> = below
                .iter()
                .filter(|process| process_tree::still_runs(process))
                .collect();
            for process in &left {
                process_tree::kill_tree(process.pid);
            }
            format!("farrier was killed, but left behind: {left:?}")
        })
    }

    /// SIGSTOP for the server process alone.
    pub fn freeze(&self) {
        process_tree::signal(self.pid(), Signal::STOP);
    }

    /// And on.
    pub fn thaw(&self) {
        process_tree::signal(self.pid(), Signal::CONT);
    }

    /// Starts again on the same data directory and port.
    pub fn restart(&mut self) -> Result<()> {
        self.process = spawn(self.address, &self.directory, &self.options, &self.environment)?;
        self.until_ready()
    }

    /// Where it keeps its things.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) -> Result<()> {
        let pid = Pid::from_raw(self.pid()).context("no process has number 0")?;
        kill_process(pid, Signal::INT).context("cannot interrupt farrier")
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self, at_most: Duration) -> Result<ExitStatus> {
        waiting::end_of(&mut self.process, at_most)?.context("farrier does not end")
    }

    /// The same, in good order, and with nothing left of these.
    pub fn ends_without(&mut self, below: &[Process], at_most: Duration) -> Result<()> {
        let status = self.ended(at_most)?;
        ensure!(status.success(), "{status}");
        ensure!(
            !below.iter().any(process_tree::still_runs),
            "left behind: {below:?}"
        );
        Ok(())
    }

    fn until_ready(&mut self) -> Result<()> {
        waiting::until_listening(&mut self.process, self.address, START_AT_MOST)
            .with_context(|| format!("farrier does not start; its log:\n{}", self.log()))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("Linux process numbers fit in 31 bits")
    }

    /// The end of what it wrote on standard output and standard error, over all its starts.
    pub fn log(&self) -> String {
        let text = fs::read(log_path(&self.directory)).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_SHOWN_BYTES)..]).into_owned()
    }
}

impl Drop for Farrier {
    fn drop(&mut self) {
        process_tree::kill_tree(self.pid());
        // It was killed just now, or had ended before: both are its end.
        let _ = self.process.wait();
        // Shown by the test harness when the test fails, and only then.
        eprintln!("--- farrier said:\n{}\n---", self.log());
    }
}

fn is_worker(process: &Process) -> bool {
    process.arguments.get(1).is_some_and(|word| word == "worker")
}

fn spawn(
    address: SocketAddr,
    directory: &TempDir,
    options: &[String],
    environment: &[(String, String)],
) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(directory))?;
    Command::new(tools::farrier()?)
        .args([
            "up",
            "--log",
            "info",
            "--listen",
            &address.to_string(),
            "--data-dir",
        ])
        .arg(directory.path().join("data"))
        .args(options)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("farrier does not start")
}

fn log_path(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}
