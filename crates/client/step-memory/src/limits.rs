//! Every bound of this crate.

use std::time::Duration;

/// Findings that are kept for one key: as many states of the sources.
pub(crate) const VARIANTS_MAX: usize = 4;
/// Keys. A step of a large build rests on some 400 files and 600 absences, 4 bytes each.
pub(crate) const KEYS_MAX: usize = 50_000;
/// Different paths, names and states of files. Beyond, everything is forgotten and found out again.
pub(crate) const STRINGS_MAX: usize = 2_000_000;
/// Files and absences of one finding.
pub(crate) const GROUNDS_MAX: usize = 100_000;
/// Bytes of one finding.
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 20;
/// How long another one may take to let go of the log.
pub(crate) const LOCK_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of the log. A longer one is begun anew.
pub(crate) const LOG_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one record of the log.
pub(crate) const RECORD_BYTES_MAX: usize = 4 << 20;
