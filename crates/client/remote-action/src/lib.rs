//! What a client does with an action at its server: uploads what it lacks, executes, follows to the end.
//!
//! Errors are for people: whatever goes wrong here, a caller can only say it, or do the work itself. What a command did
//! wrong is no error but a result.
//!
//! Read `execution.rs` first, then `sources.rs`.

mod execution;
mod server;
mod sources;

pub use execution::{Execution, NotDone, Observer, OperationSlot, Refused, describe, nobody};
pub use server::Server;
pub use sources::{Sent, Sources};
