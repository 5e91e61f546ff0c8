//! A `WriteRequest` whose data lie where they came.

use bytes::Bytes;
use reapi::bytestream::WriteRequest;
use tonic::Status;

use crate::grpc::pieces::Pieces;
use crate::grpc::wire::{self, Field};

const RESOURCE_NAME: u32 = 1;
const WRITE_OFFSET: u32 = 2;
const FINISH_WRITE: u32 = 3;
const DATA: u32 = 10;

/// The same fields, but the data in the pieces in which the connection delivered them.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteMessage {
    pub(super) resource_name: String,
    pub(super) write_offset: i64,
    pub(super) finish_write: bool,
    pub(super) data: Pieces,
}

impl WriteMessage {
    /// Reads one off the wire.
    pub(super) fn decode(message: Pieces) -> Result<Self, Status> {
        let mut decoded = WriteMessage::default();
        wire::fields(message, |number, field| {
            match (number, field) {
                (RESOURCE_NAME, Field::Bytes(name)) => {
                    decoded.resource_name = wire::text(name.into_bytes().into())?
                }
                (WRITE_OFFSET, Field::Varint(offset)) => decoded.write_offset = offset as i64,
                (FINISH_WRITE, Field::Varint(finish)) => decoded.finish_write = finish != 0,
                (DATA, Field::Bytes(data)) => decoded.data = data,
                _ => {}
            }
            Ok(())
        })?;
        Ok(decoded)
    }
}

impl From<WriteRequest> for WriteMessage {
    fn from(request: WriteRequest) -> Self {
        WriteMessage {
            resource_name: request.resource_name,
            write_offset: request.write_offset,
            finish_write: request.finish_write,
            data: Bytes::into(request.data),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn decode(bytes: &[u8], frame_len: usize) -> Result<WriteRequest, Status> {
        let mut pieces = Pieces::default();
        bytes
            .chunks(frame_len)
            .for_each(|frame| pieces.push(Bytes::copy_from_slice(frame)));
        let message = WriteMessage::decode(pieces)?;
        Ok(WriteRequest {
            resource_name: message.resource_name,
            write_offset: message.write_offset,
            finish_write: message.finish_write,
            data: message.data.into_bytes(),
        })
    }

    proptest! {
        #[test]
        fn round_trips_however_the_frames_are_cut(
            resource_name in ".{0,20}",
            write_offset: i64,
            finish_write: bool,
            data in prop::collection::vec(any::<u8>(), 0..200),
            frame_len in 1usize..50,
        ) {
            let request = WriteRequest { resource_name, write_offset, finish_write, data: data.into() };
            prop_assert_eq!(decode(&request.encode_to_vec(), frame_len).unwrap(), request);
        }

        #[test]
        fn reads_garbage_as_the_generated_code_does(
            bytes in prop::collection::vec(prop_oneof![Just(0x0au8), Just(0x10), Just(0x18), Just(0x52), Just(3), any::<u8>()], 0..30),
            frame_len in 1usize..10,
        ) {
            // A known field of a wrong wire type is an error there and an unknown field here.
            if let Ok(request) = WriteRequest::decode(&*bytes) {
                prop_assert_eq!(decode(&bytes, frame_len).unwrap(), request);
            } else {
                let _either = decode(&bytes, frame_len);
            }
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_text_is_utf8() {
        let unknown = [0x20, 5, 0x29, 1, 2, 3, 4, 5, 6, 7, 8, 0x32, 1, 0];
        let request = WriteRequest {
            write_offset: 7,
            ..Default::default()
        };
        let bytes = [&unknown[..], &request.encode_to_vec()].concat();
        assert_eq!(decode(&bytes, 3).unwrap(), request);
        assert!(decode(&[0x0a, 1, 0xff], 9).is_err());
        assert!(decode(&[0x52, 5, 0], 9).is_err());
    }
}
