//! One connection, one request: from its frame to the reply's.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use runner_api::{
    Capabilities, Outcome, Refusal, Reply, Request, ResourceUsage, RunRequest, RunResponse, read_frame,
    write_frame,
};

use crate::confinement::Confinement;
use crate::limits::{REPLY_TIMEOUT, REQUEST_TIMEOUT};
use crate::program::Program;
use crate::ready_world::ReadyWorld;
use crate::run::{Run, unix_ns};

/// Serves one connection. An error means the client is not there to be answered.
pub(crate) fn supervise(
    mut connection: UnixStream,
    confinement: &Confinement,
    capabilities: &Capabilities,
    world: Option<ReadyWorld>,
) -> io::Result<()> {
    let reply = match read_request(&mut connection)? {
        Ok((Request::Hello, _)) => Reply::Capabilities(capabilities.clone()),
        Ok((Request::Run(request), encoded)) => {
            let asked = Asked {
                request,
                encoded,
                connection: &connection,
            };
            asked.run(confinement, world)
        }
        Err(reply) => reply,
    };
    connection.set_write_timeout(Some(REPLY_TIMEOUT))?;
    let written = write_frame(&mut connection, &reply.encode());
    // Nobody waits for this any more; what stays is the runner's to remove.
    confinement.cgroups.remove_of(std::process::id());
    written
}

/// The request with its encoding, or what to answer for want of one.
fn read_request(connection: &mut UnixStream) -> io::Result<Result<(Request, Vec<u8>), Reply>> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let payload = match read_frame(&mut UntilDeadline { connection, deadline }) {
        Ok(payload) => payload,
        // Half-closed in the middle of the request: cancelled before there was anything to cancel.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Err(Reply::Cancelled)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Err(invalid(error.to_string())));
        }
        Err(error) => return Err(error),
    };
    Ok(match Request::decode(&payload) {
        Ok(request) => Ok((request, payload)),
        Err(error) => Err(invalid(error.to_string())),
    })
}

struct UntilDeadline<'a> {
    connection: &'a mut UnixStream,
    deadline: Instant,
}

impl Read for UntilDeadline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.connection.set_read_timeout(Some(left))?;
        self.connection.read(buffer)
    }
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
    /// Runs the command and answers when all of it is dead.
    fn run(&self, confinement: &Confinement, world: Option<ReadyWorld>) -> Reply {
        if let Err(error) = self.request.check() {
            return invalid(error.to_string());
        }
        let program = match Program::of(&self.request) {
            Ok(program) => program,
            Err(message) => return invalid(message),
        };
        if let Some(reply) = world.and_then(|world| self.run_in(world, confinement)) {
            return reply;
        }
        let created_unix_ns = unix_ns();
        match Run::start(&self.request, program, confinement) {
            Ok(mut run) => {
                let watched = run.watch(self.connection);
                run.end(watched, &self.request)
            }
            Err(message) => Reply::Run(RunResponse {
                outcome: Outcome::SetupFailed { message },
                usage: ResourceUsage::default(),
                started_unix_ns: created_unix_ns,
                finished_unix_ns: unix_ns(),
                stdout_truncated: false,
                stderr_truncated: false,
                processes_refused: 0,
            }),
        }
    }

    /// Runs it in a world that is ready. `None` when that world does not do; then nothing ran, and what a new one says
    /// is the truth.
    fn run_in(&self, world: ReadyWorld, confinement: &Confinement) -> Option<Reply> {
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
