//! The protocol between server and workers, as generated Rust.
//!
//! One bidirectional stream per worker. Level-triggered: every message is its sender's complete state, so that a
//! repeated or lost one does no harm. Leased: whoever cannot renew in time loses the work. This crate holds only the
//! words; the server's side of the conversation is in `services`, the worker's in `worker`.
//!
//! Read `proto/farrier/worker/v1/worker.proto` first; the code comes from there by `cargo xtask proto`.

use reapi::execution::ActionResult;

/// Package `farrier.worker.v1`.
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
    include!("generated/farrier.worker.v1.rs");
}

impl v1::ObservedInputs {
    /// What a result says of the inputs of its execution; `None` if it says nothing.
    pub fn of(result: &ActionResult) -> Option<Self> {
        let metadata = result.execution_metadata.as_ref()?;
        let told = metadata.auxiliary_metadata.iter();
        told.filter_map(|any| any.to_msg().ok()).next()
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of the protocol, imports included: for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
