//! What the wrapper and the daemon say to each other, over a Unix stream socket.
//!
//! The wrapper sends one [`Request`]; the daemon answers with [`Answer`]s until one ends the conversation. Where the
//! command has to run here, it is the wrapper that runs it: in its own process group, with its own terminal, limits and
//! job server, as the build system started it. Only then it speaks again, in [`Report`]s.
//!
//! std only, and no descriptors travel: what is printed and what is read comes in frames. That keeps the wrapper free of
//! `unsafe` and of dependencies, see ADR 24. Read `conversation.rs` first, then `frame.rs`; `limits.rs` has every bound.

mod conversation;
mod fields;
mod frame;
mod limits;
mod socket;

pub use conversation::{Answer, End, Report, Request, Settings};
pub use frame::{
    FrameError, HEADER_BYTES, Message, decode_frame, encode_frame, frame_header, read_frame, write_frame,
};
pub use limits::{
    CAPTURED_BYTES_MAX, FIELDS_MAX, FRAME_BYTES_MAX, INPUT_BYTES_MAX, INPUT_WITHIN, PIECE_BYTES_MAX,
    SILENCE_MAX,
};
pub use socket::{SOCKET_VARIABLE, socket_path};
