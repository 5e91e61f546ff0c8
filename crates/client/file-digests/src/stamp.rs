//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits::SETTLED_AFTER;

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
        let is_past = |(seconds, nanoseconds): Instant| {
            let Ok(seconds) = u64::try_from(seconds) else {
                return true;
            };
            let then = Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or_default());
            now.checked_sub(then).is_some_and(|age| age >= SETTLED_AFTER)
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
