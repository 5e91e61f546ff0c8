//! The local engine: blobs and action results in a log of segments, checked on every read.
//!
//! Records are appended to segments, large files that are written once from beginning to end; each says what it is and
//! carries checksums of its header, its table and every block. An index in memory knows where each entry is, in 32
//! bytes. Writes that wait at the same time are written and synced together before any of them is acknowledged.
//! Room is made by dropping the oldest segment and carrying forward what is promised to somebody or was asked for
//! lately.
//!
//! It never serves a byte that has not just passed its checksum, never shares a directory with another process, never
//! holds more than it was given, and never drops what it promised to a build that is going on.
//!
//! Read `record.rs` first (the form on disk), then `writer.rs` (how things get there), `read.rs` (and back), `leases.rs`
//! and `evict.rs` (what stays), `recover.rs` (what a start finds).

mod active;
mod clock;
mod directory_lock;
mod disk_action_cache;
mod disk_blob_store;
mod encode;
mod engine;
mod evict;
mod fate;
mod footer;
mod format;
mod frames;
mod index;
mod key;
mod leases;
mod marks;
mod options;
mod read;
mod recipe;
mod record;
mod recover;
mod room;
mod scan;
mod scrub;
mod segment;
#[cfg(test)]
mod simulated;
mod solo;
mod store;
mod survey;
mod tombstone;
mod usage;
mod volume;
mod writer;

pub use clock::Clock;
pub use disk_action_cache::{DiskActionCache, DiskResults};
pub use disk_blob_store::DiskBlobStore;
pub use encode::Compression;
pub use leases::LeaseUsage;
pub use options::{DiskOptions, Durability, LeaseOptions, NextEviction, OpenError, Usage};
pub use scrub::ScrubReport;
pub use survey::{Age, EntryKind, Share, Survey};
