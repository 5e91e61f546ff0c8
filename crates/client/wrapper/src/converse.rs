//! The conversation with the daemon, from this side.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use daemon_api::{
    Answer, PIECE_BYTES_MAX, Report, Request, SILENCE_MAX, Settings, read_frame, socket_path, write_frame,
};

use crate::input::Input;
use crate::job_server::JobServer;
use crate::run_here::{Ran, Stage};
use crate::{OFF_VARIABLE, real_tool, run_here};

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command is over, with this exit code.
    Ended(u8),
    /// Only the real tool can help, in this process's place.
    Execute(PathBuf),
}

/// There was no outcome.
#[derive(Debug)]
pub struct Broken {
    /// Why.
    pub error: io::Error,
    /// Whether anything of the command's has been shown or read: then it cannot be asked for again.
    pub has_begun: bool,
}

/// A command for the daemon at a socket.
pub struct Conversation<'a> {
    /// Where the daemon is.
    pub socket: &'a Path,
    /// The command.
    pub request: &'a Request,
    /// Words before the command if it has to run here; the first is a program.
    pub local_wrapper: &'a [OsString],
    /// Variables that have other values than in this process's environment; they are in the request's as well.
    pub set: &'a [(OsString, OsString)],
}

/// Has the command done, one way or another.
pub(crate) fn converse(arguments: Vec<OsString>) -> ExitCode {
    if env::var_os(OFF_VARIABLE).is_some() {
        return real_tool::execute(
            arguments.first().and_then(|tool| real_tool::find(tool)),
            &arguments,
        );
    }
    let mut seen = Seen::default();
    let real_tool = || arguments.first().and_then(|tool| real_tool::find(tool));
    match try_to(&arguments, &mut seen) {
        Ok(Outcome::Ended(code)) => ExitCode::from(code),
        Ok(Outcome::Execute(program)) => real_tool::execute(Some(program), &arguments),
        // No daemon, none that speaks this version, or it has gone: nobody has to know.
        Err(_) => match (seen.input, real_tool()) {
            (Some(input), Some(program)) if !input.is_untouched() => {
                match run_here::replace(&program, &arguments, &[], input) {
                    Ok(end) => ExitCode::from(end.exit_code()),
                    // It says why it cannot be executed.
                    Err(_) => real_tool::execute(Some(program), &arguments),
                }
            }
            (_, program) => real_tool::execute(program, &arguments),
        },
    }
}

fn try_to(arguments: &[OsString], seen: &mut Seen) -> io::Result<Outcome> {
    let socket = socket_path(&|name| env::var_os(name)).ok_or(io::ErrorKind::NotFound)?;
    let request = request(arguments.to_vec(), Vec::new())?;
    let conversation = Conversation {
        socket: &socket,
        request: &request,
        local_wrapper: &[],
        set: &[],
    };
    conversation.try_to_hold(seen)
}

/// Asks the daemon for a command, with these variables instead of those of this process.
pub(crate) fn asked(
    arguments: &[OsString],
    set: &[(OsString, OsString)],
    seen: &mut Seen,
) -> io::Result<Outcome> {
    let socket = socket_path(&|name| env::var_os(name)).ok_or(io::ErrorKind::NotFound)?;
    let mut request = request(arguments.to_vec(), Vec::new())?;
    let environment = &mut request.environment;
    environment.retain(|(name, _)| set.iter().all(|(other, _)| other != name));
    environment.extend_from_slice(set);
    let conversation = Conversation {
        socket: &socket,
        request: &request,
        local_wrapper: &[],
        set,
    };
    conversation.try_to_hold(seen)
}

/// What of a command has got through so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// Something of it has been shown or read.
    has_begun: bool,
    /// Its standard input, where that was asked for.
    pub(crate) input: Option<Input>,
}

/// The request for a command of this process: its directory, its environment.
pub fn request(arguments: Vec<OsString>, settings: Settings) -> io::Result<Request> {
    Ok(Request {
        arguments,
        directory: env::current_dir()?,
        environment: env::vars_os().collect(),
        settings,
        is_terminal: io::stderr().is_terminal(),
    })
}

impl Conversation<'_> {
    /// From the request to the outcome. What the command prints is shown; if it has to run here, it runs here.
    pub fn hold(&self) -> Result<Outcome, Broken> {
        let mut seen = Seen::default();
        self.try_to_hold(&mut seen).map_err(|error| Broken {
            error,
            has_begun: seen.has_begun,
        })
    }

    fn try_to_hold(&self, seen: &mut Seen) -> io::Result<Outcome> {
        let mut daemon = UnixStream::connect(self.socket)?;
        daemon.set_read_timeout(Some(SILENCE_MAX))?;
        daemon.set_write_timeout(Some(SILENCE_MAX))?;
        write_frame(&mut daemon, self.request)?;
        let mut job_server = JobServer::default();
        let outcome = self.follow(&mut daemon, &mut job_server, seen);
        // The place must be back before this process ends, or runs anything, whatever has happened.
        job_server.take_back();
        outcome
    }

    fn follow(
        &self,
        daemon: &mut UnixStream,
        job_server: &mut JobServer,
        seen: &mut Seen,
    ) -> io::Result<Outcome> {
        loop {
            let answer = read_frame(daemon)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            seen.has_begun |= !matches!(
                answer,
                Answer::Alive | Answer::Waiting | Answer::TakeBack | Answer::Rehearse { .. }
            );
            match answer {
                Answer::Alive => {}
                Answer::Waiting => job_server.lend(),
                Answer::TakeBack => {
                    job_server.take_back();
                    write_frame(daemon, &Report::TakenBack)?;
                }
                Answer::SendInput => {
                    let (input, is_whole) = Input::read();
                    // Before it is sent: if the daemon goes meanwhile, the tool needs it.
                    let input = seen.input.insert(input);
                    send_input(daemon, input, is_whole)?;
                }
                Answer::Output(piece) => show(&mut io::stdout(), &piece),
                Answer::ErrorOutput(piece) => show(&mut io::stderr(), &piece),
                Answer::Ended(end) => return Ok(Outcome::Ended(end.exit_code())),
                Answer::Execute { program } => {
                    return match seen.input.take().filter(|input| !input.is_untouched()) {
                        None => Ok(Outcome::Execute(program)),
                        Some(input) => {
                            job_server.take_back();
                            let (program, arguments) = self.with_local_wrapper(&program)?;
                            let end = run_here::replace(&program, &arguments, self.set, input)?;
                            Ok(Outcome::Ended(end.exit_code()))
                        }
                    };
                }
                Answer::Rehearse { program, more } => {
                    job_server.take_back();
                    let words = self.words(&program, &[], &more)?;
                    let ran = self.ran(words, Stage::Rehearsal, daemon)?;
                    write_frame(daemon, &ran.report())?;
                }
                Answer::Run {
                    program,
                    through,
                    more,
                    apart,
                } => {
                    job_server.take_back();
                    let words = self.words(&program, &through, &more)?;
                    let input = seen.input.take();
                    return self.run_here(words, Stage::Shown { input, apart }, daemon);
                }
            }
        }
    }

    /// The program that is to run here, and its arguments, its name first.
    fn words(
        &self,
        program: &Path,
        through: &[OsString],
        more: &[OsString],
    ) -> io::Result<(PathBuf, Vec<OsString>)> {
        let (program, mut arguments) = self.with_local_wrapper(program)?;
        arguments.extend_from_slice(more);
        Ok(match through.first() {
            None => (program, arguments),
            Some(first) => {
                let program = [program.into_os_string()];
                (first.into(), [through, &program, &arguments].concat())
            }
        })
    }

    fn run_here(
        &self,
        words: (PathBuf, Vec<OsString>),
        stage: Stage,
        daemon: &mut UnixStream,
    ) -> io::Result<Outcome> {
        let ran = self.ran(words, stage, daemon)?;
        let code = ran.end.exit_code();
        // Whether the daemon keeps the result is its own business, but for the order: what the build starts next may
        // ask for it, so this waits until the daemon has it.
        let told = write_frame(daemon, &ran.report());
        let last_word = told.is_ok().then(|| last_word(daemon)).flatten();
        Ok(Outcome::Ended(last_word.unwrap_or(code)))
    }

    fn ran(
        &self,
        (program, arguments): (PathBuf, Vec<OsString>),
        stage: Stage,
        daemon: &mut UnixStream,
    ) -> io::Result<Ran> {
        run_here::run(&program, &arguments, self.set, stage, |process| {
            // A daemon that has gone is noticed later; the command runs all the same.
            let _ = write_frame(daemon, &Report::Started { process });
        })
    }

    /// Becomes the real tool, as [`Outcome::Execute`] asks. Returns only when that is not possible.
    pub fn execute(&self, program: &Path) -> ExitCode {
        match self.with_local_wrapper(program) {
            Ok((program, arguments)) => real_tool::execute(Some(program), &arguments),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(real_tool::EXIT_NOT_FOUND)
            }
        }
    }

    fn with_local_wrapper(&self, program: &Path) -> io::Result<(PathBuf, Vec<OsString>)> {
        let arguments = &self.request.arguments;
        let Some(first) = self.local_wrapper.first() else {
            return Ok((program.to_owned(), arguments.clone()));
        };
        let not_found = || {
            let message = format!("there is no program {}", first.display());
            io::Error::new(io::ErrorKind::NotFound, message)
        };
        let wrapper = real_tool::find(first).ok_or_else(not_found)?;
        Ok((wrapper, [self.local_wrapper, arguments].concat()))
    }
}

/// Somebody who does not want to read any more is no reason to fail: the command would not have failed either, or by
/// a signal that this process gets as well.
fn show(to: &mut impl Write, piece: &[u8]) {
    let _ = to.write_all(piece).and_then(|()| to.flush());
}

/// How a command has ended, if the daemon has something to say about that: one that ran for too long has not ended by itself.
fn last_word(daemon: &mut UnixStream) -> Option<u8> {
    loop {
        match read_frame(daemon).ok()?? {
            Answer::Alive => {}
            Answer::Output(piece) => show(&mut io::stdout(), &piece),
            Answer::ErrorOutput(piece) => show(&mut io::stderr(), &piece),
            Answer::Ended(end) => return Some(end.exit_code()),
            // Nothing else can be done for it any more.
            _ => return None,
        }
    }
}

fn send_input(daemon: &mut UnixStream, input: &Input, is_whole: bool) -> io::Result<()> {
    if !is_whole {
        return write_frame(daemon, &Report::InputLeft);
    }
    for piece in input.bytes().chunks(PIECE_BYTES_MAX) {
        write_frame(daemon, &Report::Input(piece.to_vec()))?;
    }
    write_frame(daemon, &Report::Input(Vec::new()))
}
