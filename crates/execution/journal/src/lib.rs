//! What the scheduler remembers across restarts: a file that it writes as it decides, and reads once at its start.
//!
//! [`Journal::open`] answers what was written before; [`Journal::record`] writes what has happened since. Each start
//! begins a new file with what everything so far has come to, and so does a file that has grown to a multiple of that.
//!
//! A record is in the system's hands before anybody hears of what it says, so nothing is lost with the process. It is not
//! on the disk: after a power cut the last moments may be missing, which costs a client one more Execute and a worker one
//! more run, never a wrong answer (ADR 13). A full disk stops nobody: the journal says so, and begins again when it can.

mod codec;
mod file;
mod journal;

pub use codec::assignment;
pub use file::Unsynced;
pub use journal::Journal;

/// Package `farrier.journal.v1`.
#[allow(
    missing_docs,
    deprecated,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "generated"
)]
mod v1 {
    include!("generated/farrier.journal.v1.rs");
}
