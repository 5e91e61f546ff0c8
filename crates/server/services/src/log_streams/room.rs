//! The memory that all log streams share.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::LOG_STREAMS_BYTES_MAX;

/// Counts the bytes that all streams together have in memory.
#[derive(Default)]
pub(super) struct Room {
    used: AtomicUsize,
}

impl Room {
    /// Whether there is room for so many more, which are then taken.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| {
            used.checked_add(bytes)
                .filter(|used| *used <= LOG_STREAMS_BYTES_MAX)
        };
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// So many less.
    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
