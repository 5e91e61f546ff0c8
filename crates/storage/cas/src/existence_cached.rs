//! Remembering what is there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{BlobStore, Invocation, Lru, StoreError};

/// How presence is remembered.
#[derive(Clone, Copy, Debug)]
pub struct ExistenceOptions {
    /// For how long the store below keeps what it promised to a build, at least.
    pub promised_for: Duration,
    /// Entries at most, for all builds together; the least recently used is forgotten.
    pub entries_max: usize,
}

/// Entries count for this part of the promise: the rest is for the answer to be used.
const PARTS_OF_PROMISE: u32 = 2;

/// Answers for what `inner` said was there without asking it again. A promise is made to a build, so presence is
/// remembered for each build, and for half the time of the promise: an answer from here never outlives what stands behind
/// it. Where a read shows that a blob has gone it is forgotten for everybody.
///
/// For stores that are far away. A store that answers from memory needs none.
pub fn existence_cached(inner: Arc<dyn BlobStore>, options: ExistenceOptions) -> Arc<dyn BlobStore> {
    Arc::new(ExistenceCached {
        inner,
        options,
        known: Mutex::new(Lru::new()),
        gone: Mutex::new(Lru::new()),
    })
}

struct ExistenceCached {
    inner: Arc<dyn BlobStore>,
    options: ExistenceOptions,
    known: Mutex<Lru<(u64, Digest), Instant>>,
    /// When blobs were found gone: what was known before that counts no more.
    gone: Mutex<Lru<Digest, Instant>>,
}

/// A build in 64 bits.
fn key_of(build: &Option<Invocation>) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(build.as_ref().map(Invocation::as_str))
}

impl ExistenceCached {
    fn remember(&self, build: u64, digests: impl Iterator<Item = Digest>, since: Instant) {
        let mut known = self.known.lock();
        for digest in digests {
            known.insert((build, digest), since, 1);
            if known.len() > self.options.entries_max {
                known.pop_oldest();
            }
        }
    }

    fn forget(&self, digest: &Digest) {
        let mut gone = self.gone.lock();
        gone.insert(*digest, Instant::now(), 1);
        if gone.len() > self.options.entries_max {
            gone.pop_oldest();
        }
    }

    fn unknown(&self, build: u64, digests: &DigestSet, now: Instant) -> DigestSet {
        let lives = self.options.promised_for / PARTS_OF_PROMISE;
        let (mut known, gone) = (self.known.lock(), self.gone.lock());
        let mut is_known = |digest: &Digest| {
            let since = known.get(&(build, *digest)).copied();
            since.is_some_and(|since| {
                now < since + lives && gone.peek(digest).is_none_or(|gone| since > *gone)
            })
        };
        digests
            .iter()
            .filter(|digest| !is_known(digest))
            .copied()
            .collect()
    }
}

#[async_trait]
impl BlobStore for ExistenceCached {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let got = self.inner.get(digest, range).await;
        if !matches!(got, Ok(Some(_)) | Err(StoreError::OutOfRange { .. })) {
            self.forget(digest);
        }
        got
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let (build, digest, since) = (key_of(&Invocation::current()), blob.digest(), Instant::now());
        self.inner.put(blob).await?;
        self.remember(build, std::iter::once(digest), since);
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let (build, since) = (key_of(&Invocation::current()), Instant::now());
        let unknown = self.unknown(build, digests, since);
        if unknown.is_empty() {
            return Ok(unknown);
        }
        let missing = self.inner.find_missing(&unknown).await?;
        // From when it was asked, not from when the answer came.
        self.remember(build, unknown.difference(&missing).into_iter(), since);
        Ok(missing)
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get_zstd(digest, offset).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use blob::DigestFunction;

    use super::*;
    use crate::conformance::{self, Forgetful, Fresh};
    use crate::{Meters, memory, metered};

    fn options(entries_max: usize) -> ExistenceOptions {
        ExistenceOptions {
            promised_for: Duration::from_secs(100),
            entries_max,
        }
    }

    #[tokio::test]
    async fn conforms() {
        for entries_max in [3, 100_000] {
            conformance::check(async || Fresh::of(existence_cached(memory(64 << 20), options(entries_max))))
                .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_never_outlives_the_promise_and_is_for_one_build() {
        let meters = Arc::new(Meters::default());
        let store = existence_cached(metered(memory(1 << 20), meters.clone()), options(1000));
        let digest = Digest::of(DigestFunction::Sha256, b"bytes");
        let ask = async |build: &str| {
            let asked = DigestSet::from(digest);
            let ask = store.find_missing(&asked);
            let missing = Invocation::scope(Invocation::new(build), async { ask.await.unwrap() }).await;
            (missing.len(), meters.asked.load(Ordering::Relaxed))
        };
        assert_eq!(ask("a").await, (1, 1), "absence is never remembered");
        store
            .put(Blob::from_bytes(DigestFunction::Sha256, "bytes"))
            .await
            .unwrap();
        assert_eq!(ask("a").await, (0, 2));
        assert_eq!(ask("a").await, (0, 2), "remembered");
        assert_eq!(ask("b").await, (0, 3), "promised to somebody else");
        tokio::time::advance(Duration::from_secs(49)).await;
        assert_eq!(ask("a").await, (0, 3));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ask("a").await, (0, 4), "half of the promise has passed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_read_finds_gone_is_forgotten_for_everybody() {
        let inner = Arc::new(Forgetful::over(memory(1 << 20)));
        let store = existence_cached(inner.clone(), options(1000));
        let digest = Digest::of(DigestFunction::Sha256, b"bytes");
        store
            .put(Blob::from_bytes(DigestFunction::Sha256, "bytes"))
            .await
            .unwrap();
        inner.lose(digest);
        assert!(
            store
                .find_missing(&DigestSet::from(digest))
                .await
                .unwrap()
                .is_empty()
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(store.get(&digest, ByteRange::FULL).await.unwrap().is_none());
        assert_eq!(
            store.find_missing(&DigestSet::from(digest)).await.unwrap().len(),
            1
        );
    }
}
