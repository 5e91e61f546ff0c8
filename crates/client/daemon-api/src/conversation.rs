//! The messages.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::fields::{Reader, Writer};
use crate::frame::{FrameError, Message};

/// Grows with every change of a message. Another version is another language: the wrapper then does without the daemon.
pub(crate) const VERSION: u32 = 4;

/// What a front end wants besides the defaults: `NAME=VALUE`, in the order given; names are those of the crate `settings`.
pub type Settings = Vec<(OsString, OsString)>;

/// A command that wants to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The command; the first is the tool's name as it was called, or a path.
    pub arguments: Vec<OsString>,
    /// Where it was called.
    pub directory: PathBuf,
    /// All of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What the front end wants.
    pub settings: Settings,
    /// Whether somebody looks: standard error is a terminal.
    pub is_terminal: bool,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Become this program, as if the wrapper had not been there. Ends the conversation.
    Execute {
        /// The real tool.
        program: PathBuf,
    },
    /// Run this program, show what it prints, and tell what came of it. What is said after that, up to [`Answer::Ended`], is the
    /// last word; without one, what came of it is.
    Run {
        /// The real tool.
        program: PathBuf,
        /// A program to run instead, with its first arguments; the real tool and all words of the command follow. None where
        /// the real tool runs by itself.
        through: Vec<OsString>,
        /// Words that it gets after those of the command.
        more: Vec<OsString>,
        /// In a process group of its own: it may have to be ended, with all that it starts.
        apart: bool,
    },
    /// Run this program, show nothing of what it prints, and tell what came of it; the conversation goes on. Only for those
    /// who want a command to run more than once.
    Rehearse {
        /// The real tool.
        program: PathBuf,
        /// Words that it gets after those of the command.
        more: Vec<OsString>,
    },
    /// It will take a while, and no processor of this machine: somebody else may have the place in the job server.
    Waiting,
    /// It will run here after all: take the place in the job server again, and say when that is done. Only after
    /// [`Answer::Waiting`].
    TakeBack,
    /// Send standard input, as far as [`crate::INPUT_BYTES_MAX`] and [`crate::INPUT_WITHIN`] allow.
    SendInput,
    /// A piece of standard output.
    Output(Vec<u8>),
    /// A piece of standard error.
    ErrorOutput(Vec<u8>),
    /// The command is over. Ends the conversation.
    Ended(End),
    /// Nothing new, but the daemon is there; see [`crate::SILENCE_MAX`].
    Alive,
}

/// What the wrapper says after its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A piece of standard input; none is the end of it.
    Input(Vec<u8>),
    /// Standard input is a terminal, too long, or does not end: only the real tool can read it. Ends the input, as an empty
    /// piece does.
    InputLeft,
    /// The place in the job server is there again.
    TakenBack,
    /// The command that it was to run has this process number, and is its child until it says [`Report::Ran`].
    Started {
        /// Process number.
        process: u32,
    },
    /// The command is over.
    Ran {
        /// How.
        end: End,
        /// What it printed; `None` if it was more than is kept.
        output: Option<Vec<u8>>,
        /// What it printed on standard error; `None` if it was more than is kept.
        error_output: Option<Vec<u8>>,
    },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl End {
    /// What a shell would say: the code, or 128 and the signal.
    pub fn exit_code(self) -> u8 {
        match self {
            End::Exited(code) => (code & 0xff) as u8,
            End::Killed(signal) => 128_u8.wrapping_add((signal & 0x7f) as u8),
        }
    }

    fn write(self, to: &mut Writer) {
        let (how, number) = match self {
            End::Exited(code) => (0, code),
            End::Killed(signal) => (1, signal),
        };
        to.u32(how);
        to.u32(number as u32);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FrameError> {
        let (how, number) = (from.u32()?, from.u32()? as i32);
        Ok(match how {
            0 => End::Exited(number),
            _ => End::Killed(number),
        })
    }
}

impl Message for Request {
    fn encode(&self) -> (u8, Vec<u8>) {
        let mut body = Writer::default();
        body.u32(VERSION);
        body.string(self.directory.as_os_str().as_bytes());
        body.strings(&self.arguments);
        body.pairs(&self.environment);
        body.pairs(&self.settings);
        body.u32(self.is_terminal as u32);
        (0, body.bytes)
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let mut body = Reader::new(body);
        if kind != 0 {
            return Err(FrameError::UnknownKind { kind });
        }
        let version = body.u32()?;
        if version != VERSION {
            return Err(FrameError::OtherVersion { version });
        }
        let request = Request {
            directory: body.os_string()?.into(),
            arguments: body.strings()?,
            environment: body.pairs()?,
            settings: body.pairs()?,
            is_terminal: body.u32()? != 0,
        };
        body.end()?;
        Ok(request)
    }
}

impl Message for Answer {
    fn encode(&self) -> (u8, Vec<u8>) {
        let path = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        match self {
            Answer::Execute { program } => (0, path(program)),
            Answer::Run {
                program,
                through,
                more,
                apart,
            } => {
                let mut body = Writer::default();
                body.string(program.as_os_str().as_bytes());
                body.strings(through);
                body.strings(more);
                body.u32(*apart as u32);
                (1, body.bytes)
            }
            Answer::Waiting => (2, Vec::new()),
            Answer::SendInput => (3, Vec::new()),
            Answer::Output(piece) => (4, piece.clone()),
            Answer::ErrorOutput(piece) => (5, piece.clone()),
            Answer::Ended(end) => {
                let mut body = Writer::default();
                end.write(&mut body);
                (6, body.bytes)
            }
            Answer::Alive => (7, Vec::new()),
            Answer::Rehearse { program, more } => {
                let mut body = Writer::default();
                body.string(program.as_os_str().as_bytes());
                body.strings(more);
                (8, body.bytes)
            }
            Answer::TakeBack => (9, Vec::new()),
        }
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let path = || PathBuf::from(OsString::from_vec(body.to_vec()));
        Ok(match kind {
            0 => Answer::Execute { program: path() },
            1 => {
                let mut body = Reader::new(body);
                let (program, through, more) = (body.os_string()?.into(), body.strings()?, body.strings()?);
                let apart = body.u32()? != 0;
                body.end()?;
                Answer::Run {
                    program,
                    through,
                    more,
                    apart,
                }
            }
            2 => Answer::Waiting,
            3 => Answer::SendInput,
            4 => Answer::Output(body.to_vec()),
            5 => Answer::ErrorOutput(body.to_vec()),
            6 => {
                let mut body = Reader::new(body);
                let end = End::read(&mut body)?;
                body.end()?;
                Answer::Ended(end)
            }
            7 => Answer::Alive,
            8 => {
                let mut body = Reader::new(body);
                let (program, more) = (body.os_string()?.into(), body.strings()?);
                body.end()?;
                Answer::Rehearse { program, more }
            }
            9 => Answer::TakeBack,
            kind => return Err(FrameError::UnknownKind { kind }),
        })
    }
}

impl Message for Report {
    fn encode(&self) -> (u8, Vec<u8>) {
        let mut body = Writer::default();
        let kind = match self {
            Report::Input(piece) => {
                body.bytes.clone_from(piece);
                0
            }
            Report::Started { process } => {
                body.u32(*process);
                1
            }
            Report::Ran {
                end,
                output,
                error_output,
            } => {
                end.write(&mut body);
                for output in [output, error_output] {
                    body.u32(output.is_some() as u32);
                    body.string(output.as_deref().unwrap_or_default());
                }
                2
            }
            Report::InputLeft => 3,
            Report::TakenBack => 4,
        };
        (kind, body.bytes)
    }

    fn decode(kind: u8, bytes: &[u8]) -> Result<Self, FrameError> {
        let mut body = Reader::new(bytes);
        let report = match kind {
            0 => return Ok(Report::Input(bytes.to_vec())),
            1 => Report::Started { process: body.u32()? },
            2 => {
                let end = End::read(&mut body)?;
                let mut output = || {
                    let is_whole = body.u32()? != 0;
                    let bytes = body.string()?;
                    Ok::<_, FrameError>(is_whole.then(|| bytes.to_vec()))
                };
                Report::Ran {
                    end,
                    output: output()?,
                    error_output: output()?,
                }
            }
            3 => Report::InputLeft,
            4 => Report::TakenBack,
            kind => return Err(FrameError::UnknownKind { kind }),
        };
        body.end()?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
