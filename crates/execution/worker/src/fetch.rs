//! Many blobs at once, checked, within a budget of memory.

use std::sync::Arc;

use blob::{Blob, BlobError, BlobStream, ByteRange, Digest};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{FETCH_BYTES_IN_FLIGHT_MAX, FETCHES_IN_FLIGHT_MAX};

/// Fetches whole blobs into memory. All actions of a worker share one, and with it one budget of bytes.
#[derive(Clone)]
pub(crate) struct Fetcher {
    bytes_in_flight: Arc<Semaphore>,
}

/// A blob that was asked for.
pub(crate) struct Fetched<T> {
    /// What the caller asked it for.
    pub(crate) of: T,
    /// Proven to match the digest; `None` if the store does not have it.
    pub(crate) bytes: Option<Bytes>,
    /// The blob's share of the budget, given back when the bytes are dropped.
    _permit: OwnedSemaphorePermit,
}

impl Fetcher {
    pub(crate) fn new() -> Self {
        Fetcher {
            bytes_in_flight: Arc::new(Semaphore::new(FETCH_BYTES_IN_FLIGHT_MAX)),
        }
    }

    /// One item for each of `wanted`, in the order they arrive. Reads run side by side, so that a store over a
    /// network can answer many in one round trip.
    pub(crate) fn fetch_many<'a, T: Copy + Send + 'a>(
        &'a self,
        store: &'a dyn BlobStore,
        wanted: Vec<T>,
        digest_of: impl Fn(&T) -> Digest + Copy + Send + 'a,
    ) -> impl Stream<Item = Result<Fetched<T>, StoreError>> + Send + 'a {
        let fetches = stream::iter(wanted).map(move |of| async move {
            let digest = digest_of(&of);
            let _permit = self.admit(&digest).await;
            let bytes = fetch(store, digest).await?;
            Ok(Fetched { of, bytes, _permit })
        });
        fetches.buffer_unordered(FETCHES_IN_FLIGHT_MAX)
    }

    /// Waits for room for a blob. A blob that is larger than the whole budget gets all of it.
    async fn admit(&self, digest: &Digest) -> OwnedSemaphorePermit {
        let size_bytes = digest.size_bytes().min(FETCH_BYTES_IN_FLIGHT_MAX as u64) as u32;
        let admission = self.bytes_in_flight.clone().acquire_many_owned(size_bytes).await;
        admission.expect("the semaphore is never closed")
    }
}

/// A whole blob in memory; `None` is a miss. The caller has bounded its size.
async fn fetch(store: &dyn BlobStore, digest: Digest) -> Result<Option<Bytes>, StoreError> {
    let Some(stream) = open(store, digest).await? else {
        return Ok(None);
    };
    match Blob::checked(digest, stream)
        .into_bytes(digest.size_bytes())
        .await
    {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_a_miss(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A blob's unchecked bytes; `None` is a miss. The empty blob is everywhere (checklist G6): no store is asked.
pub(crate) async fn open(store: &dyn BlobStore, digest: Digest) -> Result<Option<BlobStream>, StoreError> {
    if digest.is_empty() {
        return Ok(Some(stream::empty().boxed()));
    }
    match store.get(&digest, ByteRange::FULL).await {
        Err(StoreError::Blob(error)) if is_a_miss(&error) => Ok(None),
        other => other,
    }
}

/// A damaged blob has been dropped by its store: the client is asked to upload it again, as for any missing one.
pub(crate) fn is_a_miss(error: &BlobError) -> bool {
    matches!(error, BlobError::Corrupt { .. })
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    #[tokio::test]
    async fn many_blobs_come_whole_and_misses_are_none() {
        let store = cas::memory(1 << 20);
        let present: Vec<Digest> = futures::future::join_all((0..500u32).map(|number| {
            let (store, blob) = (store.clone(), Blob::from_bytes(F, number.to_string()));
            async move {
                let digest = blob.digest();
                store.put(blob).await.unwrap();
                digest
            }
        }))
        .await;
        let absent = Digest::of(F, b"absent");
        let mut wanted = present.clone();
        wanted.extend([absent, Digest::empty(F)]);
        let fetcher = Fetcher::new();
        let fetched: Vec<_> = fetcher
            .fetch_many(&*store, wanted, |digest| *digest)
            .collect()
            .await;
        assert_eq!(fetched.len(), 502);
        for fetched in fetched {
            let Fetched { of, bytes, .. } = fetched.unwrap();
            match bytes {
                Some(bytes) => assert_eq!(Digest::of(F, &bytes), of),
                None => assert_eq!(of, absent),
            }
        }
        assert_eq!(
            fetcher.bytes_in_flight.available_permits(),
            FETCH_BYTES_IN_FLIGHT_MAX
        );
    }
}
