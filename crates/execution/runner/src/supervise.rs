//! One connection, one request: from its frame to the reply's.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use runner_api::{
    Capabilities, Outcome, Refusal, Reply, Request, ResourceUsage, RunRequest, RunResponse, read_frame,
    write_frame,
};

use rustix::io::Errno;

use crate::confinement::Confinement;
use crate::descriptors;
use crate::lending::Lender;
use crate::limits::{DESCRIPTORS_MAX, REPLY_TIMEOUT, REQUEST_TIMEOUT};
use crate::program::Program;
use crate::ready_world::ReadyWorld;
use crate::run::{Conversation, Run, unix_ns};
use crate::undead::{Ended, Undead};

/// Serves one connection. An error means the client is not there to be answered.
pub(crate) fn supervise(
    mut connection: UnixStream,
    confinement: &Confinement,
    capabilities: &Capabilities,
    world: Option<ReadyWorld>,
) -> io::Result<()> {
    let (received, descriptors) = read_request(&mut connection)?;
    let confinement = &Confinement {
        lender: Lender::of(&connection, confinement)?,
        ..confinement.clone()
    };
    let Ended { reply, undead } = match received {
        Ok((Request::Hello, _)) => Reply::Capabilities(capabilities.clone()).into(),
        Ok((Request::Run(request), encoded)) => {
            let asked = Asked {
                request,
                encoded,
                connection: &connection,
            };
            asked.run(confinement, world)
        }
        Ok((Request::Converse(request), encoded)) => match Conversation::of(descriptors) {
            None => invalid("a conversation needs two descriptors".to_owned()).into(),
            Some(conversation) => {
                // It lives long, and a world that is built for it costs little beside that.
                world.into_iter().for_each(ReadyWorld::dismiss);
                let asked = Asked {
                    request,
                    encoded,
                    connection: &connection,
                };
                asked.converse(conversation, confinement)
            }
        },
        Err(reply) => reply.into(),
    };
    connection.set_write_timeout(Some(REPLY_TIMEOUT))?;
    let written = write_frame(&mut connection, &reply.encode());
    // The client sees the end of this in the end of the connection.
    undead.into_iter().for_each(Undead::wait);
    // Nobody waits for this any more; what stays is the runner's to remove.
    confinement.cgroups.remove_of(std::process::id());
    written
}

/// The request with its encoding, or what to answer for want of one.
type Received = Result<(Request, Vec<u8>), Reply>;

/// What a client sent, and what came along with it.
fn read_request(connection: &mut UnixStream) -> io::Result<(Received, Vec<OwnedFd>)> {
    let mut from = UntilDeadline {
        connection,
        deadline: Instant::now() + REQUEST_TIMEOUT,
        descriptors: Vec::new(),
    };
    let received = match read_frame(&mut from) {
        Ok(payload) => match Request::decode(&payload) {
            Ok(request) => Ok((request, payload)),
            Err(error) => Err(invalid(error.to_string())),
        },
        // Half-closed in the middle of the request: cancelled before there was anything to cancel.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Reply::Cancelled),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(invalid(error.to_string())),
        Err(error) => return Err(error),
    };
    Ok((received, from.descriptors))
}

struct UntilDeadline<'a> {
    connection: &'a mut UnixStream,
    deadline: Instant,
    /// What came along so far: at most [`DESCRIPTORS_MAX`].
    descriptors: Vec<OwnedFd>,
}

impl Read for UntilDeadline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.connection.set_read_timeout(Some(left))?;
        let (length, descriptors) = match descriptors::receive(&*self.connection, buffer) {
            Ok(received) => received,
            Err(Errno::PIPE) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        };
        self.descriptors.extend(descriptors);
        match self.descriptors.len() <= DESCRIPTORS_MAX {
            true => Ok(length),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more descriptors came along than any request has",
            )),
        }
    }
}

/// Nothing came of it, for reasons of this machine.
fn failed(message: String) -> Reply {
    failed_since(message, unix_ns())
}

fn failed_since(message: String, started_unix_ns: u64) -> Reply {
    Reply::Run(RunResponse {
        outcome: Outcome::SetupFailed { message },
        usage: ResourceUsage::default(),
        started_unix_ns,
        finished_unix_ns: unix_ns(),
        ran: Duration::ZERO,
        clock_stopped_ns: 0,
        stdout_truncated: false,
        stderr_truncated: false,
        processes_refused: 0,
    })
}

fn invalid(message: String) -> Reply {
    Reply::Refused {
        refusal: Refusal::Invalid,
        message,
    }
}

/// A command, who asked for it, and in which words.
struct Asked<'a> {
    request: RunRequest,
    encoded: Vec<u8>,
    connection: &'a UnixStream,
}

impl Asked<'_> {
    /// Runs the command and answers when all of it is dead, and all that it made is the client's.
    fn run(&self, confinement: &Confinement, world: Option<ReadyWorld>) -> Ended {
        let Some(lender) = confinement.lender else {
            return self.run_owned(confinement, world);
        };
        if let Err(error) = lender.lend(&self.request.input_root, &confinement.ids) {
            return failed(format!("lending the build directory to the command: {error}")).into();
        }
        let ended = self.run_owned(confinement, world);
        if ended.undead.is_some() {
            // Somebody may still write there.
            return ended;
        }
        match lender.take_back(&self.request.input_root, &confinement.ids) {
            Ok(()) => ended,
            Err(error) => failed(format!("giving back what the command has made: {error}")).into(),
        }
    }

    fn run_owned(&self, confinement: &Confinement, world: Option<ReadyWorld>) -> Ended {
        if let Err(error) = self.request.check() {
            return invalid(error.to_string()).into();
        }
        let program = match Program::of(&self.request, &confinement.through) {
            Ok(program) => program,
            Err(message) => return invalid(message).into(),
        };
        if let Some(reply) = world.and_then(|world| self.run_in(world, confinement)) {
            return reply;
        }
        self.run_anew(program, None, confinement)
    }

    /// The same for a command that talks to the client, always in a new world.
    fn converse(&self, conversation: Conversation, confinement: &Confinement) -> Ended {
        if let Err(error) = self.request.check() {
            return invalid(error.to_string()).into();
        }
        if confinement.lender.is_some() {
            return invalid(
                "a command that outlives its action needs a worker that is root, or the runner's own user"
                    .to_owned(),
            )
            .into();
        }
        match Program::of(&self.request, &confinement.through) {
            Ok(program) => self.run_anew(program, Some(conversation), confinement),
            Err(message) => invalid(message).into(),
        }
    }

    fn run_anew(
        &self,
        program: Program,
        conversation: Option<Conversation>,
        confinement: &Confinement,
    ) -> Ended {
        let created_unix_ns = unix_ns();
        match Run::start(&self.request, program, conversation, confinement) {
            Ok(mut run) => {
                let watched = run.watch(self.connection);
                run.end(watched, &self.request)
            }
            Err(message) => failed_since(message, created_unix_ns).into(),
        }
    }

    /// Runs it in a world that is ready. `None` when that world does not do; then nothing ran, and what a new one says
    /// is the truth.
    fn run_in(&self, world: ReadyWorld, confinement: &Confinement) -> Option<Ended> {
        if !world.suits(&self.request) {
            world.dismiss();
            return None;
        }
        let mut run = Run::start_in(world, &self.request, &self.encoded, confinement).ok()?;
        let watched = run.watch(self.connection);
        match watched.is_ok() && run.never_began() {
            true => None,
            false => Some(run.end(watched, &self.request)),
        }
    }
}
