//! The two contracts.

use action::ActionDigest;
use action_cache::ActionCache;
use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestFunction, DigestSet, InstanceName};
use cas::{BlobStore, StoreError};
use futures::future;
use object_store::{GetRange, PutPayload};
use prost::Message;
use reapi::execution::ActionResult;
use std::sync::Arc;

use crate::keys::{Keys, Unit};
use crate::large::Large;
use crate::limits::{CREATES_MAX, RESULT_BYTES_MAX, SMALL_BLOB_BYTES_MAX};
use crate::liveness::Liveness;
use crate::requests::Requests;
use crate::sealed::{self, Seal};
use crate::small::Small;
use crate::statistics::Counters;

/// Blobs: small ones in segments, large ones in objects of their own.
pub(crate) struct ObjectBlobStore {
    pub(crate) small: Small,
    pub(crate) large: Large,
}

fn is_small(digest: &Digest) -> bool {
    digest.size_bytes() < SMALL_BLOB_BYTES_MAX
}

#[async_trait]
impl BlobStore for ObjectBlobStore {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        match is_small(digest) {
            true => self.small.get(digest, range).await,
            false => self.large.get(digest, range).await,
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        match is_small(&blob.digest()) {
            true => self.small.put(blob).await,
            false => self.large.put(blob).await,
        }
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let (small, large): (Vec<Digest>, Vec<Digest>) = digests.iter().partition(|digest| is_small(digest));
        let (small, large) = future::try_join(self.small.promise(&small), self.large.promise(&large)).await?;
        let present: DigestSet = small.into_iter().chain(large).collect();
        Ok(digests.difference(&present))
    }
}

/// Action results: an object each, replaced by the next result of the same action.
#[derive(Clone)]
pub(crate) struct ObjectActionCache {
    pub(crate) requests: Arc<Requests>,
    pub(crate) keys: Keys,
    pub(crate) liveness: Arc<Liveness>,
    /// Whose results these are.
    pub(crate) instance: InstanceName,
}

impl ObjectActionCache {
    /// What the result of `action` is called: by the action's digest, or, of an instance with a name, by that of both.
    fn key_of(&self, action: &ActionDigest) -> Digest {
        let digest = action.digest();
        if self.instance.as_str().is_empty() {
            return digest;
        }
        // No instance name contains a zero, so no two pairs are spelled alike. Not the digest's Display: this is a name
        // that never changes.
        let (function, hash) = (digest.function().name(), digest.hash_hex());
        let both = format!(
            "{}\0{function}/{hash}-{}",
            self.instance.as_str(),
            digest.size_bytes()
        );
        Digest::of(DigestFunction::Sha256, both.as_bytes())
    }

    /// Bound to the instance: to another one, which may have an action of this very name, what lies here is damaged.
    fn seal_of(&self, key: &Digest) -> Seal {
        match self.instance.as_str() {
            "" => Seal::of("result 1", key),
            instance => Seal::of(&format!("result 1 of {instance}"), key),
        }
    }
}

#[async_trait]
impl ActionCache for ObjectActionCache {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let digest = self.key_of(action);
        let unit = Unit::Result(digest);
        let range = GetRange::Bounded(0..RESULT_BYTES_MAX + 64);
        let Some(part) = self.requests.get(&self.keys.unit(unit), Some(range)).await? else {
            self.liveness.forget(unit);
            return Ok(None);
        };
        let result = sealed::open(self.seal_of(&digest), part.bytes)
            .and_then(|bytes| ActionResult::decode(bytes).ok());
        match &result {
            Some(_) => self.liveness.used(unit),
            None => {
                tracing::error!(action = %digest, "an action result is damaged and counts as missing");
                Counters::add(&self.requests.counters.damaged, 1);
            }
        }
        Ok(result)
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let digest = self.key_of(action);
        let unit = Unit::Result(digest);
        let bytes = result.encode_to_vec();
        if bytes.len() as u64 > RESULT_BYTES_MAX {
            return Err(StoreError::NoSpace {
                size_bytes: bytes.len() as u64,
                reason: format!("an action result may have {RESULT_BYTES_MAX} bytes here"),
            });
        }
        let payload = PutPayload::from(sealed::seal(self.seal_of(&digest), &bytes));
        for _ in 0..CREATES_MAX {
            self.requests.replace(&self.keys.unit(unit), &payload).await?;
            if self.liveness.promise_settled(unit).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable {
            reason: format!("collections keep removing `{unit}`; try again"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::{Options, over};

    /// Whoever may ask the unnamed instance can make up any action digest, that of another's result too.
    #[tokio::test]
    async fn a_result_cannot_be_had_by_its_name_through_another_instance() {
        let store = Arc::new(object_store::memory::InMemory::new());
        let prefix = object_store::path::Path::default();
        let storage = over(store, prefix, Clock::system(), Options::default())
            .await
            .unwrap();
        let action = ActionDigest::new(Digest::of(DigestFunction::Blake3, b"action"));
        let named = ObjectActionCache {
            instance: InstanceName::new("team/a").unwrap(),
            ..storage.results.clone()
        };
        named.put(&action, ActionResult::default()).await.unwrap();
        assert!(named.get(&action).await.unwrap().is_some());
        let made_up = ActionDigest::new(named.key_of(&action));
        assert_eq!(storage.action_cache.get(&made_up).await.unwrap(), None);
    }
}
