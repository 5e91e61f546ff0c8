//! `farrier up` as a child process, on a free port, over a directory of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// A running farrier; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

const START_MAX: Duration = Duration::from_secs(30);

impl Server {
    /// Starts it with these flags beside address and directory, and waits until it accepts connections.
    pub(crate) fn start(flags: &[&str]) -> Result<Self> {
        let program = program()?;
        let directory = tempfile::tempdir().context("cannot make a directory")?;
        // Bound and let go: nothing else on this machine asks for ports in this moment.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(&program)
            .arg("up")
            .args(["--listen", &address.to_string()])
            .arg("--data-dir")
            .arg(directory.path())
            .args(flags)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Server {
            child,
            address,
            directory,
        };
        server.wait_until_up()?;
        Ok(server)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the worker makes build directories.
    pub(crate) fn builds(&self) -> PathBuf {
        self.directory.path().join("worker/builds")
    }

    /// Resident memory of the server process (not of its worker), in bytes, with its peak.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .with_context(|| format!("no {name}"))?;
            let kibibytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
            Ok(kibibytes * 1024)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// User and system time of the server process so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.child.id())
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        loop {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("farrier ended at once: {status}");
            }
            ensure!(
                Instant::now() < deadline,
                "farrier did not start within {START_MAX:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The worker and the runner watch pipes to their parents and follow.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that was built with this one: wherever that is, it lies beside it.
pub(crate) fn program() -> Result<PathBuf> {
    let program = std::env::current_exe()
        .context("cannot tell where this program is")?
        .with_file_name("farrier");
    ensure!(
        program.exists(),
        "{} is not there; run `cargo build --release -p farrier` first",
        program.display()
    );
    Ok(program)
}

/// User and system time of a process so far, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("short stat")?.parse::<f64>()?) };
    // utime and stime are fields 14 and 15 of proc(5), in ticks of 10 ms on every Linux we support.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
