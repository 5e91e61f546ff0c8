//! The local engine: blobs and action results on one disk, checked on every read.
//!
//! One file per entry, complete before it has a name, its checksums behind its bytes. What is acknowledged
//! survives the death of the process (`kill -9`): it is then in the kernel's page cache. It does **not** survive the
//! death of the machine: nothing is synced in this version. A file torn by a power cut is noticed, at start by
//! its length or at the first read by its checksums, and then reported missing; it is never served.
//!
//! It never serves a byte that has not just passed its checksum, never shares a directory with another process,
//! and never holds more than it was given. The inside is expected to change (a log instead of files); the two
//! contracts it implements are not.
//!
//! Read `checked_file.rs` first (the format), then `file_store.rs` (what both stores share), then
//! `disk_blob_store.rs`.

mod checked_file;
mod directory_lock;
mod disk_action_cache;
mod disk_blob_store;
mod file_store;
mod incoming;
mod layout;
mod options;
mod recover;

pub use disk_action_cache::DiskActionCache;
pub use disk_blob_store::DiskBlobStore;
pub use options::{DiskOptions, OpenError, Usage};
