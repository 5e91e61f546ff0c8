//! Bytes in, one complete frame out.

use bytes::{Buf, Bytes};
use thiserror::Error;
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

use crate::{PIECE_SIZE_BYTES_MAX, piece};

/// The compression level. On source-like text, level 1 makes 628 MB/s at ratio 6.9, level 3 366 MB/s at 6.4 (one
/// core; `level_1_beside_level_3` below measures it).
pub const LEVEL: i32 = 1;

/// Compresses bytes of a known number into one frame, which also exists for no bytes at all.
///
/// The use is: [`push`](Self::push) one piece, call [`next_output`](Self::next_output) until it returns `None`,
/// repeat; after the last piece call [`end`](Self::end) and ask for output until `None` once more.
pub struct Encoder {
    context: zstd::stream::raw::Encoder<'static>,
    input: Bytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ending,
    Ended,
}

/// Why bytes could not be compressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// More or fewer bytes came than were announced, or no memory is left.
    #[error("zstd cannot compress this: {reason}")]
    Failed {
        /// What zstd said.
        reason: String,
    },
}

impl Encoder {
    /// An encoder of exactly `size_bytes`. Knowing the number keeps the memory for small blobs small, and tells
    /// the reader of the frame how much to expect.
    pub fn new(size_bytes: u64) -> Result<Self, EncodeError> {
        Self::with_level(size_bytes, LEVEL)
    }

    fn with_level(size_bytes: u64, level: i32) -> Result<Self, EncodeError> {
        let mut context = zstd::stream::raw::Encoder::new(level).map_err(failed)?;
        context.set_pledged_src_size(Some(size_bytes)).map_err(failed)?;
        Ok(Encoder {
            context,
            input: Bytes::new(),
            state: State::Open,
        })
    }

    /// Gives the next piece of input. The last one must have been used up: `next_output` has said `None`.
    pub fn push(&mut self, input: Bytes) {
        debug_assert!(
            self.input.is_empty() && self.state == State::Open,
            "the previous piece has been used up"
        );
        self.input = input;
    }

    /// No more input follows.
    pub fn end(&mut self) {
        if self.state == State::Open {
            self.state = State::Ending;
        }
    }

    /// The next piece of output, never empty; `None` when more input is needed or, after [`end`](Self::end),
    /// when the frame is complete.
    pub fn next_output(&mut self) -> Result<Option<Bytes>, EncodeError> {
        while !self.input.is_empty() || self.state == State::Ending {
            let output = self.step()?;
            if !output.is_empty() {
                return Ok(Some(piece(output)));
            }
        }
        Ok(None)
    }

    fn step(&mut self) -> Result<Vec<u8>, EncodeError> {
        // Compressed output is rarely longer than its input; zstd keeps what does not fit for the next step.
        let capacity = if self.input.is_empty() {
            PIECE_SIZE_BYTES_MAX
        } else {
            self.input.len() + 64
        };
        let mut buffer = Vec::with_capacity(capacity.min(PIECE_SIZE_BYTES_MAX));
        let mut output = OutBuffer::around(&mut buffer);
        if self.input.is_empty() {
            let left_bytes = self.context.finish(&mut output, true).map_err(failed)?;
            if left_bytes == 0 {
                self.state = State::Ended;
            }
        } else {
            let mut input = InBuffer::around(&self.input);
            self.context.run(&mut input, &mut output).map_err(failed)?;
            let read_bytes = input.pos();
            self.input.advance(read_bytes);
        }
        Ok(buffer)
    }
}

fn failed(error: std::io::Error) -> EncodeError {
    EncodeError::Failed {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Prints what each level costs; run with `--ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn level_1_beside_level_3() {
        let line = |i: u64| {
            let x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            format!(
                "static int field_{x:x} = compute(offset + {}, \"name {}\");\n",
                x % 977,
                i % 331
            )
        };
        let text: Bytes = (0..600_000).map(line).collect::<String>().into();
        for level in [1, 3] {
            let start = Instant::now();
            let mut encoder = Encoder::with_level(text.len() as u64, level).unwrap();
            let mut out_bytes = 0;
            for at in (0..text.len()).step_by(PIECE_SIZE_BYTES_MAX) {
                encoder.push(text.slice(at..text.len().min(at + PIECE_SIZE_BYTES_MAX)));
                while let Some(output) = encoder.next_output().unwrap() {
                    out_bytes += output.len();
                }
            }
            encoder.end();
            while let Some(output) = encoder.next_output().unwrap() {
                out_bytes += output.len();
            }
            let rate = text.len() as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!(
                "level {level}: {rate:.0} MB/s, ratio {:.2}",
                text.len() as f64 / out_bytes as f64
            );
        }
    }

    #[test]
    fn bytes_other_than_announced_are_an_error() {
        for announced in [4, 6] {
            let mut encoder = Encoder::new(announced).unwrap();
            encoder.push(Bytes::from_static(b"hello"));
            let mut result = encoder.next_output().map(|_| ());
            if result.is_ok() {
                encoder.end();
                result = loop {
                    match encoder.next_output() {
                        Ok(Some(_)) => continue,
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
            }
            assert!(result.is_err(), "{announced} announced, 5 came");
        }
    }
}
