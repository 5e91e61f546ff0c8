//! A user who builds with `farrier run`: a state directory, and projects in directories of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{tools, waiting};

/// How long a daemon may take to end. Its server lets running actions finish.
const END_AT_MOST: Duration = Duration::from_secs(30);

/// A user, with a daemon of his own.
#[derive(Debug)]
pub struct User {
    state: TempDir,
    /// More variables of every build.
    pub environment: Vec<(String, String)>,
}

/// What became of one command of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it makes, or its first words.
    pub name: String,
    /// `hit`, `local`, and so on.
    pub how: String,
    /// Why it is not kept, if it is not.
    pub why: Option<String>,
    /// Why no worker did it, where one was to.
    pub fallback: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// What `farrier run` says at the end of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Steps that could be kept.
    pub steps: u64,
    /// Of these, answered from the cache.
    pub cached: u64,
    /// By workers.
    pub remote: u64,
    /// By this machine.
    pub here: u64,
    /// Everything that it printed.
    pub text: String,
}

impl User {
    /// Nothing is cached yet, no daemon runs.
    pub fn new() -> Result<Self> {
        let state = tempfile::Builder::new().prefix("farrier-user-").tempdir()?;
        Ok(User {
            state,
            environment: Vec::new(),
        })
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// `farrier WORDS` of this user.
    pub fn farrier(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(tools::farrier()?);
        command
            .args(words)
            .env("FARRIER_STATE_DIR", self.state.path())
            .env_remove("FARRIER_SOCKET");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// `farrier run OPTIONS -- COMMAND` in `directory`.
    pub fn run(&self, directory: &Path, options: &[&str], command: &[&str]) -> Result<Output> {
        let words = [&["run"], options, &["--"], command].concat();
        let output = self.farrier(&words)?.current_dir(directory).output();
        output.context("farrier does not start")
    }

    /// The same for a build that must succeed.
    pub fn build(&self, directory: &Path, options: &[&str], command: &[&str]) -> Result<Summary> {
        let output = self.run(directory, options, command)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{command:?}: {}\n{text}", output.status);
        Summary::parse(&text)
    }

    /// The steps of the last build: what each makes, and how it was done.
    pub fn steps(&self) -> Result<Vec<(String, String)>> {
        let steps = self.steps_told()?;
        Ok(steps.into_iter().map(|step| (step.name, step.how)).collect())
    }

    /// The steps of the last build, with everything that is told of them.
    pub fn steps_told(&self) -> Result<Vec<Step>> {
        let output = self.farrier(&["steps", "--json"])?.output()?;
        ensure!(output.status.success(), "{output:?}");
        let steps: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)?;
        let text = |step: &serde_json::Value, field: &str| {
            let text = step[field].as_str().map(str::to_owned);
            text.with_context(|| format!("no {field} in {step}"))
        };
        steps
            .iter()
            .map(|step| {
                Ok(Step {
                    name: text(step, "name")?,
                    how: text(step, "how")?,
                    why: step["why"].as_str().map(str::to_owned),
                    fallback: step["fallback"].as_str().map(str::to_owned),
                    took_us: step["took_us"].as_u64().context("no took_us")?,
                })
            })
            .collect()
    }

    /// Ends the daemon, and waits until it is gone.
    pub fn stop_daemon(&self) -> Result<()> {
        self.farrier(&["daemon", "stop"])?
            .output()
            .context("farrier does not start")?;
        let lock = self.state.path().join("daemon.lock");
        waiting::until("the daemon has ended", END_AT_MOST, || {
            let Ok(file) = fs::File::open(&lock) else {
                return Ok(Some(()));
            };
            let free = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
            Ok(free.is_ok().then_some(()))
        })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Err(error) = self.stop_daemon() {
            eprintln!("{error:#}");
        }
    }
}

impl Summary {
    /// Out of the line `farrier: 4 steps in 0.1 s: 3 from the cache (75 %), 0 by workers, 1 here`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let line = text
            .lines()
            .find(|line| line.starts_with("farrier: ") && line.contains(" steps in "));
        let Some(line) = line else {
            bail!("no summary in {text:?}")
        };
        let before = |what: &str| {
            let number = line.split(what).next()?.rsplit([' ']).next()?;
            number.parse::<u64>().ok()
        };
        let all = (
            before(" steps in "),
            before(" from the cache"),
            before(" by workers"),
            before(" here"),
        );
        let (Some(steps), Some(cached), Some(remote), Some(here)) = all else {
            bail!("{line:?}")
        };
        Ok(Summary {
            steps,
            cached,
            remote,
            here,
            text: text.to_owned(),
        })
    }

    /// The counts alone: steps, cached, remote, here.
    pub fn counts(&self) -> (u64, u64, u64, u64) {
        (self.steps, self.cached, self.remote, self.here)
    }
}

/// A project of `examples/`, copied to a new directory, without what somebody has built there by hand.
pub fn example(name: &str) -> Result<TempDir> {
    let copy = copy(&tools::package().join("../examples").join(name))?;
    let built = copy.path().join("build");
    if built.exists() {
        fs::remove_dir_all(built)?;
    }
    Ok(copy)
}

/// A copy of a project.
pub fn copy(project: &Path) -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("farrier-project-").tempdir()?;
    let status = Command::new("cp")
        .args(["--recursive", "--no-target-directory", "--preserve=mode"])
        .args([project, directory.path()])
        .status()
        .context("cp does not start")?;
    ensure!(status.success(), "cp: {status}");
    Ok(directory)
}

/// The hashes of all files below a directory whose names end with one of these.
pub fn hashes(directory: &Path, endings: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !path.is_symlink() {
                left.push(path);
            } else if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let hash = Sha256::digest(fs::read(&path)?);
                let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                found.push((path.strip_prefix(directory)?.to_owned(), hash));
            }
        }
    }
    found.sort();
    Ok(found)
}
