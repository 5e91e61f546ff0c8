//! Bounds of what is kept.

use std::time::Duration;

/// Files and directories changed less than this before they were read are read again at the next tick: a write in the
/// same tick of the file system's clock would leave their times the same. FAT counts in two seconds.
pub const TOO_NEW: Duration = Duration::from_secs(2);
/// Bytes of parsed files a store keeps unless told otherwise: several times a whole kernel's headers.
pub const HELD_BYTES_MAX: usize = 256 << 20;
/// Directory listings a store keeps.
pub const LISTINGS_MAX: usize = 20_000;
/// Names in a listing that is kept; larger directories are asked name by name.
pub const LISTED_NAMES_MAX: usize = 100_000;
/// Paths and searches whose answers one tick remembers; past it they are checked again each time.
pub const REMEMBERED_MAX: usize = 1_000_000;
/// How often a file is read again because it changed while it was read.
pub const READ_ATTEMPTS_MAX: usize = 4;
/// Bytes of one file that is read: a source larger than this is not scanned.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
