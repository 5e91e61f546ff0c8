//! Questions to the daemon.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daemon_api::{Answer, Request, read_frame, write_frame};
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
