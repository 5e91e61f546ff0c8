//! A storage server as a child process: farrier, or buildbox-casd as `e2e/install` unpacked it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::requests::Connections;
use crate::server::{cpu_seconds, program};

const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Farrier,
    Casd,
}

/// Both, in the order in which they take turns.
pub(crate) const BOTH: [Kind; 2] = [Kind::Farrier, Kind::Casd];

/// A running server; killed when dropped.
pub(crate) struct Peer {
    child: Child,
    kind: Kind,
    address: SocketAddr,
    directory: TempDir,
}

impl Peer {
    /// Over an empty directory.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory")?;
        Ok(Self::start_in(kind, directory).await?.0)
    }

    /// Over this directory, with the time from starting the program to its first answer to GetCapabilities.
    pub(crate) async fn start_in(kind: Kind, directory: TempDir) -> Result<(Self, Duration)> {
        // Bound and let go: nothing else asks for ports in this moment.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = match kind {
            Kind::Farrier => farrier(address, directory.path())?,
            Kind::Casd => casd(address, directory.path())?,
        };
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut peer = Peer {
            child,
            kind,
            address,
            directory,
        };
        while Connections::open(&peer, 1).await.is_err() {
            if let Some(status) = peer.child.try_wait()? {
                bail!("{kind:?} ended at once: {status}");
            }
            ensure!(
                started.elapsed() < START_MAX,
                "{kind:?} did not answer within {START_MAX:?}"
            );
            tokio::time::sleep(POLL).await;
        }
        Ok((peer, started.elapsed()))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        Ok(self.field("status", "VmRSS:")? * 1024)
    }

    /// Bytes that this process made the kernel write to a block device so far (`write_bytes` of proc_pid_io(5)),
    /// counted when pages become dirty. The journal of the file system is not in it, nor is what others write.
    pub(crate) fn written_bytes(&self) -> Result<u64> {
        self.field("io", "write_bytes:")
    }

    /// Asks it to end (SIGTERM), waits, and hands back its directory.
    pub(crate) async fn stop(self) -> Result<TempDir> {
        self.end(Signal::TERM).await
    }

    /// Kills it (SIGKILL), waits, and hands back its directory.
    pub(crate) async fn kill(self) -> Result<TempDir> {
        self.end(Signal::KILL).await
    }

    async fn end(mut self, signal: Signal) -> Result<TempDir> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("not a process number")?;
        kill_process(pid, signal).context("cannot signal the server")?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                asked.elapsed() < STOP_MAX,
                "{:?} did not end within {STOP_MAX:?}",
                self.kind
            );
            tokio::time::sleep(POLL).await;
        }
        // The directory outlives the peer: what is dropped with it is an empty one.
        let empty = tempfile::tempdir()?;
        Ok(std::mem::replace(&mut self.directory, empty))
    }

    fn field(&self, file: &str, name: &str) -> Result<u64> {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .with_context(|| format!("no {name} in {path}"))?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already; both are its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn farrier(address: SocketAddr, directory: &Path) -> Result<Command> {
    let mut command = Command::new(program()?);
    command
        .args(["up", "--slots", "0", "--cas-size", "24GiB"])
        .args(["--listen", &address.to_string()])
        .arg("--data-dir")
        .arg(directory);
    Ok(command)
}

fn casd(address: SocketAddr, directory: &Path) -> Result<Command> {
    let program = casd_program();
    ensure!(
        program.exists(),
        "{} is not there; run `e2e/install` first",
        program.display()
    );
    let mut command = Command::new(program);
    // It refuses to keep anything when this much would not stay free.
    command
        .arg(format!("--bind={address}"))
        .args(["--reserved=64M", "--log-level=error"])
        .arg(directory);
    Ok(command)
}

/// Where the end-to-end tests have it.
fn casd_program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/e2e/buildbox-casd")
}
