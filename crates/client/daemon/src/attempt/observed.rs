//! By this machine, watched: what a tool that nobody knows looks at is seen when it runs.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

use daemon_api::{Answer, End};
use observation::{Deeds, EVENTS_BYTES_MAX, decode};

use super::here::{is_late, watched};
use crate::daemon::Asked;
use crate::link::Link;

/// How commands are watched.
#[derive(Clone, Debug)]
pub struct Observer {
    /// The runner, and what has it watch.
    pub words: Vec<OsString>,
    /// Where its notes come and go.
    pub notes: PathBuf,
}

/// How a command ended that was watched, and what it did.
pub(crate) struct Watched {
    /// It was ended because it took too long.
    pub(crate) is_late: bool,
    pub(crate) begun: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) end: End,
    /// What it printed, as far as that is kept.
    pub(crate) output: Option<Vec<u8>>,
    pub(crate) error_output: Option<Vec<u8>>,
    /// Or why nobody can say.
    pub(crate) deeds: Result<Deeds, String>,
}

/// What the runner puts behind the name of notes that it has not finished.
const UNFINISHED: &str = "part";

/// Notes of one command, which go away with this.
struct Notes(PathBuf);

impl Drop for Notes {
    fn drop(&mut self) {
        // There may be none, or the beginning of some.
        for notes in [&self.0, &self.0.with_extension(UNFINISHED)] {
            let _ = std::fs::remove_file(notes);
        }
    }
}

impl Notes {
    fn deeds(&self) -> Result<Deeds, String> {
        let size = std::fs::metadata(&self.0).map(|found| found.len());
        match size {
            Ok(size) if size <= EVENTS_BYTES_MAX as u64 => {}
            Ok(_) => return Err("it does too much".to_owned()),
            Err(_) => return Err("it could not be watched".to_owned()),
        }
        let bytes = std::fs::read(&self.0).map_err(|error| format!("what it did cannot be read: {error}"))?;
        let events = decode(&bytes).ok_or("what it did cannot be read")?;
        Deeds::of(events).map_err(|unkept| unkept.to_string())
    }
}

/// Has the wrapper run it, under the runner's eyes.
pub(crate) async fn run(link: &mut Link, observer: &Observer, asked: &Asked) -> io::Result<Watched> {
    let notes = Notes(observer.notes.join(&asked.execution_id));
    let limit = asked.wanted.exec_timeout();
    let begun = SystemTime::now();
    let answer = Answer::Run {
        program: asked.program.clone(),
        through: [&observer.words[..], &[notes.0.clone().into()]].concat(),
        more: Vec::new(),
        apart: limit.is_some(),
    };
    let child = OnceLock::new();
    let (end, output, error_output) = watched(link, &answer, &child, limit).await?;
    let ended = SystemTime::now();
    let reading = tokio::task::spawn_blocking(move || notes.deeds());
    Ok(Watched {
        is_late: is_late(&child, end),
        begun,
        ended,
        end,
        output,
        error_output,
        deeds: link.meanwhile(reading).await??,
    })
}
