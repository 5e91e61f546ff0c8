//! A runner behind a Unix socket.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use async_trait::async_trait;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::WriteHalf;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::frame::{framed, payload_length};
use crate::{
    CLOCK_GOES, CLOCK_STANDS_STILL, CONVERSATION_DESCRIPTORS, Capabilities, Conversation, FrameError,
    Refusal, Remains, Reply, Request, RunError, RunRequest, RunResponse, Runner,
};

/// Speaks to the runner process that listens at a socket. One connection per call.
#[derive(Clone, Debug)]
pub struct UnixRunner {
    socket: PathBuf,
    /// Whose runner it may be; anybody's if nobody is named.
    trusted_uids: Vec<u32>,
}

impl UnixRunner {
    /// The runner at `socket`. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        UnixRunner {
            socket: socket.into(),
            trusted_uids: Vec::new(),
        }
    }

    /// The same, but only if one of these users listens there: each connection asks the kernel.
    pub fn of_users(socket: impl Into<PathBuf>, trusted_uids: Vec<u32>) -> Self {
        UnixRunner {
            socket: socket.into(),
            trusted_uids,
        }
    }

    /// Asks which confinement the runner gives, and whose id commands run as.
    pub async fn capabilities(&self) -> Result<Capabilities, RunError> {
        let never = CancellationToken::new();
        match self.call(&Request::Hello, Along::Nothing, &never).await? {
            Reply::Capabilities(capabilities) => Ok(capabilities),
            reply => Err(unexpected(reply)),
        }
    }

    async fn call(
        &self,
        request: &Request,
        along: Along,
        cancel: &CancellationToken,
    ) -> Result<Reply, RunError> {
        let frame = framed(&request.encode())?;
        let mut connection = self.connect().await?;
        match self.exchange(&mut connection, &frame, along, cancel).await? {
            Reply::Undead { message } => Err(RunError::Undead {
                message,
                remains: Remains::new(end_of(connection)),
            }),
            // It may have ended by itself at the last moment. Whoever cancelled does not want to know.
            _ if cancel.is_cancelled() => Err(RunError::Cancelled),
            reply => Ok(reply),
        }
    }

    async fn exchange(
        &self,
        connection: &mut UnixStream,
        frame: &[u8],
        along: Along,
        cancel: &CancellationToken,
    ) -> Result<Reply, RunError> {
        let (mut from_runner, mut to_runner) = connection.split();
        let mut read = std::pin::pin!(read_reply(&mut from_runner));
        let (conversation, clock) = match along {
            Along::Nothing => (None, None),
            Along::Conversation(conversation) => (Some(conversation), None),
            Along::Clock(clock) => (None, Some(clock)),
        };
        let exchange = async {
            // A runner that refuses does not wait for the whole request; its answer explains the failed write.
            if let Err(failed_write) = send(&mut to_runner, frame, conversation).await {
                return read.as_mut().await.map_err(|failure| match failure {
                    ReadFailure::Io(_) => ReadFailure::Io(failed_write),
                    frame => frame,
                });
            }
            let said = async {
                match clock {
                    Some(clock) => tell(clock, &mut to_runner).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                reply = read.as_mut() => return reply,
                // Nothing more to be said, or nobody to hear it: then the answer says why.
                () = said => {}
            }
            read.as_mut().await
        };
        let reply = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            reply = exchange => Some(reply),
        };
        let reply = match reply {
            Some(reply) => reply,
            None => {
                // Half-closing is the cancel; the runner answers when all is dead. If the request was only half
                // written, it sees a broken frame and hangs up, which is as good.
                if let Err(error) = to_runner.shutdown().await {
                    return Err(self.lost(error));
                }
                read.await
            }
        };
        reply.map_err(|failure| match failure {
            ReadFailure::Io(source) => self.lost(source),
            ReadFailure::Frame(error) => RunError::Frame(error),
        })
    }

    async fn connect(&self) -> Result<UnixStream, RunError> {
        let failed = |source| RunError::Connect {
            socket: self.socket.clone(),
            source,
        };
        let connection = UnixStream::connect(&self.socket).await.map_err(failed)?;
        let uid = connection.peer_cred().map_err(failed)?.uid();
        match self.trusted_uids.is_empty() || self.trusted_uids.contains(&uid) {
            true => Ok(connection),
            false => Err(failed(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("user {uid} listens there, who is not known to be the runner's"),
            ))),
        }
    }

    fn lost(&self, source: io::Error) -> RunError {
        RunError::Lost {
            socket: self.socket.clone(),
            source,
        }
    }
}

#[async_trait]
impl Runner for UnixRunner {
    async fn run(&self, request: RunRequest, cancel: &CancellationToken) -> Result<RunResponse, RunError> {
        request.check()?;
        match self.call(&Request::Run(request), Along::Nothing, cancel).await? {
            Reply::Run(response) => Ok(response),
            reply => Err(unexpected(reply)),
        }
    }

    async fn run_by_clock(
        &self,
        request: RunRequest,
        stands_still: watch::Receiver<bool>,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        request.check()?;
        let request = Request::Run(request);
        match self.call(&request, Along::Clock(stands_still), cancel).await? {
            Reply::Run(response) => Ok(response),
            reply => Err(unexpected(reply)),
        }
    }

    async fn converse(
        &self,
        request: RunRequest,
        conversation: Conversation,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        request.check()?;
        let request = Request::Converse(request);
        match self
            .call(&request, Along::Conversation(conversation), cancel)
            .await?
        {
            Reply::Run(response) => Ok(response),
            reply => Err(unexpected(reply)),
        }
    }
}

/// What goes to the runner beside a request.
enum Along {
    Nothing,
    Conversation(Conversation),
    Clock(watch::Receiver<bool>),
}

/// Says whether the command's time stands still, each time that changes. Ends when it changes no more, or when nobody
/// listens.
async fn tell(mut stands_still: watch::Receiver<bool>, to: &mut WriteHalf<'_>) {
    let mut last = false;
    loop {
        let now = *stands_still.borrow_and_update();
        if now != last {
            let word = if now { CLOCK_STANDS_STILL } else { CLOCK_GOES };
            if to.write_all(&[word]).await.is_err() {
                return;
            }
            last = now;
        }
        if stands_still.changed().await.is_err() {
            return;
        }
    }
}

/// Sends a frame, and with its first bytes what goes along. That is closed here afterwards, so that the ends that the
/// command has are the only ones.
async fn send(to: &mut WriteHalf<'_>, frame: &[u8], conversation: Option<Conversation>) -> io::Result<()> {
    let sent = match &conversation {
        None => 0,
        Some(Conversation { stdin, stdout }) => {
            let stream: &UnixStream = to.as_ref();
            let first = || send_with(stream, frame, &[stdin.as_fd(), stdout.as_fd()]);
            stream.async_io(Interest::WRITABLE, first).await?
        }
    };
    to.write_all(&frame[sent..]).await
}

fn send_with(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CONVERSATION_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags)
    });
    Ok(sent?)
}

enum ReadFailure {
    Io(io::Error),
    Frame(FrameError),
}

async fn read_reply(from: &mut (impl AsyncReadExt + Unpin)) -> Result<Reply, ReadFailure> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.map_err(ReadFailure::Io)?;
    let mut payload = vec![0; payload_length(length).map_err(ReadFailure::Frame)?];
    from.read_exact(&mut payload).await.map_err(ReadFailure::Io)?;
    Reply::decode(&payload).map_err(ReadFailure::Frame)
}

/// Waits until the other side has closed. What it says until then means nothing.
async fn end_of(mut connection: UnixStream) {
    while matches!(connection.read(&mut [0]).await, Ok(1..)) {}
}

/// What a reply means that is not the one asked for.
fn unexpected(reply: Reply) -> RunError {
    match reply {
        Reply::Refused {
            refusal: Refusal::Busy,
            message,
        } => RunError::Busy { message },
        Reply::Refused {
            refusal: Refusal::Invalid | Refusal::Internal,
            message,
        } => RunError::Refused { message },
        Reply::Cancelled => RunError::Cancelled,
        Reply::Undead { message } => RunError::Refused { message },
        Reply::Capabilities(_) => RunError::Frame(FrameError::Value {
            what: "answer to a run",
            value: 0,
        }),
        Reply::Run(_) => RunError::Frame(FrameError::Value {
            what: "answer to a hello",
            value: 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;
    use crate::{Outcome, ResourceUsage, Root, read_frame, write_frame};

    fn request() -> RunRequest {
        RunRequest {
            argv: vec![b"true".to_vec()],
            env: vec![],
            input_root: "/r".into(),
            working_directory: PathBuf::new(),
            timeout: Some(Duration::from_secs(1)),
            stdout_path: "/o".into(),
            stderr_path: "/e".into(),
            output_log_bytes_max: 1,
            root: Root::Host,
            image: None,
            input_root_place: None,
            input_root_base: None,
            user: None,
            network: false,
            memory_bytes_max: None,
            processes_max: None,
            processors_max: None,
        }
    }

    /// A runner that plays one scripted connection.
    fn scripted(
        script: impl FnOnce(std::os::unix::net::UnixStream) + Send + 'static,
    ) -> (UnixRunner, tempfile::TempDir, std::thread::JoinHandle<()>) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = std::thread::spawn(move || script(listener.accept().unwrap().0));
        (UnixRunner::new(socket), directory, thread)
    }

    #[tokio::test]
    async fn the_answer_comes_back() {
        let response = RunResponse {
            outcome: Outcome::Exited(3),
            usage: ResourceUsage::default(),
            started_unix_ns: 1,
            finished_unix_ns: 2,
            ran: Duration::from_secs(1),
            stdout_truncated: false,
            processes_refused: 0,
            clock_stopped_ns: 0,
            stderr_truncated: true,
        };
        let sent = response.clone();
        let (runner, _directory, thread) = scripted(move |mut connection| {
            let payload = read_frame(&mut connection).unwrap();
            assert_eq!(Request::decode(&payload), Ok(Request::Run(request())));
            write_frame(&mut connection, &Reply::Run(sent).encode()).unwrap();
        });
        assert_eq!(
            runner.run(request(), &CancellationToken::new()).await.unwrap(),
            response
        );
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn the_runner_hears_when_the_clock_stands_still() {
        let (clock, stands_still) = watch::channel(true);
        let (runner, _directory, thread) = scripted(move |mut connection| {
            let mut word = [0];
            read_frame(&mut connection).unwrap();
            io::Read::read_exact(&mut connection, &mut word).unwrap();
            assert_eq!(word[0], CLOCK_STANDS_STILL);
            clock.send(false).unwrap();
            io::Read::read_exact(&mut connection, &mut word).unwrap();
            assert_eq!(word[0], CLOCK_GOES);
            drop(clock);
            write_frame(&mut connection, &Reply::Cancelled.encode()).unwrap();
        });
        let cancel = CancellationToken::new();
        let run = runner.run_by_clock(request(), stands_still, &cancel);
        assert!(matches!(run.await, Err(RunError::Cancelled)));
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn cancelling_waits_until_the_runner_confirms() {
        let cancel = CancellationToken::new();
        let (fire, (sender, mut confirmed)) = (cancel.clone(), tokio::sync::oneshot::channel());
        let (runner, _directory, thread) = scripted(move |mut connection| {
            read_frame(&mut connection).unwrap();
            fire.cancel();
            // The end of the request side, seen here, is the cancel.
            assert_eq!(
                read_frame(&mut connection).unwrap_err().kind(),
                io::ErrorKind::UnexpectedEof
            );
            sender.send(()).unwrap();
            write_frame(&mut connection, &Reply::Cancelled.encode()).unwrap();
        });
        assert!(matches!(
            runner.run(request(), &cancel).await,
            Err(RunError::Cancelled)
        ));
        assert!(
            confirmed.try_recv().is_ok(),
            "run returned before the runner confirmed"
        );
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn what_does_not_die_is_waited_for_by_whoever_wants_to_cancelled_or_not() {
        for cancels in [false, true] {
            let cancel = CancellationToken::new();
            let fire = cancel.clone();
            let (die, dead) = std::sync::mpsc::channel();
            let (runner, _directory, thread) = scripted(move |mut connection| {
                read_frame(&mut connection).unwrap();
                if cancels {
                    fire.cancel();
                    read_frame(&mut connection).unwrap_err();
                }
                let message = "not dead in 60s".to_owned();
                write_frame(&mut connection, &Reply::Undead { message }.encode()).unwrap();
                dead.recv().unwrap();
            });
            let Err(RunError::Undead { message, remains }) = runner.run(request(), &cancel).await else {
                panic!("it is dead");
            };
            assert_eq!(message, "not dead in 60s");
            let mut gone = std::pin::pin!(remains.gone());
            let early = tokio::time::timeout(Duration::from_millis(20), &mut gone).await;
            assert!(early.is_err(), "it is not gone yet");
            die.send(()).unwrap();
            gone.await;
            thread.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_runner_that_dies_is_named() {
        let (runner, _directory, thread) = scripted(|mut connection| {
            read_frame(&mut connection).unwrap();
        });
        let error = runner
            .run(request(), &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(matches!(error, RunError::Lost { .. }), "{error}");
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_heard_although_the_request_was_not_read() {
        let (runner, _directory, thread) = scripted(|mut connection| {
            let reply = Reply::Refused {
                refusal: Refusal::Busy,
                message: "9 of 9".into(),
            };
            write_frame(&mut connection, &reply.encode()).unwrap();
        });
        // Longer than any socket buffer, so that the write fails.
        let long = RunRequest {
            argv: vec![vec![b'a'; 4 << 20]],
            ..request()
        };
        let error = runner.run(long, &CancellationToken::new()).await.unwrap_err();
        assert!(
            matches!(&error, RunError::Busy { message } if message == "9 of 9"),
            "{error}"
        );
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn garbage_is_an_error_and_an_impossible_request_is_not_sent() {
        let (runner, _directory, thread) = scripted(|mut connection| {
            read_frame(&mut connection).unwrap();
            write_frame(&mut connection, b"what?").unwrap();
        });
        let impossible = RunRequest {
            argv: vec![],
            ..request()
        };
        let cancel = CancellationToken::new();
        assert!(matches!(
            runner.run(impossible, &cancel).await,
            Err(RunError::Invalid(_))
        ));
        assert!(matches!(
            runner.run(request(), &cancel).await,
            Err(RunError::Frame(_))
        ));
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_runner_of_somebody_else_is_not_spoken_to() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _listener = UnixListener::bind(&socket).unwrap();
        let own = std::os::unix::fs::MetadataExt::uid(&directory.path().metadata().unwrap());
        let runner = UnixRunner::of_users(&socket, vec![own + 1]);
        let error = runner.capabilities().await.unwrap_err().to_string();
        assert!(error.contains(&format!("user {own} listens there")), "{error}");
    }

    #[tokio::test]
    async fn nobody_listening_is_named_with_the_socket() {
        let runner = UnixRunner::new("/nonexistent/socket");
        let error = runner.capabilities().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach the runner at /nonexistent/socket: No such file or directory (os error 2)"
        );
    }
}
