//! moto's S3 server: not a fast one, but one that keeps to the rules of conditional writes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use rustix::process::Signal;

use crate::{process_tree, tools, waiting};

/// How long it may take until it listens: Python reads a lot before it does.
const START_AT_MOST: Duration = Duration::from_secs(60);

/// A running server without buckets; it goes, with what is in it, when this is dropped.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Moto {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("moto-e2e-").tempdir()?;
        let address = waiting::free_address()?;
        let log = File::create(directory.path().join("log"))?;
        let mut server = Command::new(tools::moto_server()?);
        server.args(["--host", &address.ip().to_string()]);
        server.args(["--port", &address.port().to_string()]);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = server.spawn().context("moto_server does not start")?;
        let mut moto = Self {
            process,
            address,
            directory,
        };
        waiting::until_listening(&mut moto.process, address, START_AT_MOST)
            .with_context(|| format!("moto_server does not start; its log:\n{}", moto.log()))?;
        Ok(moto)
    }

    /// Where it listens.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an empty bucket. moto takes any signature, and none.
    pub fn make_bucket(&self, bucket: &str) -> Result<()> {
        let address = self.address;
        let mut server = TcpStream::connect(address)?;
        write!(
            server,
            "PUT /{bucket} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        server.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }

    /// Has it stop answering, without a word and with every connection open, until [`Self::go_on`].
    pub fn pause(&self) {
        process_tree::signal_tree(self.process_number(), Signal::STOP);
    }

    /// Has it go on.
    pub fn go_on(&self) {
        process_tree::signal_tree(self.process_number(), Signal::CONT);
    }

    fn process_number(&self) -> i32 {
        i32::try_from(self.process.id()).expect("Linux process numbers fit in 31 bits")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        process_tree::kill_tree(self.process_number());
        // It was killed just now, or had ended before: both are its end.
        let _ = self.process.wait();
        // Shown by the test harness when the test fails, and only then. Each request is a line.
        eprintln!("--- moto_server said:\n{}\n---", self.log());
    }
}
