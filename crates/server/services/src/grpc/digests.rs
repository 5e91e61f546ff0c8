//! Digests between the wire and our words, without a `String` for each: a message full of them is half a hash.

use blob::{Digest, DigestError, DigestFunction};
use bytes::{BufMut, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};
use tonic::Status;

use super::wire::{self, Field};
use crate::status;

const HASH: u32 = 1;
const SIZE_BYTES: u32 = 2;

/// Reads a `Digest` message.
pub(crate) fn decode(function: DigestFunction, message: &[u8]) -> Result<Digest, Status> {
    let (mut hash, mut size_bytes) = (&[][..], 0i64);
    wire::fields(message, |number, field| {
        match (number, field) {
            (HASH, Field::Bytes(hex)) => hash = hex,
            (SIZE_BYTES, Field::Varint(size)) => size_bytes = size as i64,
            _ => {}
        }
        Ok(())
    })?;
    let size_bytes = u64::try_from(size_bytes).map_err(|_| {
        status::digest_error(DigestError::BadSize {
            hash: String::from_utf8_lossy(hash)
                .chars()
                .take(2 * function.hash_len())
                .collect(),
            size: size_bytes.to_string(),
        })
    })?;
    Digest::from_hex_bytes(function, hash, size_bytes).map_err(status::digest_error)
}

/// The hash of a `Digest` message, as it was sent.
pub(crate) fn hash(message: &[u8]) -> Result<&[u8], Status> {
    let mut hash = &[][..];
    wire::fields(message, |number, field| {
        if let (HASH, Field::Bytes(hex)) = (number, field) {
            hash = hex;
        }
        Ok(())
    })?;
    Ok(hash)
}

/// Bytes that [`encode`] writes.
pub(crate) fn encoded_len(field: u32, digest: &Digest) -> usize {
    let length = message_len(digest);
    encoded_len_varint(u64::from(field << 3)) + encoded_len_varint(length as u64) + length
}

/// Writes `digest` as field number `field` of a message.
pub(crate) fn encode(field: u32, digest: &Digest, out: &mut BytesMut) {
    encode_varint(u64::from(field << 3 | 2), out);
    encode_varint(message_len(digest) as u64, out);
    let hash = digest.hash_bytes();
    out.put_u8((HASH << 3 | 2) as u8);
    encode_varint(hash.len() as u64 * 2, out);
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in hash {
        out.put_slice(&[DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
    }
    if digest.size_bytes() > 0 {
        out.put_u8((SIZE_BYTES << 3) as u8);
        encode_varint(digest.size_bytes(), out);
    }
}

fn message_len(digest: &Digest) -> usize {
    let hex = digest.hash_bytes().len() * 2;
    let size = match digest.size_bytes() {
        0 => 0,
        size_bytes => 1 + encoded_len_varint(size_bytes),
    };
    1 + encoded_len_varint(hex as u64) + hex + size
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use reapi::execution::FindMissingBlobsResponse;
    use tonic::Code;

    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_the_generated_code_writes() {
        for function in DigestFunction::ALL {
            let one = Digest::of(function, b"hello");
            let huge = Digest::from_hash(function, &vec![7; function.hash_len()], i64::MAX as u64).unwrap();
            for digest in [Digest::empty(function), one, huge] {
                let proto = FindMissingBlobsResponse {
                    missing_blob_digests: vec![digest.to_proto()],
                };
                let mut written = BytesMut::new();
                encode(2, &digest, &mut written);
                assert_eq!(written, proto.encode_to_vec());
                assert_eq!(written.len(), encoded_len(2, &digest));
                let read = decode(function, &digest.to_proto().encode_to_vec()).unwrap();
                assert_eq!(read, digest);
            }
        }
    }

    #[test]
    fn malformed_digests_are_the_clients_mistake() {
        let good = Digest::of(DigestFunction::Sha256, b"hello").to_proto();
        let mut wrong = vec![good.clone(); 4];
        wrong[0].hash.pop();
        wrong[1].hash = good.hash.to_uppercase();
        wrong[2].size_bytes = -1;
        wrong[3].hash = String::new();
        for proto in wrong {
            let error = decode(DigestFunction::Sha256, &proto.encode_to_vec()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{proto:?}");
        }
        assert!(decode(DigestFunction::Sha256, &[0x0a, 64, b'0']).is_err());
    }
}
