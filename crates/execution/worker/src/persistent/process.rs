//! One process that serves requests, and the talk with it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Buf, BytesMut};
use runner_api::{Conversation, Outcome, Remains, RunError, RunRequest, RunResponse, Runner};
use tasks::{CancellationToken, Group};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::codec::{Decoder, Rubbish, encode};
use super::message::{WorkRequest, WorkResponse};
use super::wish::Protocol;
use crate::blocking::blocking;
use crate::build_directory::{BuildDirectory, Kept};
use crate::limits::{ASK_BYTES_MAX, ASKS_IN_FLIGHT_MAX, FILE_PIECE_BYTES, LAST_WORDS_BYTES_MAX};

/// A process that was started, which may have ended since. It ends when this is dropped.
pub(crate) struct Process {
    multiplex: bool,
    asks: mpsc::Sender<Ask>,
    next: AtomicU64,
    stop: CancellationToken,
    ended: CancellationToken,
    reason: Arc<OnceLock<String>>,
    /// Removed when neither this nor the process itself needs it any more.
    directory: Arc<BuildDirectory>,
    place: Arc<Place>,
}

/// Where requests find their files.
pub(crate) enum Place {
    /// Beside the tools, in the process's own directory.
    Own(Kept),
    /// In directories of their own, below this one.
    Sandboxes(OwnedFd),
}

/// What a process is started with.
pub(crate) struct Start {
    /// Runs it.
    pub(crate) runner: Arc<dyn Runner>,
    /// Its command line, environment and limits; without a timeout.
    pub(crate) request: RunRequest,
    /// Its tools, laid out.
    pub(crate) directory: BuildDirectory,
    pub(crate) place: Place,
    pub(crate) protocol: Protocol,
    /// Whether it takes several requests at once.
    pub(crate) multiplex: bool,
}

/// The process can serve no more requests. Whatever it was asked did not happen, as far as anybody may rely on it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

/// A request, and where its answer goes.
struct Ask {
    request: WorkRequest,
    /// None for a cancellation, which has no answer of its own.
    answer: Option<oneshot::Sender<WorkResponse>>,
}

impl Process {
    /// Starts one in `group`; it lives until `stop` fires, at most. Whether it can be started at all shows when it is
    /// asked something.
    pub(crate) fn start(start: Start, group: &Group, stop: CancellationToken) -> io::Result<Process> {
        let Start {
            runner,
            request,
            directory,
            place,
            protocol,
            multiplex,
        } = start;
        let (to_process, stdin) = pipe::pipe()?;
        let (stdout, from_process) = pipe::pipe()?;
        let conversation = Conversation {
            stdin: stdin.into_blocking_fd()?,
            stdout: stdout.into_blocking_fd()?,
        };
        let (asks, asked) = mpsc::channel(ASKS_IN_FLIGHT_MAX);
        let talk = Talk {
            protocol,
            to_process,
            from_process,
            unsent: BytesMut::new(),
            decoder: Decoder::new(protocol),
            answers: HashMap::new(),
        };
        let process = Process {
            multiplex,
            asks,
            next: AtomicU64::new(0),
            ended: CancellationToken::new(),
            reason: Arc::default(),
            directory: Arc::new(directory),
            place: Arc::new(place),
            stop: stop.clone(),
        };
        let (reason, ended) = (process.reason.clone(), process.ended.clone().drop_guard());
        let directory = process.directory.clone();
        let stopping = group.stopping();
        group.spawn("persistent process", async move {
            let (why, remains) = {
                let mut run = std::pin::pin!(runner.converse(request, conversation, &stop));
                tokio::select! {
                    outcome = &mut run => end_of(outcome),
                    why = talk.hold(asked) => {
                        stop.cancel();
                        match run.await {
                            Err(RunError::Cancelled) => (why, None),
                            outcome => {
                                let (end, remains) = end_of(outcome);
                                (format!("{why}: {end}"), remains)
                            }
                        }
                    }
                }
            };
            tracing::debug!(reason = %why, "a persistent process has ended");
            let _first = reason.set(why);
            match remains {
                // Only now is nobody in it any more.
                None => drop(directory),
                // Nobody who asks it something can wait for that.
                Some(remains) => {
                    drop(ended);
                    tokio::select! {
                        () = stopping.cancelled() => {}
                        () = remains.gone() => {}
                    }
                    return drop(directory);
                }
            }
            drop(ended);
        });
        Ok(process)
    }

    /// What the process sees as its build directory.
    pub(crate) fn root(&self) -> &Arc<OwnedFd> {
        self.directory.root()
    }

    /// Where its requests find their files.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// A number that no other request to it has had: for its id and its sandbox.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of the request with this number, as the protocol wants it.
    pub(crate) fn request_id(&self, number: u64) -> i32 {
        match self.multiplex {
            true => (number % (i32::MAX as u64)) as i32 + 1,
            false => 0,
        }
    }

    /// Asks, and waits for the answer for as long as it takes. Dropping this takes nothing back.
    pub(crate) async fn ask(&self, request: WorkRequest) -> Result<WorkResponse, Broken> {
        let (answer, answered) = oneshot::channel();
        let answer = Some(answer);
        match self.asks.send(Ask { request, answer }).await {
            Ok(()) => match answered.await {
                Ok(response) => Ok(response),
                Err(_) => Err(self.broken().await),
            },
            Err(_) => Err(self.broken().await),
        }
    }

    /// Says that nobody wants this request any more. The answer to it is still to come.
    pub(crate) async fn give_up(&self, request_id: i32) -> Result<(), Broken> {
        let request = WorkRequest {
            request_id,
            cancel: true,
            ..WorkRequest::default()
        };
        match self
            .asks
            .send(Ask {
                request,
                answer: None,
            })
            .await
        {
            Ok(()) => Ok(()),
            Err(_) => Err(self.broken().await),
        }
    }

    async fn broken(&self) -> Broken {
        self.ended.cancelled().await;
        let reason = self.reason.get().map_or("it was stopped", String::as_str);
        let path = self.directory.stderr_path();
        match blocking(move || last_words(&path)).await {
            Ok(said) if !said.is_empty() => Broken(format!("{reason}; the end of its stderr: {said}")),
            // That it has said nothing, or that it is lost, is worth no words.
            Ok(_) | Err(_) => Broken(reason.to_owned()),
        }
    }

    /// Has it killed, with all it started.
    pub(crate) fn end(&self) {
        self.stop.cancel();
    }

    /// Whether it has.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until all of it is dead; the runner bounds how long that takes.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of what a process printed beside its answers. Blocking.
fn last_words(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LAST_WORDS_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// How a process ended that nobody had told to, and what is left of it.
fn end_of(outcome: Result<RunResponse, RunError>) -> (String, Option<Remains>) {
    let why = match outcome {
        Err(RunError::Undead { message, remains }) => return (message, Some(remains)),
        Err(RunError::Cancelled) => "it was stopped".to_owned(),
        Err(error) => error.to_string(),
        Ok(run) => match run.outcome {
            Outcome::Exited(code) => format!("it exited with {code}"),
            Outcome::Signaled(signal) => format!("it was killed by signal {signal}"),
            Outcome::OutOfMemory => "it ran out of memory".to_owned(),
            Outcome::TimedOut => "it ran out of time".to_owned(),
            Outcome::SetupFailed { message } => format!("the runner could not set it up: {message}"),
            Outcome::NotStarted { errno, path } => {
                let error = io::Error::from_raw_os_error(errno);
                format!("cannot run `{}`: {error}", path.display())
            }
        },
    };
    (why, None)
}

/// Both directions at once: a process may answer one request while it is being told another.
struct Talk {
    protocol: Protocol,
    to_process: pipe::Sender,
    from_process: pipe::Receiver,
    /// On its way: at most one request more than [`ASK_BYTES_MAX`], as then no other is taken.
    unsent: BytesMut,
    decoder: Decoder,
    /// Who waits, by request id.
    answers: HashMap<i32, oneshot::Sender<WorkResponse>>,
}

impl Talk {
    /// Until it makes no sense any more; says why.
    async fn hold(mut self, mut asked: mpsc::Receiver<Ask>) -> String {
        let mut piece = Vec::with_capacity(FILE_PIECE_BYTES);
        loop {
            piece.clear();
            tokio::select! {
                written = self.to_process.write(&self.unsent), if !self.unsent.is_empty() => match written {
                    Ok(length) => self.unsent.advance(length),
                    Err(error) => return format!("it takes no requests any more: {error}"),
                },
                read = self.from_process.read_buf(&mut piece) => match read {
                    Ok(0) => return "it has closed its standard output".to_owned(),
                    Ok(_) => if let Err(why) = self.hear(&piece) {
                        return why;
                    },
                    Err(error) => return format!("its standard output cannot be read: {error}"),
                },
                ask = asked.recv(), if self.unsent.len() <= ASK_BYTES_MAX => match ask {
                    Some(ask) => self.say(ask),
                    None => return "nobody needs it any more".to_owned(),
                },
            }
        }
    }

    fn say(&mut self, Ask { request, answer }: Ask) {
        self.unsent.extend_from_slice(&encode(self.protocol, &request));
        if let Some(answer) = answer {
            self.answers.insert(request.request_id, answer);
        }
    }

    fn hear(&mut self, piece: &[u8]) -> Result<(), String> {
        self.decoder.push(piece);
        while let Some(response) = self
            .decoder
            .next()
            .map_err(|rubbish: Rubbish| rubbish.to_string())?
        {
            let Some(answer) = self.answers.remove(&response.request_id) else {
                return Err(format!(
                    "it answers a request {} that it was not asked",
                    response.request_id
                ));
            };
            // Who asked may have gone; then the process is being ended.
            let _gone = answer.send(response);
        }
        Ok(())
    }
}
