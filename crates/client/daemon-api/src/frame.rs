//! A frame: length, kind, body.

use std::fmt;
use std::io::{self, Read, Write};

use crate::limits::FRAME_BYTES_MAX;

/// The length of a frame's body and its kind.
pub const HEADER_BYTES: usize = 5;

/// What can travel in a frame.
pub trait Message: Sized {
    /// Kind and body.
    fn encode(&self) -> (u8, Vec<u8>);
    /// The message of this kind with this body.
    fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError>;
}

/// The other side does not speak this protocol, or another version of it.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its message says")]
pub enum FrameError {
    TooLong { bytes: usize },
    UnknownKind { kind: u8 },
    OtherVersion { version: u32 },
    Truncated,
    Trailing { more: usize },
    TooManyFields { count: usize },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { bytes } => {
                write!(f, "a message of {bytes} bytes is longer than {FRAME_BYTES_MAX}")
            }
            FrameError::UnknownKind { kind } => write!(f, "a message of the unknown kind {kind}"),
            FrameError::OtherVersion { version } => write!(
                f,
                "a message of version {version}, this is version {}; restart the daemon",
                crate::conversation::VERSION
            ),
            FrameError::Truncated => write!(f, "a message ends before its fields do"),
            FrameError::Trailing { more } => write!(f, "a message has {more} bytes after its last field"),
            FrameError::TooManyFields { count } => write!(f, "a message claims to have {count} fields"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Sends one message, in one write.
pub fn write_frame(to: &mut impl Write, message: &impl Message) -> io::Result<()> {
    to.write_all(&encode_frame(message)?)
}

/// One message as it travels, for those who write in their own way.
pub fn encode_frame(message: &impl Message) -> Result<Vec<u8>, FrameError> {
    let (kind, body) = message.encode();
    if body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: body.len() });
    }
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.push(kind);
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Waits for the next message; `None` when the other side has closed the connection between two of them.
pub fn read_frame<M: Message>(from: &mut impl Read) -> io::Result<Option<M>> {
    let mut header = [0; HEADER_BYTES];
    match from.read(&mut header)? {
        0 => return Ok(None),
        read => from.read_exact(&mut header[read..])?,
    }
    let (length, kind) = frame_header(header)?;
    // Grows with what comes, not with what is announced.
    let mut body = Vec::new();
    let read = from.take(length as u64).read_to_end(&mut body)?;
    if read < length {
        return Err(FrameError::Truncated.into());
    }
    Ok(Some(M::decode(kind, &body)?))
}

/// The message of this kind with this body.
pub fn decode_frame<M: Message>(kind: u8, body: &[u8]) -> Result<M, FrameError> {
    M::decode(kind, body)
}

/// The length of a body and its kind, for those who read in their own way.
pub fn frame_header(header: [u8; HEADER_BYTES]) -> Result<(usize, u8), FrameError> {
    let [a, b, c, d, kind] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    match length <= FRAME_BYTES_MAX {
        true => Ok((length, kind)),
        false => Err(FrameError::TooLong { bytes: length }),
    }
}
