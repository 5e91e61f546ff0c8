//! The server of a daemon for which none was named: `farrier up` on this machine, for as long as the daemon is there.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::background;
use super::state::State;

/// A server of our own.
pub(super) struct OwnServer {
    process: Child,
    pub(super) endpoint: String,
}

/// How long it may take to be there. After a crash it looks through its storage.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it may take to end: it lets running actions finish.
const DOWN_WITHIN: Duration = Duration::from_secs(15);
/// What the line with its address begins with.
const ENDPOINT: &str = "endpoint ";

impl OwnServer {
    /// Starts it, and waits until it is there.
    pub(super) fn start(state: &State) -> Result<Self> {
        let log = state.log("server");
        // Its address must be that of this start, not of an earlier one.
        let _ = fs::rename(&log, state.log("server.old"));
        let data = state.server();
        // When this process dies, its end of the pipe is closed, and the server ends as well.
        let words = [
            "up",
            "--exit-with-stdin",
            "--listen=127.0.0.1:0",
            "--survives=kill",
            "--data-dir",
        ];
        let words = [&words.map(OsStr::new)[..], &[data.as_os_str()]].concat();
        let process = background::start(&words, Stdio::piped(), &log)?;
        let mut server = OwnServer {
            process,
            endpoint: String::new(),
        };
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let line = said
                .lines()
                .find_map(|line| line.trim_start().strip_prefix(ENDPOINT));
            if let Some(endpoint) = line {
                server.endpoint = endpoint.trim().to_owned();
                return Ok(server);
            }
            if let Some(status) = server.process.try_wait().context("looking after the server")? {
                bail!("the server did not start ({status}): {}", said.trim_end());
            }
            if begun.elapsed() > UP_WITHIN {
                bail!(
                    "the server is not there after {UP_WITHIN:?}; see {}",
                    log.display()
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let process = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let asked = process.map(|process| kill_process(process, Signal::TERM));
        let begun = Instant::now();
        while asked == Some(Ok(())) && begun.elapsed() < DOWN_WITHIN {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // It had its time; what is stored survives this too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
