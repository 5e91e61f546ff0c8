//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits::{SETTLED_AFTER, SETTLED_AFTER_FINE};

/// Which file it is, and when it was changed last. The change time cannot be set by a program, so a file that was
/// given back its old modification time is another state nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: Instant,
    changed: Instant,
    mode: u32,
}

/// File systems that count less finely than a clock tick do so in whole multiples of this.
const COARSE_NANOSECONDS: i64 = 1_000_000;

/// Seconds and nanoseconds since 1970, as the file system says.
type Instant = (i64, i64);

impl Stamp {
    /// Of what was found.
    pub fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    /// Whether a further change must show: the last one is so long ago, by the clock `now`, that the next has another
    /// time. A file from the future is never settled.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Programs set modification times as they like; only the change time tells how finely the file system counts.
        let settled_after = match self.changed.1 % COARSE_NANOSECONDS {
            0 => SETTLED_AFTER,
            _ => SETTLED_AFTER_FINE,
        };
        let is_past = |(seconds, nanoseconds): Instant| {
            let Ok(seconds) = u64::try_from(seconds) else {
                return true;
            };
            let then = Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or_default());
            now.checked_sub(then).is_some_and(|age| age >= settled_after)
        };
        is_past(self.modified) && is_past(self.changed)
    }

    /// How large the file is.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether its owner may execute it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_takes_to_settle_depends_on_how_finely_time_is_counted() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let is_settled = |modified: Instant, changed: Instant| {
            let stamp = Stamp {
                device: 1,
                inode: 1,
                size_bytes: 1,
                modified,
                changed,
                mode: 0,
            };
            stamp.is_settled(now)
        };
        for (modified, changed, expected) in [
            ((998, 0), (998, 0), true),
            ((999, 0), (999, 0), false),
            ((999, 120_000_000), (999, 120_000_000), false),
            ((999, 123_456_789), (999, 123_456_789), true),
            ((999, 990_000_001), (999, 990_000_001), false),
            ((999, 0), (999, 123_456_789), true),
            ((2000, 0), (900, 1), false),
            ((900, 0), (1000, 1), false),
        ] {
            assert_eq!(
                is_settled(modified, changed),
                expected,
                "{modified:?} {changed:?}"
            );
        }
    }
}
