//! Results of actions on disk.

use std::sync::Arc;
use std::time::Duration;

use action::ActionDigest;
use action_cache::ActionCache;
use async_trait::async_trait;
use blob::InstanceName;
use cas::StoreError;
use prost::Message;
use reapi::execution::ActionResult;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::engine::{Engine, NewEntry};
use crate::record::Kind;
use crate::{DiskOptions, LeaseOptions, OpenError, ScrubReport, Survey, Usage};

/// Largest encoded result that is taken: several times what fits into one message to a client.
const RESULT_BYTES_MAX: u64 = 32 << 20;
/// Results of different instances never meet, and none meets a blob.
const SCOPE_SEED: u64 = 0x7265_7375_6c74_7321;

/// Nobody is promised a result: what counts is when it was last asked for.
const LEASES: LeaseOptions = LeaseOptions {
    quiet: Duration::from_secs(60),
    longest: Duration::from_secs(60),
    share_percent: 10,
    unnamed_share_percent: 10,
};

/// The results of all instances, in one log below `DIR/results`: the same engine as that of the blobs, with room and
/// eviction of its own, so that results survive a flood of blobs. What is promised to builds are blobs; results are
/// kept by when they were last asked for.
pub struct DiskResults {
    engine: Arc<Engine>,
}

impl DiskResults {
    /// Opens the log in its directories, or makes one there. Blocks while it reads what is there.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, OpenError> {
        let options = DiskOptions {
            leases: LEASES,
            ..options
        };
        let engine = Engine::open("results", options)?;
        Ok(Arc::new(DiskResults { engine }))
    }

    #[cfg(test)]
    pub(crate) fn over(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(DiskResults { engine })
    }

    /// The cache of one instance.
    pub fn of(self: &Arc<Self>, instance: &InstanceName) -> Arc<DiskActionCache> {
        Arc::new(DiskActionCache {
            engine: self.engine.clone(),
            scope: Self::scope_of(instance),
        })
    }

    /// What all instances hold together.
    pub fn usage(&self) -> Usage {
        self.engine.store.usage()
    }

    /// What is here, by age and instance (see [`scope_of`](Self::scope_of)).
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        crate::survey::survey(&self.engine, |_| {}).await
    }

    /// As [`DiskBlobStore::scrub`](crate::DiskBlobStore::scrub); results have no digest of their own to compare with,
    /// only checksums.
    pub async fn scrub(
        &self,
        bytes_per_second: Option<u64>,
        so_far: impl FnMut(ScrubReport),
    ) -> Result<ScrubReport, StoreError> {
        crate::scrub::scrub(&self.engine, bytes_per_second, so_far).await
    }

    /// What stands for an instance in a [`Survey`].
    pub fn scope_of(instance: &InstanceName) -> u64 {
        xxh3_64_with_seed(instance.as_str().as_bytes(), SCOPE_SEED).max(1)
    }

    /// As for [`DiskBlobStore::close`](crate::DiskBlobStore::close).
    pub fn close(&self) {
        self.engine.close();
    }
}

/// The [`ActionCache`] of one instance.
pub struct DiskActionCache {
    engine: Arc<Engine>,
    scope: u64,
}

#[async_trait]
impl ActionCache for DiskActionCache {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let digest = action.digest();
        let Some(opened) = self.engine.open_entry(self.scope, &digest).await? else {
            return Ok(None);
        };
        let Some(content) = self.engine.content(&opened, RESULT_BYTES_MAX).await? else {
            return Ok(None);
        };
        // May be empty: a result whose fields all have their defaults (checklist A8).
        match ActionResult::decode(content) {
            Ok(result) => Ok(Some(result)),
            Err(error) => {
                self.engine.drop_opened(&opened, &error.to_string()).await;
                Ok(None)
            }
        }
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let digest = action.digest();
        let size_bytes = result.encoded_len() as u64;
        let size_bytes_max = self.engine.store.sizes.blob_bytes_max.min(RESULT_BYTES_MAX);
        if size_bytes > size_bytes_max {
            let reason = format!("this action cache takes results of at most {size_bytes_max} bytes");
            return Err(StoreError::NoSpace { size_bytes, reason });
        }
        let entry = NewEntry {
            key: self.engine.store.keys.of(self.scope, &digest),
            kind: Kind::Result,
            digest,
            scope: self.scope,
            keep: false,
        };
        let ticket = self.engine.store.ticket();
        self.engine
            .append(entry, result.encode_to_vec().into(), Some(ticket))
            .await
    }
}
