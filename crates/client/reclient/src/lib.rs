//! The dialect of reclient: its flags, its programs, its logs, its services.
//!
//! `rewrapper` is on the path of every command of a build, so it does without a runtime and without gRPC when the daemon is
//! ours. The others may take their time.
//!
//! Read `flags.rs` first, then `rewrapper.rs`.

pub mod address;
pub mod flags;
pub mod labels;
pub mod log_file;
pub mod rewrapper;
pub mod rsp;
pub mod stats;
pub mod text_proto;

/// What every program answers to `-version`.
pub fn version() -> String {
    format!("farrier {} in reclient's place", env!("CARGO_PKG_VERSION"))
}
