//! A server whose store holds blobs in chunks, and can be made to lose blobs, to be full and to say what it was asked.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use blob::{Blob, BlobStream, ByteRange, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use cas::{BlobStore, Recipes, StoreError};
use reapi::execution::{SpliceBlobRequest, SplitBlobRequest, SplitBlobResponse, chunking_function::Value};
use services::StorageOptions;
use tonic::Status;

use crate::support::*;

/// The store below the chunks.
#[derive(Default)]
pub struct Below {
    lost: Mutex<HashSet<Digest>>,
    full: AtomicBool,
    asked: Mutex<HashSet<Digest>>,
    calls: Mutex<u64>,
}

impl Below {
    pub fn lose(&self, digest: &Digest) {
        self.lost.lock().unwrap().insert(*digest);
    }

    pub fn fill(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    /// What `find_missing` has been asked since the last time: whose life was extended.
    pub fn asked(&self) -> HashSet<Digest> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Calls of any kind since the last time.
    pub fn calls(&self) -> u64 {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn called(&self) {
        *self.calls.lock().unwrap() += 1;
    }
}

struct BelowStore {
    inner: Arc<dyn BlobStore>,
    below: Arc<Below>,
}

#[tonic::async_trait]
impl BlobStore for BelowStore {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.below.called();
        if self.below.lost.lock().unwrap().contains(digest) {
            return Ok(None);
        }
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.below.called();
        if self.below.full.load(Ordering::SeqCst) {
            return Err(StoreError::NoSpace {
                size_bytes: blob.digest().size_bytes(),
                reason: "full on purpose".into(),
            });
        }
        self.below.lost.lock().unwrap().remove(&blob.digest());
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.below.called();
        self.below.asked.lock().unwrap().extend(digests.iter().copied());
        let missing = self.inner.find_missing(digests).await?;
        let lost = self.below.lost.lock().unwrap().clone();
        Ok(missing.union(
            &digests
                .iter()
                .filter(|digest| lost.contains(digest))
                .copied()
                .collect(),
        ))
    }
}

pub struct ChunkServer {
    pub server: Server,
    /// Behind the scenes.
    pub recipes: Arc<dyn Recipes>,
    pub below: Arc<Below>,
}

impl ChunkServer {
    pub async fn start() -> Self {
        Self::with(StorageOptions::default()).await
    }

    pub async fn with(options: StorageOptions) -> Self {
        let below = Arc::<Below>::default();
        let store = cas::chunked(
            Arc::new(BelowStore {
                inner: cas::memory(256 << 20),
                below: below.clone(),
            }),
            16 << 20,
        );
        let server = Server::with_recipes(store.clone(), Some(store.clone()), options).await;
        ChunkServer {
            server,
            recipes: store,
            below,
        }
    }

    pub async fn split(&self, digest: &Digest, wish: Value) -> Result<SplitBlobResponse, Status> {
        let request = SplitBlobRequest {
            blob_digest: Some(digest.to_proto()),
            digest_function: digest.function().to_proto() as i32,
            chunking_function: wish as i32,
            ..Default::default()
        };
        let response = self.server.cas().split_blob(request).await?;
        Ok(response.into_inner())
    }

    pub async fn splice(&self, digest: &Digest, chunks: &[Digest]) -> Result<(), Status> {
        let response = self
            .server
            .cas()
            .splice_blob(splice_request(digest, chunks))
            .await?;
        assert_eq!(response.into_inner().blob_digest, Some(digest.to_proto()));
        Ok(())
    }

    /// Puts chunks behind the scenes; returns them and the whole, which is not put.
    pub async fn chunks(&self, seed: u64, sizes: &[usize]) -> (Bytes, Vec<Digest>) {
        let (mut whole, mut chunks) = (Vec::new(), Vec::new());
        for (index, size_bytes) in sizes.iter().enumerate() {
            let bytes = noise(seed + index as u64, *size_bytes);
            whole.extend_from_slice(&bytes);
            chunks.push(self.server.put(bytes).await);
        }
        (whole.into(), chunks)
    }
}

pub fn splice_request(digest: &Digest, chunks: &[Digest]) -> SpliceBlobRequest {
    SpliceBlobRequest {
        blob_digest: Some(digest.to_proto()),
        chunk_digests: chunks.iter().map(Digest::to_proto).collect(),
        digest_function: digest.function().to_proto() as i32,
        ..Default::default()
    }
}

/// The digests of an answer.
pub fn chunk_digests(function: DigestFunction, response: &SplitBlobResponse) -> Vec<Digest> {
    let digests = response.chunk_digests.iter();
    digests
        .map(|proto| Digest::from_proto(function, proto).unwrap())
        .collect()
}
