//! The words every other crate speaks: digests, sets of digests, blobs, and the names they travel under.
//!
//! Pure values. Nothing here opens a socket or a file or reads a clock, so all of it runs in a fuzzer at full
//! speed. Parsing happens once, at the door: a [`Digest`], an [`InstanceName`] or a [`ReadName`] that exists
//! is valid, and a [`Blob`] that has been read to its end has been proven to match its digest.
//!
//! Read `digest.rs` first, then `blob.rs`, then `resource_name.rs`.

mod blob;
mod byte_range;
mod checked;
mod compressor;
mod digest;
mod digest_function;
mod digest_set;
mod hasher;
mod instance_name;
mod resource_name;
mod sha256_tree;

pub use blob::{Blob, BlobError, BlobStream, Body};
pub use byte_range::ByteRange;
pub use checked::Aside;
pub use compressor::Compressor;
pub use digest::{Digest, DigestError};
pub use digest_function::DigestFunction;
pub use digest_set::DigestSet;
pub use hasher::DigestHasher;
pub use instance_name::{InstanceName, InstanceNameError};
pub use resource_name::{
    CommandOutput, LogStreamName, LogStreamPart, ReadName, ResourceNameError, WriteName,
};
