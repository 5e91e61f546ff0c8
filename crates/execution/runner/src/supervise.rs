//! One connection, one request: from its frame to the reply's.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use runner_api::{
    Capabilities, FrameError, Outcome, Refusal, Reply, Request, ResourceUsage, RunRequest, RunResponse,
    read_frame, write_frame,
};

use crate::confinement::Confinement;
use crate::limits::{REPLY_TIMEOUT, REQUEST_TIMEOUT};
use crate::program::Program;
use crate::run::{Run, unix_ns};

/// Serves one connection. An error means the client is not there to be answered.
pub(crate) fn supervise(
    mut connection: UnixStream,
    confinement: &Confinement,
    capabilities: &Capabilities,
) -> io::Result<()> {
    let reply = match read_request(&mut connection)? {
        Ok(Request::Hello) => Reply::Capabilities(capabilities.clone()),
        Ok(Request::Run(request)) => run(&request, &connection, confinement),
        Err(reply) => reply,
    };
    connection.set_write_timeout(Some(REPLY_TIMEOUT))?;
    write_frame(&mut connection, &reply.encode())
}

/// The request, or what to answer for want of one.
fn read_request(connection: &mut UnixStream) -> io::Result<Result<Request, Reply>> {
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
    Ok(Request::decode(&payload).map_err(|error: FrameError| invalid(error.to_string())))
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

/// Runs the command and answers when all of it is dead.
fn run(request: &RunRequest, connection: &UnixStream, confinement: &Confinement) -> Reply {
    if let Err(error) = request.check() {
        return invalid(error.to_string());
    }
    let program = match Program::of(request) {
        Ok(program) => program,
        Err(message) => return invalid(message),
    };
    let created_unix_ns = unix_ns();
    match Run::start(request, program, confinement) {
        Ok(mut run) => {
            let watched = run.watch(connection);
            run.end(watched, request)
        }
        Err(message) => Reply::Run(RunResponse {
            outcome: Outcome::SetupFailed { message },
            usage: ResourceUsage::default(),
            started_unix_ns: created_unix_ns,
            finished_unix_ns: unix_ns(),
            stdout_truncated: false,
            stderr_truncated: false,
        }),
    }
}
