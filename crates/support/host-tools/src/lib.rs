//! Which tools a machine has, as one short word that changes when they do.
//!
//! A command that is run on another machine gives what it would give at home only if the compiler, its libraries and
//! headers are the same there. A client that relies on the tools of a worker's machine names the fingerprint of its own in
//! the platform of its actions ([`PROPERTY`]), workers announce theirs, and the scheduler brings together what is equal.
//!
//! What counts is what the package manager says is installed, what is chosen among alternatives, which system it is, and
//! the processor's architecture. **Not covered** is what nobody has told the package manager: `/usr/local`, `/opt`, files
//! that somebody has edited or copied in by hand. Whoever has such tools names them himself
//! (`farrier join --host-tools NAME`), or sends them along.

mod dpkg;
mod facts;
mod limits;
mod read;

pub use facts::{Database, Facts, Fingerprint, fingerprint};
pub use limits::{ALTERNATIVES_MAX, DATABASE_BYTES_MAX, FINGERPRINT_DIGITS, READS_MAX, TEXT_BYTES_MAX};
pub use read::{HostTools, read};

/// The platform property that carries a fingerprint.
pub const PROPERTY: &str = "host-tools";
