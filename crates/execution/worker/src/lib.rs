//! Takes assignments, lays out their inputs, has the runner run them, uploads their outputs.
//!
//! A worker keeps one stream to the server on which both sides say their complete state again and again, so that
//! nothing is lost when it breaks. It never spawns a process itself (the runner does, a separate small process), never
//! writes the action cache (the server does, once the outputs are stored), and never trusts what an action has left
//! behind: no symlink is followed, nothing but regular files is opened.
//!
//! Read `executor/local.rs` first: the whole journey of one action. Then `sync_loop.rs` (the conversation with the
//! server) and its pure heart `leases.rs`; `build_directory.rs`, `file_cache.rs`, `tree_cache.rs` and `lazy_inputs.rs`
//! (inputs); `outputs.rs`; `persistent.rs` (processes that serve many actions). Every number is in `limits.rs`.

mod assignment;
mod blocking;
mod build_directory;
mod disk_use;
mod executor;
mod fetch;
mod file_cache;
mod input_tree;
mod lazy_inputs;
mod leases;
mod limits;
mod outputs;
mod persistent;
mod removal;
mod slots;
mod sync_loop;
mod tools;
mod tree_cache;
mod worker;

pub use executor::{InputRootAsRoot, Results, Stores, SurroundingsOptions};
pub use lazy_inputs::{LazyInputs, LazyOptions};
pub use sync_loop::{LeaveBy, SyncError};
pub use tools::HostTools;
pub use worker::{ActionLimits, Worker, WorkerError, WorkerOptions, WorkerParts, default_properties};
