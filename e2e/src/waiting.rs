//! Waiting for other programs, never for ever.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process_tree;

/// How often a condition that another program brings about is looked at.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The first answer of `look`, or an error naming `what` after `at_most`.
pub fn until<T>(what: &str, at_most: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {at_most:?} in vain until {what}");
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
}

/// Waits until somebody accepts connections at `address`; an error if `server` ends before.
pub fn until_listening(server: &mut Child, address: SocketAddr, at_most: Duration) -> Result<()> {
    until(&format!("a server listens on {address}"), at_most, || {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended with {status} before it listened on {address}");
        }
        Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok())
    })
    .map(drop)
}

/// The end of `child`, or `None` when it is still running after `at_most`.
pub fn end_of(child: &mut Child, at_most: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
}

/// How long a program that hangs may take to say where.
const LAST_WORDS_AT_MOST: Duration = Duration::from_secs(5);

/// What `command` wrote and how it ended. If it has not after `at_most`: an error with what it wrote so far and what it and
/// all below it wait for; a program of Python's also says where it is, if its environment has `PYTHONFAULTHANDLER`.
pub fn output_of(command: &mut Command, at_most: Duration) -> Result<Output> {
    // Files, not pipes: whoever inherits them and stays is not waited for.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command
        .spawn()
        .with_context(|| format!("{:?} does not start", command.get_program()))?;
    let ended = end_of(&mut child, at_most)?;
    let mut waits = String::new();
    if ended.is_none() {
        let root = i32::try_from(child.id())?;
        waits = waits_of(root)?;
        process_tree::signal(root, Signal::ABORT);
        end_of(&mut child, LAST_WORDS_AT_MOST)?;
        process_tree::kill_tree(root);
        child.wait()?;
    }
    let (stdout, stderr) = (content(&mut stdout)?, content(&mut stderr)?);
    match ended {
        Some(status) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        None => bail!(
            "{command:?} still ran after {at_most:?}; it wrote:\n{}\n{}\nits processes:\n{waits}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    }
}

fn content(file: &mut File) -> Result<Vec<u8>> {
    file.rewind()?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// A line for each thread of a process and of all below it: what it is called, and where in the kernel it waits.
fn waits_of(root: i32) -> Result<String> {
    let mut said = String::new();
    let below = process_tree::descendants(root)
        .into_iter()
        .map(|process| process.pid);
    for pid in std::iter::once(root).chain(below) {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        writeln!(said, "{pid}: {}", arguments.replace('\0', " "))?;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let told = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            writeln!(said, "  {} {}", told("comm").trim_end(), told("wchan"))?;
        }
    }
    Ok(said)
}

/// An address on loopback that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_shown_and_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 3602; true"]);
        let error = output_of(&mut command, Duration::from_secs(2))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("begun\n") && error.contains(": sleep 3602"),
            "{error}"
        );
    }

    #[test]
    fn what_a_command_wrote_is_told_though_another_holds_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; sleep 20 & exit 3"]);
        let output = output_of(&mut command, Duration::from_secs(600)).unwrap();
        let told = (output.status.code(), output.stdout, output.stderr);
        assert_eq!(told, (Some(3), b"out\n".to_vec(), b"err\n".to_vec()));
    }
}
