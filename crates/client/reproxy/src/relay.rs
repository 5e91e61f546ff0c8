//! The wrapper's end of a conversation, for a command that has come over gRPC and has no wrapper.
//!
//! The daemon that serves the services gives itself one end of a `UnixStream::pair()` and this function the other: then a
//! command of siso's goes the way of every other command. What would run in the wrapper's process runs as a child of this
//! one, in the directory and with the environment of the request.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use daemon_api::{
    Answer, CAPTURED_BYTES_MAX, End, FrameError, HEADER_BYTES, Message, Report, Request, SILENCE_MAX,
    decode_frame, encode_frame, frame_header,
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What of each output is kept: two of them, and what else there is, fit into the answer that callers accept.
const OUTPUT_BYTES_MAX: usize = 12 << 20;
/// Stands for the rest of an output that was longer.
const CUT: &[u8] = b"\n[farrier: the rest of this output is left out]\n";

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Relayed {
    /// How the command ended.
    pub end: End,
    /// What it printed.
    pub output: Vec<u8>,
    /// What it printed on standard error.
    pub error_output: Vec<u8>,
    /// It ran on this machine.
    pub ran_here: bool,
}

/// Has the command done by the daemon at the other end. When this is dropped, a command that runs here is ended with all its
/// children.
pub async fn relay(
    mut daemon: UnixStream,
    request: &Request,
    local_wrapper: &[OsString],
) -> io::Result<Relayed> {
    say(&mut daemon, request).await?;
    let (mut output, mut error_output) = (Kept::default(), Kept::default());
    loop {
        match hear(&mut daemon).await? {
            Answer::Alive | Answer::Waiting => {}
            // There is no job server, so there is nothing to take.
            Answer::TakeBack => say(&mut daemon, &Report::TakenBack).await?,
            // Nobody types.
            Answer::SendInput => say(&mut daemon, &Report::Input(Vec::new())).await?,
            Answer::Output(piece) => output.add(&piece),
            Answer::ErrorOutput(piece) => error_output.add(&piece),
            Answer::Ended(end) => {
                return Ok(Relayed {
                    end,
                    output: output.whole(),
                    error_output: error_output.whole(),
                    ran_here: false,
                });
            }
            Answer::Execute { program } => {
                let mut running = Running::start(request, &program, &[], &[], local_wrapper)?;
                let end = running.finish(&mut output, &mut error_output).await?;
                return Ok(relayed(end, output, error_output));
            }
            Answer::Rehearse { program, more } => {
                let mut running = Running::start(request, &program, &[], &more, local_wrapper)?;
                let ran = told_of(&mut daemon, &mut running).await?;
                say(&mut daemon, &ran.report()).await?;
            }
            Answer::Run {
                program,
                through,
                more,
                // What comes over gRPC always does.
                apart: _,
            } => {
                let mut running = Running::start(request, &program, &through, &more, local_wrapper)?;
                let ran = told_of(&mut daemon, &mut running).await?;
                output.add(&ran.output.bytes);
                error_output.add(&ran.error_output.bytes);
                // As with a wrapper: what comes next may ask for the result, so the daemon has it before this returns.
                let end = match say(&mut daemon, &ran.report()).await {
                    Ok(()) => last_word(&mut daemon, &mut output, &mut error_output).await,
                    Err(_) => None,
                };
                return Ok(relayed(end.unwrap_or(ran.end), output, error_output));
            }
        }
    }
}

/// How a command has ended, if the daemon has something to say about that.
async fn last_word(daemon: &mut UnixStream, output: &mut Kept, error_output: &mut Kept) -> Option<End> {
    loop {
        match hear(daemon).await.ok()? {
            Answer::Alive => {}
            Answer::Output(piece) => output.add(&piece),
            Answer::ErrorOutput(piece) => error_output.add(&piece),
            Answer::Ended(end) => return Some(end),
            _ => return None,
        }
    }
}

/// What came of a command that ran here.
struct Ran {
    end: End,
    output: Kept,
    error_output: Kept,
}

impl Ran {
    fn report(&self) -> Report {
        Report::Ran {
            end: self.end,
            output: self.output.for_cache(),
            error_output: self.error_output.for_cache(),
        }
    }
}

/// Runs it to its end; the daemon is told its process number.
async fn told_of(daemon: &mut UnixStream, running: &mut Running) -> io::Result<Ran> {
    if let Some(process) = running.child.id() {
        say(daemon, &Report::Started { process }).await?;
    }
    let (mut output, mut error_output) = (Kept::default(), Kept::default());
    let end = running.finish(&mut output, &mut error_output).await?;
    Ok(Ran {
        end,
        output,
        error_output,
    })
}

fn relayed(end: End, output: Kept, error_output: Kept) -> Relayed {
    Relayed {
        end,
        output: output.whole(),
        error_output: error_output.whole(),
        ran_here: true,
    }
}

async fn say(daemon: &mut UnixStream, message: &impl Message) -> io::Result<()> {
    daemon.write_all(&encode_frame(message)?).await
}

async fn hear<M: Message>(daemon: &mut UnixStream) -> io::Result<M> {
    let read = async {
        let mut header = [0; HEADER_BYTES];
        daemon.read_exact(&mut header).await?;
        let (length, kind) = frame_header(header)?;
        let mut body = Vec::new();
        let read = daemon.take(length as u64).read_to_end(&mut body).await?;
        match read == length {
            true => Ok(decode_frame(kind, &body)?),
            false => Err(FrameError::Truncated.into()),
        }
    };
    timeout(SILENCE_MAX, read)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the daemon says nothing any more"))?
}

/// An output, as much of it as is kept.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Kept {
    fn add(&mut self, piece: &[u8]) {
        let space = OUTPUT_BYTES_MAX - self.bytes.len();
        self.is_cut |= piece.len() > space;
        self.bytes.extend_from_slice(&piece[..piece.len().min(space)]);
    }

    fn whole(mut self) -> Vec<u8> {
        if self.is_cut {
            self.bytes.extend_from_slice(CUT);
        }
        self.bytes
    }

    fn for_cache(&self) -> Option<Vec<u8>> {
        let fits = !self.is_cut && self.bytes.len() <= CAPTURED_BYTES_MAX;
        fits.then(|| self.bytes.clone())
    }
}

/// A command that runs here. Dropping it ends its process group.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended at this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Running {
    fn start(
        request: &Request,
        program: &Path,
        through: &[OsString],
        more: &[OsString],
        local_wrapper: &[OsString],
    ) -> io::Result<Self> {
        let program = match local_wrapper.first() {
            Some(wrapper) => find(wrapper, request),
            None => program.to_owned(),
        };
        let path = program.as_os_str().to_owned();
        let watched = through.iter().chain(through.first().map(|_| &path));
        let mut words = watched.chain(local_wrapper).chain(&request.arguments).chain(more);
        let name = words
            .next()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let program = through.first().map_or(program.clone(), PathBuf::from);
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(words)
            .current_dir(&request.directory)
            .env_clear()
            .envs(request.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn()?;
        let group = child.id().and_then(|process| i32::try_from(process).ok());
        Ok(Running {
            child,
            group: group.and_then(Pid::from_raw),
        })
    }

    async fn finish(&mut self, output: &mut Kept, error_output: &mut Kept) -> io::Result<End> {
        let (from, errors_from) = (self.child.stdout.take(), self.child.stderr.take());
        let (read, read_errors) = tokio::join!(keep(from, output), keep(errors_from, error_output));
        read?;
        read_errors?;
        let end = end_of(self.child.wait().await?);
        // Its number may be another's from now on. What it has left running is its own business.
        self.group = None;
        Ok(end)
    }
}

/// A wrapper's program: relative to the request's directory, or the first of its name in the request's `PATH`.
fn find(wrapper: &OsStr, request: &Request) -> PathBuf {
    if wrapper.as_bytes().contains(&b'/') {
        return request.directory.join(wrapper);
    }
    let path = request.environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map(|(_, value)| value.as_os_str()).unwrap_or_default();
    let found = std::env::split_paths(path)
        .map(|directory| request.directory.join(directory).join(wrapper))
        .find(|candidate| {
            let found = candidate.metadata();
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        });
    found.unwrap_or_else(|| request.directory.join(wrapper))
}

async fn keep(from: Option<impl AsyncRead + Unpin>, to: &mut Kept) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut piece = vec![0; 16 << 10];
    loop {
        match from.read(&mut piece).await? {
            0 => return Ok(()),
            read => to.add(&piece[..read]),
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Killed(signal),
        (None, None) => End::Exited(i32::from(u8::MAX)),
    }
}

#[cfg(test)]
mod tests;
