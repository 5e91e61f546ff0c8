//! Every call works for the build that its headers name (checklist G11), down to the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use cas::{BlobStore, Invocation, StoreError};
use futures::StreamExt;
use parking_lot::Mutex;
use prost::Message;
use reapi::bytestream::{ReadRequest, WriteRequest};
use reapi::execution::{FindMissingBlobsRequest, RequestMetadata};
use services::StorageOptions;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::support::{SHA256, Server};

/// Notes for whom each call was made, streams being read included.
struct Noting {
    inner: Arc<dyn BlobStore>,
    seen: Arc<Seen>,
}

/// What was done, and for which build.
type Seen = Mutex<BTreeSet<(&'static str, Option<String>)>>;

impl Noting {
    fn note(&self, what: &'static str) {
        note(&self.seen, what);
    }
}

fn note(seen: &Seen, what: &'static str) {
    let build = Invocation::current().map(|invocation| invocation.to_string());
    seen.lock().insert((what, build));
}

#[async_trait]
impl BlobStore for Noting {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.note("get");
        let seen = self.seen.clone();
        let stream = self.inner.get(digest, range).await?;
        Ok(stream.map(|stream| stream.inspect(move |_| note(&seen, "piece")).boxed()))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.note("put");
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.note("find");
        self.inner.find_missing(digests).await
    }
}

fn of_build<T>(message: T, build: &str) -> Request<T> {
    let metadata = RequestMetadata {
        tool_invocation_id: build.to_owned(),
        ..RequestMetadata::default()
    };
    let mut request = Request::new(message);
    request.metadata_mut().insert_bin(
        "build.bazel.remote.execution.v2.requestmetadata-bin",
        MetadataValue::from_bytes(&metadata.encode_to_vec()),
    );
    request
}

#[tokio::test]
async fn g11_every_call_works_for_the_build_that_makes_it() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let store = Arc::new(Noting {
        inner: cas::memory(64 << 20),
        seen: seen.clone(),
    });
    let server = Server::with(store, StorageOptions::default()).await;
    let bytes = vec![7u8; 6 << 20];
    let digest = Digest::of(SHA256, &bytes);
    for build in ["one", "two", ""] {
        let asked = FindMissingBlobsRequest {
            blob_digests: vec![digest.to_proto()],
            ..FindMissingBlobsRequest::default()
        };
        server
            .cas()
            .find_missing_blobs(of_build(asked, build))
            .await
            .unwrap();
        // In several messages, so that the upload is fed by a call and not made by one.
        let pieces = bytes
            .chunks(1 << 20)
            .enumerate()
            .map(|(number, piece)| WriteRequest {
                resource_name: format!("uploads/00000000-0000-4000-8000-000000000000/blobs/{digest}"),
                write_offset: (number << 20) as i64,
                finish_write: number == 5,
                data: piece.to_vec().into(),
            });
        let pieces: Vec<_> = pieces.collect();
        let call = of_build(tokio_stream::iter(pieces), build);
        server.byte_stream().write(call).await.unwrap();
        let read = ReadRequest {
            resource_name: format!("blobs/{digest}"),
            ..ReadRequest::default()
        };
        let mut stream = server
            .byte_stream()
            .read(of_build(read, build))
            .await
            .unwrap()
            .into_inner();
        while stream.message().await.unwrap().is_some() {}
    }
    let seen = seen.lock();
    for what in ["find", "get", "piece"] {
        for build in [Some("one"), Some("two"), None] {
            assert!(
                seen.contains(&(what, build.map(str::to_owned))),
                "{what} for {build:?}: {seen:?}"
            );
        }
    }
    assert!(seen.contains(&("put", Some("one".to_owned()))), "{seen:?}");
}
