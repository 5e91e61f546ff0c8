//! Waiting for other programs, never for ever.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

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

/// An address on loopback that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
    Ok(listener.local_addr()?)
}
