//! Blobs and action results in S3, Google Cloud Storage or Azure Blob Storage.
//!
//! Large blobs are an object each; small ones travel together in segments, because each request costs a delay and a
//! price. What is acknowledged is stored by the cloud. Everything is proven when it is read: blocks against their
//! checksums, which are sealed with the digest they belong to; damage is a miss, logged and counted, and the next put
//! repairs it. What is reported present is recorded as in use *before* the answer, and collecting removes only what was
//! not used for long: see [`Collector`].
//!
//! Any number of processes may use one bucket. Nothing here is a cache in front of it: a fast store before this one is
//! a decorator's business.
//!
//! Read `keys.rs` first (what is in a bucket), then `store.rs`, `large.rs` and `small.rs`, then `liveness.rs` with
//! `collect.rs` (why a promise is kept). Formats: `frames.rs`, `segment.rs`, `record.rs`, `sealed.rs`.

mod clock;
mod collect;
mod frames;
mod index;
mod keys;
mod large;
mod limits;
mod liveness;
mod location;
mod options;
mod packer;
mod record;
mod requests;
mod sealed;
mod segment;
mod segments;
mod small;
mod statistics;
mod storage;
mod store;
mod touches;
mod upload;

pub use clock::Clock;
pub use collect::{CollectError, Collected, Collector};
pub use limits::{CLOCK_SKEW_MAX, SMALL_BLOB_BYTES_MAX};
pub use options::{Credentials, OpenError, Options};
pub use statistics::Statistics;
pub use storage::{ObjectStorage, open, over};
