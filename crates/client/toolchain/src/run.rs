//! Runs a driver and takes its answer, bounded in time and size.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::limits::{ANSWER_BYTES_MAX, ANSWER_TIME_MAX};

/// Why a compiler's facts are not known.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It could not be started, or talking to it failed.
    #[error("cannot run {driver}: {source}")]
    Run {
        /// Which.
        driver: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("{driver} refuses to tell about itself ({status}): {message}")]
    Refused {
        /// Which.
        driver: PathBuf,
        /// How it ended.
        status: String,
        /// What it said last.
        message: String,
    },
    /// Its answer is none that this understands.
    #[error("{driver} answers what is not understood: {missing} is missing")]
    NotUnderstood {
        /// Which.
        driver: PathBuf,
        /// What.
        missing: &'static str,
    },
    /// It took too long, or said too much.
    #[error("{driver} says more than {ANSWER_BYTES_MAX} bytes or takes longer than {ANSWER_TIME_MAX:?}")]
    TooMuch {
        /// Which.
        driver: PathBuf,
    },
}

/// How a driver, or a linker, is run to be asked something.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The program.
    pub driver: &'a Path,
    /// What it is asked.
    pub arguments: &'a [OsString],
    /// Where.
    pub cwd: &'a Path,
    /// All of its environment, but that it answers in English.
    pub environment: &'a [(OsString, OsString)],
    /// What it reads.
    pub stdin: &'a [u8],
}

/// What it said, at most [`ANSWER_BYTES_MAX`] bytes of each.
#[derive(Debug)]
pub struct Answer {
    /// On standard output.
    pub stdout: Vec<u8>,
    /// On standard error.
    pub stderr: Vec<u8>,
    pub(crate) is_success: bool,
    pub(crate) status: String,
}

pub(crate) fn run(run: &Run<'_>) -> Result<Answer, ProbeError> {
    let failed = |source| ProbeError::Run {
        driver: run.driver.to_owned(),
        source,
    };
    let mut child = Command::new(run.driver)
        .args(run.arguments)
        .current_dir(run.cwd)
        .env_clear()
        .envs(
            run.environment
                .iter()
                .map(|(name, value)| (name.as_os_str(), value.as_os_str())),
        )
        .env("LC_ALL", "C")
        .env_remove("DEPENDENCIES_OUTPUT")
        .env_remove("SUNPRO_DEPENDENCIES")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let answered = thread::scope(|scope| {
        scope.spawn(move || {
            // Who does not read its input has ended, and says why with its status.
            stdin.map(|mut pipe| pipe.write_all(run.stdin))
        });
        let stdout = scope.spawn(move || taken(stdout));
        let stderr = scope.spawn(move || taken(stderr));
        let status = wait(&mut child);
        let joined = |handle: thread::ScopedJoinHandle<'_, io::Result<Option<Vec<u8>>>>| {
            handle
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))
        };
        Ok((joined(stdout)?, joined(stderr)?, status?))
    });
    let (stdout, stderr, status) = answered.map_err(failed)?;
    let (Some(stdout), Some(stderr), Some(status)) = (stdout, stderr, status) else {
        return Err(ProbeError::TooMuch {
            driver: run.driver.to_owned(),
        });
    };
    Ok(Answer {
        stdout,
        stderr,
        is_success: status.success(),
        status: status.to_string(),
    })
}

/// Everything a pipe has; None if that is too much.
fn taken(pipe: Option<impl Read>) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    Ok((bytes.len() as u64 <= ANSWER_BYTES_MAX).then_some(bytes))
}

/// Waits for the child, and ends it when its time is over.
fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    let mut pause = std::time::Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > ANSWER_TIME_MAX {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(std::time::Duration::from_millis(5));
    }
}

/// Runs a program that has to succeed, for at most [`ANSWER_TIME_MAX`].
pub fn run_well(run_it: &Run<'_>) -> Result<Answer, ProbeError> {
    let answer = run(run_it)?;
    if !answer.is_success {
        let text = String::from_utf8_lossy(&answer.stderr).into_owned();
        let message = text
            .lines()
            .find(|line| line.contains("error"))
            .or(text.lines().last())
            .unwrap_or_default()
            .to_owned();
        return Err(ProbeError::Refused {
            driver: run_it.driver.to_owned(),
            status: answer.status,
            message,
        });
    }
    Ok(answer)
}

/// The words of a command, from what can be borrowed as one.
pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(|word| OsStr::new(word).to_owned()).collect()
}
