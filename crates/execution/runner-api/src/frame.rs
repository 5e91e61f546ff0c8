//! The frames between a worker and its runner: a `u32` length, then a version, a kind and the fields.
//!
//! The two always come from the same build, so there is one version and no negotiation; a mismatch (a worker
//! upgraded under a running runner) is refused with a message that says so.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Duration;

use crate::codec::{Reader, Writer};
use crate::{
    Availability, Base, Capabilities, Image, InputRootPlace, Mechanism, Outcome, PlaceError, ResourceUsage,
    Root, RunRequest, RunResponse, UidMode, User,
};

/// The longest payload of a frame. A command with all its arguments and environment must fit; the kernel's own bound
/// for those is about 6 MiB.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many descriptors come along with [`Request::Converse`]: the command's standard input and output.
pub const CONVERSATION_DESCRIPTORS: usize = 2;

/// Changes whenever the meaning of any byte does.
const VERSION: u8 = 9;

/// What a client may say after [`Request::Run`], a byte each time: from now on the command's time stands still.
pub const CLOCK_STANDS_STILL: u8 = b's';

/// The opposite: it goes on. That is how it begins.
pub const CLOCK_GOES: u8 = b'g';

/// What a client sends, once per connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for [`Capabilities`].
    Hello,
    /// Asks to run a command.
    Run(RunRequest),
    /// Asks to run a command that talks to the client: its standard input and output are the two descriptors that come
    /// along with the frame, in this order ([`CONVERSATION_DESCRIPTORS`]). Nothing is written to
    /// [`RunRequest::stdout_path`].
    Converse(RunRequest),
}

/// What a runner answers, once per connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Hello`].
    Capabilities(Capabilities),
    /// To [`Request::Run`] and [`Request::Converse`]: every process of the command is dead.
    Run(RunResponse),
    /// To the same, when the client closed its sending side: every process of the command is dead.
    Cancelled,
    /// To the same, whatever ended the command: it was killed, but some of it does not die. The connection ends when it has.
    Undead {
        /// What was waited for, and for how long.
        message: String,
    },
    /// Nothing was started.
    Refused {
        /// The cause.
        refusal: Refusal,
        /// The facts, for a person.
        message: String,
    },
}

/// Why a runner did not even try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many commands are running as it takes at once.
    Busy,
    /// The request cannot be run by anyone.
    Invalid,
    /// The runner's own trouble.
    Internal,
}

/// Why bytes are not a frame of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The payload is longer than [`FRAME_BYTES_MAX`].
    TooLarge {
        /// The length announced or built.
        length: usize,
    },
    /// Another version wrote it.
    Version {
        /// The version found.
        found: u8,
    },
    /// It ends in the middle of a field.
    Truncated,
    /// Bytes follow the last field.
    Trailing {
        /// How many.
        left: usize,
    },
    /// A field has a value that means nothing.
    Value {
        /// Which field.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// A text is not UTF-8.
    Text,
    /// The input root cannot be where it is asked for.
    Place(PlaceError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLarge { length } => {
                write!(
                    f,
                    "a frame of {length} bytes is longer than the {FRAME_BYTES_MAX} a runner takes"
                )
            }
            FrameError::Version { found } => {
                write!(
                    f,
                    "frame version {found}, this side speaks {VERSION}; restart worker and runner together"
                )
            }
            FrameError::Truncated => write!(f, "the frame ends in the middle of a field"),
            FrameError::Trailing { left } => write!(f, "{left} bytes follow the last field of the frame"),
            FrameError::Value { what, value } => write!(f, "{value} is no {what}"),
            FrameError::Text => write!(f, "a text in the frame is not UTF-8"),
            FrameError::Place(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FrameError {}

/// Reads one payload. The end of the stream before its first byte, or within it, is `UnexpectedEof`; a length above
/// [`FRAME_BYTES_MAX`] is `InvalidData` and nothing of it is read.
pub fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = payload_length(length).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(payload)
}

/// Writes one payload, as [`Request::encode`] or [`Reply::encode`] made it. One too long is `InvalidInput` and nothing
/// of it is written.
pub fn write_frame(to: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let frame = framed(payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    to.write_all(&frame)
}

/// The length in a frame's first four bytes, if it is one we take.
pub(crate) fn payload_length(bytes: [u8; 4]) -> Result<usize, FrameError> {
    match usize::try_from(u32::from_le_bytes(bytes)) {
        Ok(length) if length <= FRAME_BYTES_MAX => Ok(length),
        Ok(length) => Err(FrameError::TooLarge { length }),
        Err(_) => Err(FrameError::TooLarge { length: usize::MAX }),
    }
}

/// Length and payload in one buffer, so that they go out in one write.
pub(crate) fn framed(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = payload.len();
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge { length });
    }
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend_from_slice(
        &u32::try_from(length)
            .map_err(|_| FrameError::TooLarge { length })?
            .to_le_bytes(),
    );
    frame.extend_from_slice(payload);
    Ok(frame)
}

impl Request {
    /// The payload that carries this request.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.u8(VERSION);
        match self {
            Request::Hello => to.u8(0),
            Request::Run(request) => {
                to.u8(1);
                write_run_request(&mut to, request);
            }
            Request::Converse(request) => {
                to.u8(2);
                write_run_request(&mut to, request);
            }
        }
        to.finish()
    }

    /// The request in a payload. Never panics, whatever the bytes. It does not [`check`](RunRequest::check) the request.
    pub fn decode(payload: &[u8]) -> Result<Request, FrameError> {
        let mut from = versioned(payload)?;
        let request = match from.u8()? {
            0 => Request::Hello,
            1 => Request::Run(read_run_request(&mut from)?),
            2 => Request::Converse(read_run_request(&mut from)?),
            kind => {
                return Err(FrameError::Value {
                    what: "kind of request",
                    value: kind.into(),
                });
            }
        };
        from.finish().map(|()| request)
    }
}

impl Reply {
    /// The payload that carries this reply.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.u8(VERSION);
        match self {
            Reply::Capabilities(capabilities) => {
                to.u8(0);
                write_capabilities(&mut to, capabilities);
            }
            Reply::Run(response) => {
                to.u8(1);
                write_run_response(&mut to, response);
            }
            Reply::Cancelled => to.u8(2),
            Reply::Undead { message } => {
                to.u8(4);
                to.string(message);
            }
            Reply::Refused { refusal, message } => {
                to.u8(3);
                to.u8(*refusal as u8);
                to.string(message);
            }
        }
        to.finish()
    }

    /// The reply in a payload. Never panics, whatever the bytes.
    pub fn decode(payload: &[u8]) -> Result<Reply, FrameError> {
        let mut from = versioned(payload)?;
        let reply = match from.u8()? {
            0 => Reply::Capabilities(read_capabilities(&mut from)?),
            1 => Reply::Run(read_run_response(&mut from)?),
            2 => Reply::Cancelled,
            3 => Reply::Refused {
                refusal: read_refusal(&mut from)?,
                message: from.string()?,
            },
            4 => Reply::Undead {
                message: from.string()?,
            },
            kind => {
                return Err(FrameError::Value {
                    what: "kind of reply",
                    value: kind.into(),
                });
            }
        };
        from.finish().map(|()| reply)
    }
}

fn versioned(payload: &[u8]) -> Result<Reader<'_>, FrameError> {
    let mut from = Reader::new(payload);
    match from.u8()? {
        VERSION => Ok(from),
        found => Err(FrameError::Version { found }),
    }
}

fn write_run_request(to: &mut Writer, request: &RunRequest) {
    let RunRequest {
        argv,
        env,
        input_root,
        input_root_place,
        input_root_base,
        working_directory,
        timeout,
        stdout_path,
        stderr_path,
        output_log_bytes_max,
        root,
        image,
        user,
        network,
        memory_bytes_max,
        processes_max,
        processors_max,
    } = request;
    to.count(argv.len());
    argv.iter().for_each(|argument| to.bytes(argument));
    to.count(env.len());
    for (name, value) in env {
        to.bytes(name);
        to.bytes(value);
    }
    to.path(input_root);
    to.optional(input_root_place.as_ref(), |to, place| to.string(place.as_str()));
    to.optional(input_root_base.as_ref(), write_base);
    to.path(working_directory);
    to.bool(timeout.is_some());
    // Saturates after 584 years.
    to.u64(timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)));
    to.path(stdout_path);
    to.path(stderr_path);
    to.u64(*output_log_bytes_max);
    to.u8(match root {
        Root::Host => 0,
        Root::InputRoot => 1,
        Root::Image => 2,
    });
    to.optional(image.as_ref(), |to, image| {
        to.path(&image.upper);
        write_base(to, &image.base);
    });
    to.optional(user.as_ref(), |to, user| {
        to.u32(user.uid);
        to.u32(user.gid);
    });
    to.bool(*network);
    to.optional(memory_bytes_max.as_ref(), |to, bytes| to.u64(*bytes));
    to.optional(processes_max.as_ref(), |to, processes| to.u32(*processes));
    to.optional(processors_max.as_ref(), |to, processors| to.u32(*processors));
}

fn write_base(to: &mut Writer, base: &Base) {
    to.path(&base.tree);
    to.path(&base.work);
}

fn read_place(from: &mut Reader<'_>) -> Result<InputRootPlace, FrameError> {
    InputRootPlace::parse(&from.string()?).map_err(FrameError::Place)
}

fn read_base(from: &mut Reader<'_>) -> Result<Base, FrameError> {
    Ok(Base {
        tree: from.path()?,
        work: from.path()?,
    })
}

fn read_root(from: &mut Reader<'_>) -> Result<Root, FrameError> {
    match from.u8()? {
        0 => Ok(Root::Host),
        1 => Ok(Root::InputRoot),
        2 => Ok(Root::Image),
        value => Err(FrameError::Value {
            what: "root",
            value: value.into(),
        }),
    }
}

fn read_run_request(from: &mut Reader<'_>) -> Result<RunRequest, FrameError> {
    Ok(RunRequest {
        argv: from.list(Reader::bytes)?,
        env: from.list(|from| Ok((from.bytes()?, from.bytes()?)))?,
        input_root: from.path()?,
        input_root_place: from.optional(read_place)?,
        input_root_base: from.optional(read_base)?,
        working_directory: from.path()?,
        timeout: {
            let limited = from.bool()?;
            let nanoseconds = from.u64()?;
            limited.then(|| Duration::from_nanos(nanoseconds))
        },
        stdout_path: from.path()?,
        stderr_path: from.path()?,
        output_log_bytes_max: from.u64()?,
        root: read_root(from)?,
        image: from.optional(|from| {
            Ok(Image {
                upper: from.path()?,
                base: read_base(from)?,
            })
        })?,
        user: from.optional(|from| {
            Ok(User {
                uid: from.u32()?,
                gid: from.u32()?,
            })
        })?,
        network: from.bool()?,
        memory_bytes_max: from.optional(Reader::u64)?,
        processes_max: from.optional(Reader::u32)?,
        processors_max: from.optional(Reader::u32)?,
    })
}

fn write_run_response(to: &mut Writer, response: &RunResponse) {
    let RunResponse {
        outcome,
        usage,
        started_unix_ns,
        finished_unix_ns,
        ran,
        stdout_truncated,
        stderr_truncated,
        processes_refused,
        clock_stopped_ns,
    } = response;
    match outcome {
        Outcome::Exited(code) => {
            to.u8(0);
            to.i32(*code);
        }
        Outcome::Signaled(signal) => {
            to.u8(1);
            to.i32(*signal);
        }
        Outcome::TimedOut => to.u8(2),
        Outcome::SetupFailed { message } => {
            to.u8(3);
            to.string(message);
        }
        Outcome::NotStarted { errno, path } => {
            to.u8(4);
            to.i32(*errno);
            to.path(path);
        }
        Outcome::OutOfMemory => to.u8(5),
    }
    for value in usage.to_numbers() {
        to.u64(value);
    }
    to.u64(*started_unix_ns);
    to.u64(*finished_unix_ns);
    to.u64(u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX));
    to.bool(*stdout_truncated);
    to.bool(*stderr_truncated);
    to.u64(*processes_refused);
    to.u64(*clock_stopped_ns);
}

fn read_run_response(from: &mut Reader<'_>) -> Result<RunResponse, FrameError> {
    let outcome = match from.u8()? {
        0 => Outcome::Exited(from.i32()?),
        1 => Outcome::Signaled(from.i32()?),
        2 => Outcome::TimedOut,
        3 => Outcome::SetupFailed {
            message: from.string()?,
        },
        4 => Outcome::NotStarted {
            errno: from.i32()?,
            path: from.path()?,
        },
        5 => Outcome::OutOfMemory,
        value => {
            return Err(FrameError::Value {
                what: "outcome",
                value: value.into(),
            });
        }
    };
    Ok(RunResponse {
        outcome,
        usage: read_usage(from)?,
        started_unix_ns: from.u64()?,
        finished_unix_ns: from.u64()?,
        ran: Duration::from_nanos(from.u64()?),
        stdout_truncated: from.bool()?,
        stderr_truncated: from.bool()?,
        processes_refused: from.u64()?,
        clock_stopped_ns: from.u64()?,
    })
}

fn read_usage(from: &mut Reader<'_>) -> Result<ResourceUsage, FrameError> {
    let mut numbers = [0; 10];
    for number in &mut numbers {
        *number = from.u64()?;
    }
    Ok(ResourceUsage::from_numbers(numbers))
}

fn write_capabilities(to: &mut Writer, capabilities: &Capabilities) {
    let Capabilities {
        mechanisms,
        uid_mode,
        hardlinks_safe,
        action_uid,
        action_gid,
        runs_max,
        memory_limit,
        process_limit,
        processor_limit,
        overlays,
    } = capabilities;
    to.count(mechanisms.len());
    for (mechanism, availability) in mechanisms {
        to.u8(*mechanism as u8);
        write_availability(to, availability);
    }
    to.bool(*uid_mode == UidMode::Privileged);
    to.bool(*hardlinks_safe);
    to.u32(*action_uid);
    to.u32(*action_gid);
    to.u32(*runs_max);
    write_availability(to, memory_limit);
    write_availability(to, process_limit);
    write_availability(to, processor_limit);
    write_availability(to, overlays);
}

fn write_availability(to: &mut Writer, availability: &Availability) {
    match availability {
        Availability::Available => to.bool(true),
        Availability::Missing { why } => {
            to.bool(false);
            to.string(why);
        }
    }
}

fn read_availability(from: &mut Reader<'_>) -> Result<Availability, FrameError> {
    Ok(match from.bool()? {
        true => Availability::Available,
        false => Availability::Missing { why: from.string()? },
    })
}

fn read_capabilities(from: &mut Reader<'_>) -> Result<Capabilities, FrameError> {
    let mechanisms = from.list(|from| {
        let code = from.u8()?;
        let mechanism = Mechanism::from_code(code).ok_or(FrameError::Value {
            what: "mechanism",
            value: code.into(),
        })?;
        Ok((mechanism, read_availability(from)?))
    })?;
    Ok(Capabilities {
        mechanisms,
        uid_mode: if from.bool()? {
            UidMode::Privileged
        } else {
            UidMode::Rootless
        },
        hardlinks_safe: from.bool()?,
        action_uid: from.u32()?,
        action_gid: from.u32()?,
        runs_max: from.u32()?,
        memory_limit: read_availability(from)?,
        process_limit: read_availability(from)?,
        processor_limit: read_availability(from)?,
        overlays: read_availability(from)?,
    })
}

fn read_refusal(from: &mut Reader<'_>) -> Result<Refusal, FrameError> {
    match from.u8()? {
        0 => Ok(Refusal::Busy),
        1 => Ok(Refusal::Invalid),
        2 => Ok(Refusal::Internal),
        value => Err(FrameError::Value {
            what: "refusal",
            value: value.into(),
        }),
    }
}

#[cfg(test)]
mod tests;
