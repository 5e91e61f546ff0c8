//! The protocol by which a running farrier is looked after, as generated Rust.
//!
//! This crate holds only the words; the server's side is in `farrier`, which knows its own disks. Read
//! `proto/farrier/admin/v1/storage.proto` first; the code comes from there by `cargo xtask proto`.

/// Package `farrier.admin.v1`.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
pub mod v1 {
    include!("generated/farrier.admin.v1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the protocol, imports included: for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
