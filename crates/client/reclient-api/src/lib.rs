//! The protocols of reclient's programs, as generated Rust.
//!
//! siso, reclient's own rewrapper and the readers of its logs speak these; so does our daemon, to be in reproxy's place.
//! Words only. The packages have reclient's own names, because they are part of what travels.
//!
//! Read `proto/reclient/proxy.proto` first; the code comes from there by `cargo xtask proto`.

/// Package `cmd`: a command and its result.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
pub mod cmd {
    include!("generated/cmd.rs");
}

/// Package `log`: what is written down of a command, and of reproxy.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
pub mod log {
    include!("generated/log.rs");
}

/// Package `proxy`: the services of reproxy.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
pub mod proxy {
    include!("generated/proxy.rs");
}

/// Package `scandeps`: the service that finds included files.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
pub mod scandeps {
    include!("generated/scandeps.rs");
}

/// Package `stats`: a build in numbers.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
pub mod stats {
    include!("generated/stats.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the protocols, imports included: for server reflection, and to write
/// messages as text.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
