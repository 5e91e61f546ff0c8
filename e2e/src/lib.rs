//! Real clients and real builds against a real farrier.
//!
//! The tests under `tests/` start `farrier up` from this checkout on a free port and drive it with programs that
//! other people wrote: Debian's Bazel (`tests/bazel.rs`, building the C++ project in `bazel/project/`) and
//! buildbox-casd (`tests/buildbox_casd.rs`); `tests/object_storage.rs` has moto's S3 server under our store, and
//! `tests/chaos.rs` kills and freezes servers and workers. This library is what they share: programs found, started,
//! killed, and bounded in time. It never fakes or skips anything: a program that is not installed fails its test, saying to
//! run `e2e/install`.
//!
//! Read [`farrier`] first.

pub mod bazel;
pub mod build;
pub mod casd;
pub mod client;
pub mod command;
pub mod contents;
pub mod dialects;
pub mod execution_log;
pub mod farrier;
pub mod joined;
pub mod kernel;
pub mod liar;
pub mod moto;
pub mod process_tree;
pub mod project;
pub mod projects;
pub mod recorder;
pub mod tools;
pub mod waiting;
