//! An input root that is there at once: its directories are read and its files fetched when something asks for them.
//!
//! A [`mount`] is a read-only FUSE file system that shows a tree of REAPI `Directory` messages. Whoever makes it says
//! where directories and files come from ([`Contents`]); what is read once stays in the kernel's page cache. An
//! [`overlay`] over it takes what an action writes, so that inputs never change.
//!
//! Beside that it knows three things: what was read and what was looked for in vain ([`Observed`]), whether somebody
//! waits for a fetch just now ([`LazyRoot::waiting`]), and what could not be fetched ([`LazyRoot::failure`]). A file
//! that cannot be had is an I/O error for the command, which is wrong to be blamed: whoever runs it watches
//! [`LazyRoot::failed`] and ends it.
//!
//! What it never does: write, decide which action gets such a root, or keep bytes of its own.
//!
//! Read `file_system.rs` first (every request of the kernel), then `mount.rs`. Every number is in `limits.rs`.

mod attributes;
mod contents;
mod file_system;
mod large_buffers;
mod left_over;
mod limits;
mod mount;
mod nodes;
mod observed;
mod overlay;
mod probe;
mod requests;
mod upper;
mod waits;

pub use attributes::{Id, Owners};
pub use contents::{Contents, InputFile};
pub use large_buffers::keep_large_buffers_apart;
pub use left_over::detach_below;
pub use limits::{OBSERVED_BYTES_MAX, OBSERVED_PATHS_MAX, WAIT_MAX};
pub use mount::{LazyRoot, Mounted, RootOptions, mount};
pub use observed::Observed;
pub use overlay::{Layers, overlay};
pub use probe::probe;
pub use upper::{Written, written};

#[cfg(test)]
mod tests;
