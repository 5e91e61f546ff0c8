//! Every bound of this crate.

use std::time::Duration;

/// Files that are remembered, about 150 bytes each. Beyond that, those go which were not asked for lately.
pub const FILES_MAX: usize = 1_000_000;
/// A file that was changed more lately than this is read each time: old file systems keep times as coarse as a second or
/// two.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// The same where the file system counts finely: times are then as coarse as a tick of the kernel's clock, at most 10 ms.
pub(crate) const SETTLED_AFTER_FINE: Duration = Duration::from_millis(50);
/// Bytes that are hashed at a time.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// How often a file is read that changes while it is read.
pub(crate) const READS_MAX: usize = 3;
