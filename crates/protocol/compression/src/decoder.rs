//! Frames in, bytes out, and never more bytes than were promised.

use bytes::{Buf, Bytes};
use thiserror::Error;
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use crate::{PIECE_SIZE_BYTES_MAX, piece};

/// Largest window a frame may ask for, as a power of two: 128 MiB, what `zstd --ultra -22` uses. The memory is
/// touched only as output fills it, so a small blob never pays for a large window.
pub const WINDOW_LOG_MAX: u32 = 27;

/// Compressed input taken per byte of promised output, besides [`INPUT_ALLOWANCE_BYTES`]. No sane encoder comes
/// near it; it stops an endless stream of empty or skippable frames.
const INPUT_PER_OUTPUT_BYTE_MAX: u64 = 32;

/// Compressed input always taken, whatever was promised: frame headers, checksums, a few empty frames.
const INPUT_ALLOWANCE_BYTES: u64 = 64 * 1024;

/// Decompresses a sequence of zstd frames, which may be empty.
///
/// The use is: [`push`](Self::push) one piece, call [`next_output`](Self::next_output) until it returns `None`,
/// repeat; after the last piece call [`finish`](Self::finish).
pub struct Decoder {
    context: zstd::stream::raw::Decoder<'static>,
    input: Bytes,
    size_bytes_max: u64,
    output_left_bytes: u64,
    input_left_bytes: u64,
    /// A frame has begun and not ended.
    in_frame: bool,
    /// The last step filled its buffer, so zstd may hold more without needing input.
    may_hold_output: bool,
}

/// Why input is not what it should be. After an error the decoder is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not a zstd frame, a damaged one, or one that needs a window above [`WINDOW_LOG_MAX`].
    #[error("not a valid zstd stream: {reason}")]
    Malformed {
        /// What zstd said.
        reason: String,
    },
    /// The input ended inside a frame.
    #[error("the zstd stream ends in the middle of a frame")]
    Truncated,
    /// It decodes to more than was promised.
    #[error("the zstd stream decodes to more than the {size_bytes_max} bytes announced")]
    TooLong {
        /// What was promised.
        size_bytes_max: u64,
    },
    /// So much input for so little output that it can only be padding.
    #[error(
        "the zstd stream carries more than {input_bytes_max} compressed bytes for {size_bytes_max} bytes announced"
    )]
    TooMuchInput {
        /// Most input taken.
        input_bytes_max: u64,
        /// What was promised.
        size_bytes_max: u64,
    },
    /// No memory for another decoder.
    #[error("no memory for a zstd decoder: {reason}")]
    NoMemory {
        /// What the system said.
        reason: String,
    },
}

impl Decoder {
    /// A decoder whose whole output is at most `size_bytes_max`; the first byte more is an error.
    pub fn new(size_bytes_max: u64) -> Result<Self, DecodeError> {
        let no_memory = |error: std::io::Error| DecodeError::NoMemory {
            reason: error.to_string(),
        };
        let mut context = zstd::stream::raw::Decoder::new().map_err(no_memory)?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(no_memory)?;
        Ok(Decoder {
            context,
            input: Bytes::new(),
            size_bytes_max,
            output_left_bytes: size_bytes_max,
            input_left_bytes: input_bytes_max(size_bytes_max),
            in_frame: false,
            may_hold_output: false,
        })
    }

    /// Gives the next piece of input. The last one must have been used up: `next_output` has said `None`.
    pub fn push(&mut self, input: Bytes) -> Result<(), DecodeError> {
        debug_assert!(self.input.is_empty(), "the previous piece has been used up");
        let too_much = DecodeError::TooMuchInput {
            input_bytes_max: input_bytes_max(self.size_bytes_max),
            size_bytes_max: self.size_bytes_max,
        };
        self.input_left_bytes = self
            .input_left_bytes
            .checked_sub(input.len() as u64)
            .ok_or(too_much)?;
        self.input = input;
        Ok(())
    }

    /// The next piece of output, never empty; `None` when more input is needed.
    pub fn next_output(&mut self) -> Result<Option<Bytes>, DecodeError> {
        while !self.input.is_empty() || self.may_hold_output {
            let output = self.step()?;
            if output.len() as u64 > self.output_left_bytes {
                return Err(DecodeError::TooLong {
                    size_bytes_max: self.size_bytes_max,
                });
            }
            self.output_left_bytes -= output.len() as u64;
            if !output.is_empty() {
                return Ok(Some(piece(output)));
            }
        }
        Ok(None)
    }

    /// Checks that the input may end here: between frames.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.in_frame {
            Err(DecodeError::Truncated)
        } else {
            Ok(())
        }
    }

    fn step(&mut self) -> Result<Vec<u8>, DecodeError> {
        // One byte more than allowed, to notice the first byte too many.
        let capacity = (PIECE_SIZE_BYTES_MAX as u64).min(self.output_left_bytes + 1) as usize;
        let mut buffer = Vec::with_capacity(capacity);
        let mut input = InBuffer::around(&self.input);
        let hint = self
            .context
            .run(&mut input, &mut OutBuffer::around(&mut buffer))
            .map_err(|error| DecodeError::Malformed {
                reason: error.to_string(),
            })?;
        let read_bytes = input.pos();
        self.input.advance(read_bytes);
        // zstd answers 0 exactly when a frame has ended and all of it has been handed out.
        self.in_frame = hint != 0;
        self.may_hold_output = self.in_frame && buffer.len() == buffer.capacity();
        Ok(buffer)
    }
}

fn input_bytes_max(size_bytes_max: u64) -> u64 {
    size_bytes_max
        .saturating_mul(INPUT_PER_OUTPUT_BYTE_MAX)
        .saturating_add(INPUT_ALLOWANCE_BYTES)
}

#[cfg(test)]
mod tests;
