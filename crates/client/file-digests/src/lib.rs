//! Digests of local files, remembered for as long as the files have not changed.
//!
//! Nothing is trusted for long: each time a digest is asked for, the file is looked at, and what is remembered counts only if
//! it is the same file with the same size and times ([`Stamp`]). A file that was changed a moment ago is read again: its
//! clock may not have ticked between that change and the next (see [`Stamp::is_settled`]).
//!
//! Read `stamp.rs` first, then `digests.rs`.

mod digests;
mod limits;
mod stamp;

pub use digests::{FileDigest, FileDigests, ReadError};
pub use limits::FILES_MAX;
pub use stamp::Stamp;
