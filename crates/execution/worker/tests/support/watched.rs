//! A store that is watched, and that can be slow or lose something.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use cas::{BlobStore, StoreError};

pub(crate) struct Watched {
    inner: Arc<dyn BlobStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    read: Vec<(Digest, Instant)>,
    lost: HashSet<Digest>,
    delays: HashMap<Digest, Duration>,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Watched {
            inner: cas::memory(1 << 30),
            state: Mutex::default(),
        })
    }

    /// From now on it is not there.
    pub(crate) fn lose(&self, digest: Digest) {
        self.state.lock().unwrap().lost.insert(digest);
    }

    /// From now on reading it takes so long.
    pub(crate) fn delay(&self, digest: Digest, delay: Duration) {
        self.state.lock().unwrap().delays.insert(digest, delay);
    }

    /// How often any of these was read.
    pub(crate) fn reads(&self, digests: &HashSet<Digest>) -> usize {
        let state = self.state.lock().unwrap();
        state
            .read
            .iter()
            .filter(|(digest, _)| digests.contains(digest))
            .count()
    }

    /// When it was read first.
    pub(crate) fn read_at(&self, digest: Digest) -> Option<Instant> {
        let state = self.state.lock().unwrap();
        state
            .read
            .iter()
            .find(|(read, _)| *read == digest)
            .map(|(_, at)| *at)
    }
}

#[async_trait]
impl BlobStore for Watched {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let (is_lost, delay) = {
            let mut state = self.state.lock().unwrap();
            state.read.push((*digest, Instant::now()));
            (state.lost.contains(digest), state.delays.get(digest).copied())
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match is_lost {
            true => Ok(None),
            false => self.inner.get(digest, range).await,
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let missing = self.inner.find_missing(digests).await?;
        let state = self.state.lock().unwrap();
        let lost = digests
            .iter()
            .filter(|digest| state.lost.contains(digest))
            .copied();
        Ok(missing.union(&lost.collect()))
    }
}
