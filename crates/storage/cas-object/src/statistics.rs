//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one store since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) segments_written: AtomicU64,
    pub(crate) blobs_packed: AtomicU64,
    pub(crate) touch_records: AtomicU64,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Requests to the object store, without the attempts that its client repeats itself.
    pub requests: u64,
    /// Requests that were made again after a failure.
    pub retries: u64,
    /// Objects, blobs and indices that were found damaged and reported missing.
    pub damaged: u64,
    /// Segments stored.
    pub segments_written: u64,
    /// Blobs in them.
    pub blobs_packed: u64,
    /// Records of touches stored.
    pub touch_records: u64,
    /// Segments known.
    pub segments: u64,
    /// Packed blobs known.
    pub packed_blobs: u64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, segments: u64, packed_blobs: u64) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            requests: read(&self.requests),
            retries: read(&self.retries),
            damaged: read(&self.damaged),
            segments_written: read(&self.segments_written),
            blobs_packed: read(&self.blobs_packed),
            touch_records: read(&self.touch_records),
            segments,
            packed_blobs,
        }
    }
}
