//! zstd as pure, bounded, incremental codecs.
//!
//! A [`Decoder`] and an [`Encoder`] are fed one piece of input and asked for one piece of output after the
//! other, so no input, however hostile, makes one step allocate or compute more than a piece. Neither opens a
//! socket or a file; [`decompress`] and [`compress`] put them into a stream, [`decompress_all`] and
//! [`compress_all`] handle what is in memory anyway.
//!
//! What a decoder yields is *not* proven to be a blob: that is the digest's job (`blob::Blob::checked`).
//!
//! Read `decoder.rs` first.

mod decoder;
mod encoder;
mod stream;
mod whole;

pub use decoder::{DecodeError, Decoder, WINDOW_LOG_MAX};
pub use encoder::{EncodeError, Encoder, LEVEL};
pub use stream::{compress, decompress};
pub use whole::{compress_all, decompress_all};

/// Largest piece a codec hands out, in bytes. Large enough that the cost of a step vanishes, small enough that
/// thousands of streams may each hold one.
pub const PIECE_SIZE_BYTES_MAX: usize = 256 * 1024;

/// Turns a filled buffer into a piece; gives back what a mostly empty one would pin.
fn piece(mut buffer: Vec<u8>) -> bytes::Bytes {
    if buffer.len() * 2 < buffer.capacity() {
        buffer.shrink_to_fit();
    }
    buffer.into()
}
