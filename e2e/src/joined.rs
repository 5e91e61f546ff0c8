//! A worker of its own: `farrier join`, to be killed, frozen and started again.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::farrier::Farrier;
use crate::process_tree::{self, Process};
use crate::{tools, waiting};

/// How long a worker may take until it has said that it is connected.
const CONNECTED_AT_MOST: Duration = Duration::from_secs(30);
/// How long what a killed worker ran may take to notice.
const ORPHANS_AT_MOST: Duration = Duration::from_secs(10);

/// One worker with a data directory of its own; both go when this is dropped.
#[derive(Debug)]
pub struct Joined {
    process: Child,
    name: String,
    words: Vec<String>,
    directory: TempDir,
}

impl Joined {
    /// Starts a worker with this many slots and waits until it is connected.
    pub fn start(farrier: &Farrier, name: &str, slots: u32) -> Result<Self> {
        Self::start_with(farrier, name, slots, &[])
    }

    /// The same with more options of `farrier join`.
    pub fn start_with(farrier: &Farrier, name: &str, slots: u32, options: &[&str]) -> Result<Self> {
        Self::start_as(&[], &farrier.http_url(), farrier, name, slots, options)
    }

    /// The same through a program that executes what follows its own words, where the server is found at `url`.
    pub fn start_on(before: &[&str], url: &str, farrier: &Farrier, name: &str, slots: u32) -> Result<Self> {
        Self::start_as(before, url, farrier, name, slots, &[])
    }

    fn start_as(
        before: &[&str],
        url: &str,
        farrier: &Farrier,
        name: &str,
        slots: u32,
        options: &[&str],
    ) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-worker-").tempdir()?;
        let path = |path: PathBuf| path.display().to_string();
        let mut words: Vec<String> = before.iter().map(ToString::to_string).collect();
        words.extend([
            tools::farrier()?.display().to_string(),
            "join".to_owned(),
            "--log=info,worker=debug".to_owned(),
            format!("--name={name}"),
            format!("--slots={slots}"),
            format!(
                "--token-file={}",
                path(farrier.data_directory().join("worker-token"))
            ),
            format!("--data-dir={}", path(directory.path().join("data"))),
            url.to_owned(),
        ]);
        words.extend(options.iter().map(ToString::to_string));
        let process = spawn(&words, &directory)?;
        let joined = Self {
            process,
            name: name.to_owned(),
            words,
            directory,
        };
        joined.until_connected(1)?;
        Ok(joined)
    }

    /// SIGKILL for the worker process alone. What it ran has to end by itself, or this is an error.
    pub fn kill(&mut self) -> Result<()> {
        let below = self.descendants();
        self.process.kill().context("cannot kill the worker")?;
        self.process.wait().context("cannot wait for the worker")?;
        waiting::until("nothing of a killed worker runs", ORPHANS_AT_MOST, || {
            Ok((!below.iter().any(process_tree::still_runs)).then_some(()))
        })
    }

    /// Starts a new process in the place of the one that was killed, and waits until it is connected.
    pub fn restart(&mut self) -> Result<()> {
        let before = self.connections();
        self.process = spawn(&self.words, &self.directory)?;
        self.until_connected(before + 1)
    }

    /// SIGSTOP for the worker and all that it runs.
    pub fn freeze(&self) {
        process_tree::signal_tree(self.pid(), Signal::STOP);
    }

    /// And on.
    pub fn thaw(&self) {
        process_tree::signal_tree(self.pid(), Signal::CONT);
    }

    /// Every process below the worker: runner, actions.
    pub fn descendants(&self) -> Vec<Process> {
        process_tree::descendants(self.pid())
    }

    /// How many actions it has begun, over all its starts.
    pub fn actions_begun(&self) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(" starts "))
            .count()
    }

    fn until_connected(&self, times: usize) -> Result<()> {
        waiting::until("a worker is connected", CONNECTED_AT_MOST, || {
            Ok((self.connections() >= times).then_some(()))
        })
        .with_context(|| format!("the log of {}:\n{}", self.name, self.log()))
    }

    fn connections(&self) -> usize {
        let is_connected = |line: &&str| line.contains("connected to the server");
        self.log().lines().filter(is_connected).count()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("Linux process numbers fit in 31 bits")
    }

    fn log(&self) -> String {
        fs::read_to_string(log_path(&self.directory)).unwrap_or_default()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.thaw();
        process_tree::kill_tree(self.pid());
        // It was killed just now, or had ended before: both are its end.
        let _ = self.process.wait();
        let is_news = |line: &&str| !line.contains(" starts ");
        let log = self.log();
        let news: Vec<&str> = log.lines().filter(is_news).collect();
        // Shown by the test harness when the test fails, and only then.
        eprintln!("--- worker {} said:\n{}\n---", self.name, news.join("\n"));
    }
}

fn spawn(words: &[String], directory: &TempDir) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(directory))?;
    let (program, words) = words.split_first().context("no program")?;
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("the worker does not start")
}

fn log_path(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}
