//! Real buildbox-casd as a proxy in front of farrier.
//!
//! It speaks no zstd for blobs (neither to its clients nor to its remote), so compression cannot be tested with it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{process_tree, tools, waiting};

/// How long it may take until it listens.
const START_AT_MOST: Duration = Duration::from_secs(20);

/// A running buildbox-casd with a cache of its own; both go when this is dropped.
#[derive(Debug)]
pub struct Casd {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Casd {
    /// Starts a proxy for all services of the server at this `http://` address. Its clients and the server use the
    /// same instance name.
    pub fn start(remote: &str, instance: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("casd-e2e-").tempdir()?;
        let address = waiting::free_address()?;
        let log = File::create(directory.path().join("log"))?;
        let mut casd = Command::new(tools::buildbox_casd()?);
        casd.arg(format!("--bind={address}"));
        for service in ["cas", "ac", "exec"] {
            casd.arg(format!("--{service}-remote={remote}"));
        }
        if !instance.is_empty() {
            casd.arg(format!("--proxy-instance={instance}:{instance}"));
        }
        // It refuses to keep anything when this much would not stay free; a test machine may have less.
        casd.args(["--reserved=64M", "--log-level=info"]);
        casd.arg(directory.path().join("cache"));
        casd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = casd.spawn().context("buildbox-casd does not start")?;
        let mut casd = Self {
            process,
            address,
            directory,
        };
        waiting::until_listening(&mut casd.process, address, START_AT_MOST)
            .with_context(|| format!("buildbox-casd does not start; its log:\n{}", casd.log()))?;
        Ok(casd)
    }

    /// Its address as tonic wants it.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        process_tree::kill_tree(
            i32::try_from(self.process.id()).expect("Linux process numbers fit in 31 bits"),
        );
        // It was killed just now, or had ended before: both are its end.
        let _ = self.process.wait();
        // Shown by the test harness when the test fails, and only then.
        eprintln!("--- buildbox-casd said:\n{}\n---", self.log());
    }
}
