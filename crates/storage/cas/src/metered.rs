//! Counting what a store does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::stream::StreamExt;

use crate::{BlobStore, StoreError};

/// Upper ends of the buckets of durations; what takes longer falls into one more.
pub const BUCKETS: [Duration; 8] = [
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// What has been counted. Plain numbers that only grow; a page or an exporter reads them as it likes.
#[derive(Debug, Default)]
pub struct Meters {
    /// Reads.
    pub gets: Calls,
    /// Writes.
    pub puts: Calls,
    /// Questions.
    pub finds: Calls,
    /// Reads that found nothing.
    pub get_misses: AtomicU64,
    /// Bytes handed out.
    pub read_bytes: AtomicU64,
    /// Reads that failed after they had begun.
    pub broken_reads: AtomicU64,
    /// Bytes of blobs that were stored.
    pub written_bytes: AtomicU64,
    /// Digests asked about, and those that were missing.
    pub asked: AtomicU64,
    /// See `asked`.
    pub missing: AtomicU64,
}

/// Calls of one kind.
#[derive(Debug, Default)]
pub struct Calls {
    /// Answered without an error, by how long the answer took (see [`BUCKETS`]).
    pub answered: [AtomicU64; BUCKETS.len() + 1],
    /// Failed.
    pub failed: AtomicU64,
}

impl Calls {
    /// All that were answered.
    pub fn count(&self) -> u64 {
        self.answered
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .sum()
    }

    /// Counts a call that began at `began` and has come to `result`.
    pub fn note<T>(&self, began: Instant, result: &Result<T, StoreError>) {
        if result.is_err() {
            return add(&self.failed, 1);
        }
        let took = began.elapsed();
        let bucket = BUCKETS
            .iter()
            .position(|end| took <= *end)
            .unwrap_or(BUCKETS.len());
        add(&self.answered[bucket], 1);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Counts calls, answers, bytes and durations of `inner` in `meters`, those of the streams it returns included.
pub fn metered(inner: Arc<dyn BlobStore>, meters: Arc<Meters>) -> Arc<dyn BlobStore> {
    Arc::new(Metered { inner, meters })
}

struct Metered {
    inner: Arc<dyn BlobStore>,
    meters: Arc<Meters>,
}

impl Metered {
    fn counted(&self, stream: BlobStream) -> BlobStream {
        let meters = self.meters.clone();
        stream
            .inspect(move |piece| match piece {
                Ok(piece) => add(&meters.read_bytes, piece.len() as u64),
                Err(_) => add(&meters.broken_reads, 1),
            })
            .boxed()
    }
}

#[async_trait]
impl BlobStore for Metered {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let began = Instant::now();
        let result = self.inner.get(digest, range).await;
        self.meters.gets.note(began, &result);
        let stream = result?;
        if stream.is_none() {
            add(&self.meters.get_misses, 1);
        }
        Ok(stream.map(|stream| self.counted(stream)))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let size_bytes = blob.digest().size_bytes();
        let began = Instant::now();
        let result = self.inner.put(blob).await;
        self.meters.puts.note(began, &result);
        if result.is_ok() {
            add(&self.meters.written_bytes, size_bytes);
        }
        result
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let began = Instant::now();
        let result = self.inner.find_missing(digests).await;
        self.meters.finds.note(began, &result);
        if let Ok(missing) = &result {
            add(&self.meters.asked, digests.len() as u64);
            add(&self.meters.missing, missing.len() as u64);
        }
        result
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        let began = Instant::now();
        let result = self.inner.get_zstd(digest, offset).await;
        // "Not in this form" is no read: the plain one that follows is counted.
        if !matches!(result, Ok(None)) {
            self.meters.gets.note(began, &result);
        }
        Ok(result?.map(|stream| self.counted(stream)))
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Faulty, Fresh};
    use crate::memory;

    #[test]
    fn conforms() {
        block_on(conformance::check(async || {
            Fresh::of(metered(memory(64 << 20), Arc::default()))
        }));
    }

    #[test]
    fn everything_is_counted_once() {
        let meters = Arc::new(Meters::default());
        let inner = Faulty::new(memory(1 << 20));
        let store = metered(inner.clone(), meters.clone());
        let blob = || Blob::from_bytes(DigestFunction::Sha256, "12345");
        let absent = Digest::of(DigestFunction::Sha256, b"absent");
        block_on(store.put(blob())).unwrap();
        let stream = block_on(store.get(&blob().digest(), ByteRange::FULL))
            .unwrap()
            .unwrap();
        block_on(stream.count());
        assert!(block_on(store.get(&absent, ByteRange::FULL)).unwrap().is_none());
        block_on(store.find_missing(&[absent, blob().digest()].into_iter().collect())).unwrap();
        inner.fail(true);
        assert!(block_on(store.put(blob())).is_err());
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(
            (meters.gets.count(), meters.puts.count(), meters.finds.count()),
            (2, 1, 1)
        );
        assert_eq!((count(&meters.get_misses), count(&meters.puts.failed)), (1, 1));
        assert_eq!((count(&meters.read_bytes), count(&meters.written_bytes)), (5, 5));
        assert_eq!((count(&meters.asked), count(&meters.missing)), (2, 1));
    }
}
