//! The two languages of persistent processes, on a stream that comes in pieces of any size.

mod json;

use std::ops::RangeInclusive;

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use thiserror::Error;

use super::message::{WorkRequest, WorkResponse};
use super::wish::Protocol;
use crate::limits::ANSWER_BYTES_MAX;

/// A request as it is written to a process's standard input.
pub(crate) fn encode(protocol: Protocol, request: &WorkRequest) -> Vec<u8> {
    match protocol {
        Protocol::Proto => request.encode_length_delimited_to_vec(),
        Protocol::Json => json::encode(request),
    }
}

/// Reads answers from a process's standard output.
pub(crate) struct Decoder {
    protocol: Protocol,
    /// Received and not yet understood: at most an answer and a piece.
    buffer: Vec<u8>,
    objects: json::Scanner,
}

/// Why a process's output is no answer. There is no way to find the next one in it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Rubbish {
    /// Something else is printed there.
    #[error("its standard output is no answer: {reason}")]
    NoAnswer { reason: String },
    /// More than [`ANSWER_BYTES_MAX`].
    #[error("its answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

impl Decoder {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Decoder {
            protocol,
            buffer: Vec::new(),
            objects: json::Scanner::default(),
        }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole answer, if it is there. After an error nothing that follows means anything.
    pub(crate) fn next(&mut self) -> Result<Option<WorkResponse>, Rubbish> {
        match self.protocol {
            Protocol::Proto => self.next_message(),
            Protocol::Json => self.next_object(),
        }
    }

    fn next_message(&mut self) -> Result<Option<WorkResponse>, Rubbish> {
        let Some((length, head)) = length(&self.buffer)? else {
            return Ok(None);
        };
        if length > ANSWER_BYTES_MAX {
            return Err(Rubbish::TooLong);
        }
        let Some(message) = self.buffer.get(head..head + length) else {
            return Ok(None);
        };
        let response = decode(message)?;
        self.buffer.drain(..head + length);
        Ok(Some(response))
    }

    fn next_object(&mut self) -> Result<Option<WorkResponse>, Rubbish> {
        let Some(object) = self.objects.next(&self.buffer)? else {
            return match self.buffer.len() > ANSWER_BYTES_MAX {
                true => Err(Rubbish::TooLong),
                false => Ok(None),
            };
        };
        let response = json::decode(&self.buffer[object.clone()])?;
        self.buffer.drain(..object.end);
        self.objects = json::Scanner::default();
        Ok(Some(response))
    }
}

/// Strict, unlike any other reader of such messages: nearly every text can be read as one that has nothing but fields
/// nobody knows, and would pass for a success.
fn decode(message: &[u8]) -> Result<WorkResponse, Rubbish> {
    let wrong = |reason: String| Rubbish::NoAnswer { reason };
    let mut rest = message;
    while !rest.is_empty() {
        let (field, wire_type) = decode_key(&mut rest).map_err(|error| wrong(error.to_string()))?;
        if !KNOWN_FIELDS.contains(&field) {
            return Err(wrong(format!("it has a field {field}")));
        }
        skip_field(wire_type, field, &mut rest, DecodeContext::default())
            .map_err(|error| wrong(error.to_string()))?;
    }
    WorkResponse::decode(message).map_err(|error| wrong(error.to_string()))
}

/// Of an answer.
const KNOWN_FIELDS: RangeInclusive<u32> = 1..=4;

/// Most bytes of a length: those of 32 bits.
const LENGTH_BYTES_MAX: usize = 5;

/// A length at the beginning, and how many bytes it takes itself. `None` if it is not all there.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Rubbish> {
    let mut length = 0usize;
    for (index, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 1)));
        }
    }
    match bytes.len() < LENGTH_BYTES_MAX {
        true => Ok(None),
        false => Err(Rubbish::NoAnswer {
            reason: "it does not begin with a length".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
