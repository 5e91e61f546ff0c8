//! Questions to the daemon.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daemon_api::{Answer, Request, read_frame, write_frame};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long an answer may take. The end of a build waits for its uploads.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// Asks the daemon at `socket`. `Ok(None)` if there is none.
pub(super) fn ask(socket: &Path, question: &str, about: Option<&str>) -> Result<Option<Value>> {
    let mut daemon = match UnixStream::connect(socket) {
        Ok(daemon) => daemon,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot reach the daemon at {}", socket.display()));
        }
    };
    daemon.set_read_timeout(Some(ANSWER_WITHIN))?;
    daemon.set_write_timeout(Some(ANSWER_WITHIN))?;
    let request = Request {
        arguments: about.into_iter().map(Into::into).collect(),
        directory: "/".into(),
        environment: Vec::new(),
        settings: vec![("question".into(), question.into())],
        is_terminal: false,
    };
    write_frame(&mut daemon, &request).context("asking the daemon")?;
    let mut text = Vec::new();
    loop {
        match read_frame(&mut daemon).context("listening to the daemon")? {
            Some(Answer::Output(piece)) => text.extend(piece),
            Some(Answer::Ended(_)) => break,
            Some(_) => {}
            // One of another version closes the connection.
            None => bail!(
                "the daemon at {} does not understand; stop it with `farrier daemon stop`",
                socket.display()
            ),
        }
    }
    Ok(Some(
        serde_json::from_slice(&text).context("the daemon's answer is no JSON")?,
    ))
}

/// Has the daemon at `socket` end. Whether there was one. One that does not understand is of another version: it is told by a
/// signal, which every version knows.
pub(super) fn stop(socket: &Path) -> Result<bool> {
    let not_understood = match ask(socket, "stop", None) {
        Ok(answer) => return Ok(answer.is_some()),
        Err(error) => error,
    };
    let daemon = match UnixStream::connect(socket) {
        Ok(daemon) => daemon,
        Err(_) => return Err(not_understood),
    };
    let process = peer(&daemon)?;
    kill_process(process, Signal::TERM).context("telling the daemon to end")?;
    Ok(true)
}

/// The process at the other end. It is this user's own: nobody else gets into the socket's directory.
fn peer(connection: &UnixStream) -> Result<Pid> {
    let credentials = socket_peercred(connection).context("who is at the other end?")?;
    Ok(credentials.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_is_known_by_his_process() {
        let (here, _there) = UnixStream::pair().unwrap();
        assert_eq!(peer(&here).unwrap(), rustix::process::getpid());
    }

    #[test]
    fn where_no_daemon_is_there_is_none_to_stop() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!stop(&directory.path().join("daemon.socket")).unwrap());
    }
}
