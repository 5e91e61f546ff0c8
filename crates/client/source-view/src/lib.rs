//! The file system as the include scanner sees it: parsed files and directory listings, kept across scans and checked
//! against the disk.
//!
//! A [`Store`] lives as long as its process. A [`DiskView`] is one look at the disk, a *tick*: within it every file and
//! directory is checked at most once, so many scans of one moment share the checks. What changes while a tick lasts may
//! go unnoticed until the next; whoever starts a command after another one has ended takes a new tick.
//!
//! What is trusted: a file whose device, inode, size, mtime and ctime are those of the parsed one, unless it was so new
//! when it was read that a later write could have left all of them the same ([`limits::TOO_NEW`]).

pub mod limits;
mod listing;
mod read;
mod stamp;
mod store;
mod tick;

pub use stamp::Stamp;
pub use store::{Store, StoreCounts};
pub use tick::DiskView;
