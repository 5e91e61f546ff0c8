//! Content-defined chunking: where to cut a large blob so that two versions of it have most of their chunks in common.
//!
//! Pure, incremental and bounded: bytes come in as they arrive, chunks go out as soon as they are certain, and what is
//! held meanwhile is bounded by [`Chunking::held_bytes_max`]. Where the cuts fall depends on the bytes only, never on
//! how they arrived, so every server and client that uses the same [`Chunking`] finds the same chunks (checklist K4).
//!
//! Read `chunking.rs` first (which rule, with which numbers), then `chunker.rs` (bytes in, chunks out), then
//! `fast_cdc.rs` and `rep_max_cdc.rs` for the rules themselves.

mod chunker;
mod chunking;
mod fast_cdc;
mod gear;
mod held;
mod rep_max_cdc;

pub use chunker::Chunker;
pub use chunking::{Chunking, ChunkingError, FastCdc2020, RepMaxCdc};
