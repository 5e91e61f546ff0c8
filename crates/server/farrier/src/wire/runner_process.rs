//! The runner of a worker: a child process that dies with it, and the way to speak to it.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use runner_api::UnixRunner;
use rustix::fs::{Mode, OFlags};
use rustix::net::SocketAddrUnix;
use tokio::process::{Child, ChildStdin, Command};

use super::join::SandboxChoice;
use crate::bad_options::BadOptions;

/// How long the runner may take to probe the kernel and listen.
const RUNNER_START_MAX: Duration = Duration::from_secs(20);

/// Where the runner listens, below the worker's directory.
const SOCKET_NAME: &str = "runner.sock";

/// A runner that listens. It ends when this is dropped, and when this process dies.
pub(super) struct RunnerProcess {
    child: Child,
    /// Kept here: waiting for a [`Child`] closes the one that it holds, and the runner takes that for our end.
    _stdin: Option<ChildStdin>,
    socket: Socket,
}

impl RunnerProcess {
    /// Starts it in `directory`, which must be private to this user, and waits until it listens.
    pub(super) async fn start(
        directory: &Path,
        sandbox: SandboxChoice,
        memory_bytes_max: Option<u64>,
        more: impl Iterator<Item = OsString>,
    ) -> Result<Self> {
        let path = directory.join(SOCKET_NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let socket = Socket::within(directory)?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            // Named relative to the directory, for the same reason as in `Socket`.
            .args(["runner", "--socket", SOCKET_NAME])
            .args(["--sandbox", sandbox.as_argument(), "--exit-with-stdin"])
            .args(
                memory_bytes_max
                    .iter()
                    .flat_map(|bytes| ["--memory".to_owned(), bytes.to_string()]),
            )
            .args(more)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the runner")?;
        let stdin = child.stdin.take();
        let listening = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = listening => {}
            status = child.wait() => {
                let status = status.context("cannot wait for the runner")?;
                let error = anyhow!("the runner did not start: {status}; it has said why above");
                // What is missing now will be missing the next time.
                return Err(match sandbox {
                    SandboxChoice::Require => BadOptions::mark(error),
                    SandboxChoice::BestEffort | SandboxChoice::Off => error,
                });
            }
            () = tokio::time::sleep(RUNNER_START_MAX) => {
                bail!("the runner did not listen within {RUNNER_START_MAX:?}")
            }
        }
        Ok(RunnerProcess {
            child,
            _stdin: stdin,
            socket,
        })
    }

    /// Speaks to it, for as long as this lives.
    pub(super) fn client(&self) -> UnixRunner {
        UnixRunner::new(&self.socket.path)
    }

    /// Returns when it has ended.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }
}

/// A way to the socket that fits into an address: Linux takes 107 bytes, a data directory may be longer.
struct Socket {
    path: PathBuf,
    /// What `path` leads through, if the plain path is too long.
    _directory: Option<OwnedFd>,
}

impl Socket {
    fn within(directory: &Path) -> Result<Self> {
        let path = directory.join(SOCKET_NAME);
        if SocketAddrUnix::new(&path).is_ok() {
            return Ok(Socket {
                path,
                _directory: None,
            });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(directory, flags, Mode::empty())
            .with_context(|| format!("cannot open {}", directory.display()))?;
        Ok(Socket {
            path: format!("/proc/self/fd/{}/{SOCKET_NAME}", descriptor.as_raw_fd()).into(),
            _directory: Some(descriptor),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_in_a_directory_with_a_long_name_is_reached() {
        let scratch = tempfile::tempdir().unwrap();
        for length in [1, 50, 100, 200] {
            let directory = scratch.path().join("d".repeat(length));
            fs::create_dir(&directory).unwrap();
            let socket = Socket::within(&directory).unwrap();
            let _listener = UnixListener::bind(&socket.path).unwrap();
            assert!(directory.join(SOCKET_NAME).exists());
            UnixStream::connect(&socket.path).unwrap();
        }
    }
}
