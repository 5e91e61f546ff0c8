//! For what is in memory anyway.

use bytes::{Bytes, BytesMut};

use crate::{DecodeError, Decoder, EncodeError, Encoder, PIECE_SIZE_BYTES_MAX};

/// Decompresses `input` into at most `size_bytes_max`.
pub fn decompress_all(input: Bytes, size_bytes_max: u64) -> Result<Bytes, DecodeError> {
    let mut decoder = Decoder::new(size_bytes_max)?;
    decoder.push(input)?;
    let mut output = Gathered::default();
    while let Some(piece) = decoder.next_output()? {
        output.push(piece);
    }
    decoder.finish()?;
    Ok(output.into_bytes())
}

/// Compresses `input` into one frame.
pub fn compress_all(input: Bytes) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new(input.len() as u64)?;
    encoder.push(input);
    let mut output = Gathered::default();
    while let Some(piece) = encoder.next_output()? {
        output.push(piece);
    }
    encoder.end();
    while let Some(piece) = encoder.next_output()? {
        output.push(piece);
    }
    Ok(output.into_bytes())
}

/// Joins pieces; the usual single one is not copied.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    joined: BytesMut,
}

impl Gathered {
    fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = piece;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(self.first.len() + PIECE_SIZE_BYTES_MAX);
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() {
            self.first
        } else {
            self.joined.freeze()
        }
    }
}
