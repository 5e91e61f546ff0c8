//! Every bound of the conversation.

use std::time::Duration;

/// The largest frame: a command of 2 MB with its environment fits, as does what the system lets a process start with.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Arguments, variables and settings of one request.
pub const FIELDS_MAX: usize = 1 << 20;
/// How much of an output or of standard input travels in one frame.
pub const PIECE_BYTES_MAX: usize = 64 << 10;
/// How much of each output of a command that ran here is kept for the cache. Who prints more is not cached. Both travel in
/// one frame. A source that a kernel's `MODVERSIONS` has preprocessed is 2 to 4 MiB of text.
pub const CAPTURED_BYTES_MAX: usize = 7 << 20;
const _: () = assert!(2 * CAPTURED_BYTES_MAX + (1 << 10) < FRAME_BYTES_MAX);
/// How much of standard input is sent. A compiler that is asked something reads a line or two.
pub const INPUT_BYTES_MAX: usize = 1 << 20;
/// How long standard input may take to end. Beyond, the real tool reads it: it may not even want to.
pub const INPUT_WITHIN: Duration = Duration::from_secs(1);
/// A daemon that says nothing for so long is taken for dead, and the wrapper goes on without it. It says
/// [`crate::Answer::Alive`] at least every third of it.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
