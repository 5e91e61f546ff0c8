//! Protobuf by hand: the few shapes that are worth it.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tonic::{Code, Status};

use super::pieces::Pieces;
use crate::status;

/// A field that these readers look at.
pub(crate) enum Field<Part> {
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(Part),
}

/// What a message can be read from.
pub(crate) trait Source: Buf {
    type Part;

    /// Takes the first `len` bytes, of which there are as many.
    fn take_front(&mut self, len: usize) -> Self::Part;
}

impl Source for Pieces {
    type Part = Pieces;

    fn take_front(&mut self, len: usize) -> Pieces {
        self.split_to(len)
    }
}

impl<'a> Source for &'a [u8] {
    type Part = &'a [u8];

    fn take_front(&mut self, len: usize) -> &'a [u8] {
        let (front, rest) = self.split_at(len);
        *self = rest;
        front
    }
}

/// Calls `visit` with each field that is a varint or has a length, in order, and passes over the others: unknown ones
/// are tolerated.
#[inline]
pub(crate) fn fields<S: Source>(
    mut message: S,
    mut visit: impl FnMut(u32, Field<S::Part>) -> Result<(), Status>,
) -> Result<(), Status> {
    while message.has_remaining() {
        let (number, wire_type) = decode_key(&mut message).map_err(malformed)?;
        let field = match wire_type {
            WireType::Varint => Field::Varint(decode_varint(&mut message).map_err(malformed)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut message).map_err(malformed)?;
                if length > message.remaining() as u64 {
                    return Err(not_a_message("a field is longer than the message it is in"));
                }
                Field::Bytes(message.take_front(length as usize))
            }
            other => {
                skip_field(other, number, &mut message, DecodeContext::default()).map_err(malformed)?;
                continue;
            }
        };
        visit(number, field)?;
    }
    Ok(())
}

/// A string field.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, Status> {
    String::from_utf8(bytes).map_err(|_| not_a_message("a text is not UTF-8"))
}

/// As the generated code says it.
pub(crate) fn malformed(error: prost::DecodeError) -> Status {
    not_a_message(&error.to_string())
}

fn not_a_message(why: &str) -> Status {
    status::status(Code::Internal, format!("the request cannot be decoded: {why}"))
}
