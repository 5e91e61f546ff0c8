//! What tells whether a file is still the one that was read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use include_scanner::Identity;

use crate::limits::TOO_NEW;

/// Which file, and which state of it. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
    /// `st_size`
    pub size_bytes: u64,
    /// `st_mtime`
    pub modified_ns: i128,
    /// `st_ctime`, which nobody can set
    pub changed_ns: i128,
}

impl Stamp {
    /// The stamp of what `stat` said.
    pub fn of(metadata: &Metadata) -> Stamp {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether, read at `now`, it may still change without a trace. What lies in the future always may.
    pub fn is_too_new(&self, now: SystemTime) -> bool {
        let bound = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .saturating_sub(TOO_NEW);
        let bound = bound.as_nanos() as i128;
        self.modified_ns > bound || self.changed_ns > bound
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
            size_bytes: self.size_bytes,
            modified_s: self.modified_ns.div_euclid(1_000_000_000) as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_and_future_files_are_too_new() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let stamp = |modified_s: i128, changed_s: i128| Stamp {
            device: 1,
            inode: 1,
            size_bytes: 1,
            modified_ns: modified_s * 1_000_000_000,
            changed_ns: changed_s * 1_000_000_000,
        };
        for (modified_s, changed_s, too_new) in [
            (900, 900, false),
            (998, 998, false),
            (999, 900, true),
            (900, 999, true),
            (2000, 900, true),
        ] {
            assert_eq!(stamp(modified_s, changed_s).is_too_new(now), too_new);
        }
    }
}
