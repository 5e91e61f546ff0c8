//! Protobuf by hand: the few shapes that are worth it.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tonic::{Code, Status};

use super::pieces::Pieces;
use crate::status;

/// A field that these readers look at.
pub(crate) enum Field {
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(Pieces),
}

/// Calls `visit` with each field that is a varint or has a length, in order, and passes over the others: unknown ones
/// are tolerated.
pub(crate) fn fields(
    mut message: Pieces,
    mut visit: impl FnMut(u32, Field) -> Result<(), Status>,
) -> Result<(), Status> {
    while message.has_remaining() {
        let (number, wire_type) = decode_key(&mut message).map_err(malformed)?;
        let field = match wire_type {
            WireType::Varint => Field::Varint(decode_varint(&mut message).map_err(malformed)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut message).map_err(malformed)?;
                if length > message.len() as u64 {
                    return Err(cut_short());
                }
                Field::Bytes(message.split_to(length as usize))
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
pub(crate) fn text(pieces: Pieces) -> Result<String, Status> {
    String::from_utf8(pieces.into_bytes().into()).map_err(|_| not_a_message("a text is not UTF-8"))
}

/// As the generated code says it.
pub(crate) fn malformed(error: prost::DecodeError) -> Status {
    not_a_message(&error.to_string())
}

pub(crate) fn cut_short() -> Status {
    not_a_message("a field is longer than the message it is in")
}

fn not_a_message(why: &str) -> Status {
    status::status(Code::Internal, format!("the request cannot be decoded: {why}"))
}
