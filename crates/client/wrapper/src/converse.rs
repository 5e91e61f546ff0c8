//! The conversation with the daemon, from this side.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use daemon_api::{
    Answer, PIECE_BYTES_MAX, Report, Request, SILENCE_MAX, read_frame, socket_path, write_frame,
};

use crate::job_server::JobServer;
use crate::{OFF_VARIABLE, real_tool, run_here};

/// What came of it.
enum Outcome {
    Ended(u8),
    /// Only the real tool can help.
    Execute(PathBuf),
}

/// Has the command done, one way or another.
pub(crate) fn converse(arguments: Vec<OsString>) -> ExitCode {
    if env::var_os(OFF_VARIABLE).is_some() {
        return real_tool::execute(
            arguments.first().and_then(|tool| real_tool::find(tool)),
            &arguments,
        );
    }
    match try_to(&arguments) {
        Ok(Outcome::Ended(code)) => ExitCode::from(code),
        Ok(Outcome::Execute(program)) => real_tool::execute(Some(program), &arguments),
        // No daemon, none that speaks this version, or it has gone: nobody has to know.
        Err(_) => real_tool::execute(
            arguments.first().and_then(|tool| real_tool::find(tool)),
            &arguments,
        ),
    }
}

fn try_to(arguments: &[OsString]) -> io::Result<Outcome> {
    let socket = socket_path(&|name| env::var_os(name)).ok_or(io::ErrorKind::NotFound)?;
    let mut daemon = UnixStream::connect(socket)?;
    daemon.set_read_timeout(Some(SILENCE_MAX))?;
    daemon.set_write_timeout(Some(SILENCE_MAX))?;
    let request = Request {
        arguments: arguments.to_vec(),
        directory: env::current_dir()?,
        environment: env::vars_os().collect(),
        settings: Vec::new(),
        is_terminal: io::stderr().is_terminal(),
    };
    write_frame(&mut daemon, &request)?;
    let mut job_server = JobServer::default();
    let outcome = follow(&mut daemon, arguments, &mut job_server);
    // The place must be back before this process ends, or runs anything, whatever has happened.
    job_server.take_back();
    outcome
}

fn follow(
    daemon: &mut UnixStream,
    arguments: &[OsString],
    job_server: &mut JobServer,
) -> io::Result<Outcome> {
    loop {
        match read_frame(daemon)?.ok_or(io::ErrorKind::UnexpectedEof)? {
            Answer::Alive => {}
            Answer::Waiting => job_server.lend(),
            Answer::SendInput => send_input(daemon)?,
            Answer::Output(piece) => show(&mut io::stdout(), &piece),
            Answer::ErrorOutput(piece) => show(&mut io::stderr(), &piece),
            Answer::Ended(end) => return Ok(Outcome::Ended(end.exit_code())),
            Answer::Execute { program } => return Ok(Outcome::Execute(program)),
            Answer::Run { program } => {
                job_server.take_back();
                let ran = run_here::run(&program, arguments, |process| {
                    // A daemon that has gone is noticed below; the command runs all the same.
                    let _ = write_frame(daemon, &Report::Started { process });
                })?;
                let code = ran.end.exit_code();
                // Whether the daemon keeps the result is its own business, but for the order: what the build starts
                // next may ask for it, so this waits until the daemon has it.
                let told = write_frame(daemon, &ran.report());
                if told.is_ok() {
                    let _ = read_frame::<Answer>(daemon);
                }
                return Ok(Outcome::Ended(code));
            }
        }
    }
}

/// Somebody who does not want to read any more is no reason to fail: the command would not have failed either, or by
/// a signal that this process gets as well.
fn show(to: &mut impl Write, piece: &[u8]) {
    let _ = to.write_all(piece).and_then(|()| to.flush());
}

fn send_input(daemon: &mut UnixStream) -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut piece = vec![0; PIECE_BYTES_MAX];
    loop {
        let read = match input.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        write_frame(daemon, &Report::Input(piece[..read].to_vec()))?;
        if read == 0 {
            return Ok(());
        }
    }
}
