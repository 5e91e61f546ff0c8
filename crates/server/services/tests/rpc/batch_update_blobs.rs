//! `ContentAddressableStorage.BatchUpdateBlobs`.

use blob::Digest;
use bytes::Bytes;
use reapi::execution::batch_update_blobs_request::Request;
use reapi::execution::{
    self as proto, BatchUpdateBlobsRequest, batch_update_blobs_response::Response, compressor,
};
use services::StorageOptions;
use services::limits::BATCH_DATA_BYTES_MAX;
use tonic::{Code, Status};

use crate::support::*;

fn entry(digest: &Digest, data: impl Into<Bytes>) -> Request {
    Request {
        digest: Some(digest.to_proto()),
        data: data.into(),
        compressor: compressor::Value::Identity as i32,
    }
}

fn zstd_entry(digest: &Digest, data: impl Into<Bytes>) -> Request {
    Request {
        compressor: compressor::Value::Zstd as i32,
        ..entry(digest, data)
    }
}

async fn update(server: &Server, requests: Vec<Request>) -> Result<Vec<Response>, Status> {
    let request = BatchUpdateBlobsRequest {
        requests,
        ..Default::default()
    };
    server
        .cas()
        .batch_update_blobs(request)
        .await
        .map(|response| response.into_inner().responses)
}

fn codes(responses: &[Response]) -> Vec<i32> {
    responses
        .iter()
        .map(|response| response.status.as_ref().unwrap().code)
        .collect()
}

const OK: i32 = Code::Ok as i32;
const INVALID: i32 = Code::InvalidArgument as i32;

#[tokio::test]
async fn s4_each_entry_has_its_own_verdict_in_order() {
    let server = Server::start().await;
    let [a, b, c] = ["a", "bb", "ccc"].map(|content| Digest::of(SHA256, content.as_bytes()));
    let mut without_digest = entry(&a, "a");
    without_digest.digest = None;
    let mut uppercase = entry(&a, "a");
    uppercase.digest = Some(digest_of(a.hash_hex().to_uppercase(), 1));
    let requests = vec![
        entry(&a, "a"),
        entry(&b, "xx"),
        entry(&b, "b"),
        without_digest,
        uppercase,
        entry(&c, "ccc"),
        entry(&a, "a"),
    ];
    let echoed: Vec<Option<proto::Digest>> = requests.iter().map(|request| request.digest.clone()).collect();
    let responses = update(&server, requests).await.unwrap();
    assert_eq!(
        codes(&responses),
        [OK, INVALID, INVALID, INVALID, INVALID, OK, OK]
    );
    assert_eq!(
        responses
            .iter()
            .map(|response| response.digest.clone())
            .collect::<Vec<_>>(),
        echoed
    );
    assert_eq!(server.stored(&a).await.unwrap(), "a");
    assert_eq!(server.stored(&b).await, None);
    assert_eq!(server.stored(&c).await.unwrap(), "ccc");
}

#[tokio::test]
async fn s4_the_whole_call_is_refused_above_the_limit_and_taken_at_it() {
    let server = Server::start().await;
    let limit = BATCH_DATA_BYTES_MAX as usize;
    let full = noise(1, limit);
    let digest = Digest::of(SHA256, &full);
    assert_eq!(
        codes(&update(&server, vec![entry(&digest, full.clone())]).await.unwrap()),
        [OK]
    );
    let small = Digest::of(SHA256, b"!");
    let status = refused(
        update(&server, vec![entry(&digest, full), entry(&small, "!")]).await,
        Code::InvalidArgument,
    );
    assert!(
        status.message().contains("max_batch_total_size_bytes"),
        "{status}"
    );
    assert_eq!(server.stored(&small).await, None);
}

#[tokio::test]
async fn s4_no_space_is_resource_exhausted_for_that_entry() {
    let server = Server::with(std::sync::Arc::new(Full), StorageOptions::default()).await;
    let digest = Digest::of(SHA256, b"a");
    assert_eq!(
        codes(&update(&server, vec![entry(&digest, "a")]).await.unwrap()),
        [Code::ResourceExhausted as i32]
    );
}

#[tokio::test]
async fn s5_compressed_entries_are_verified_after_decompression() {
    let server = Server::start().await;
    let content = noise(2, 100_000);
    let digest = Digest::of(SHA256, &content);
    let large: Bytes = vec![b'x'; 30 << 20].into();
    let large_digest = Digest::of(SHA256, &large);
    let empty = Digest::empty(SHA256);
    let unknown_compressor = Request {
        compressor: compressor::Value::Brotli as i32,
        ..entry(&digest, content.clone())
    };
    let responses = update(
        &server,
        vec![
            zstd_entry(&digest, zstd(&content)),
            // A few kilobytes that become 30 MiB are fine when that is their size.
            zstd_entry(&large_digest, zstd(&large)),
            zstd_entry(&empty, zstd(&Bytes::new())),
            zstd_entry(&empty, Bytes::new()),
            unknown_compressor,
        ],
    )
    .await
    .unwrap();
    assert_eq!(codes(&responses), [OK, OK, OK, OK, INVALID]);
    assert_eq!(server.stored(&digest).await.unwrap(), content);
    assert_eq!(server.stored(&large_digest).await.unwrap(), large);
}

#[tokio::test]
async fn s5_damaged_wrong_and_bombing_zstd_is_refused_and_not_stored() {
    let server = Server::start().await;
    let content = noise(3, 5000);
    let digest = Digest::of(SHA256, &content);
    let whole = zstd(&content);
    let bomb = zstd(&vec![0; 100 << 20].into());
    let large_lie = Digest::from_hex(SHA256, &digest.hash_hex(), 1 << 20).unwrap();
    let requests = vec![
        zstd_entry(&digest, content.clone()),
        zstd_entry(&digest, whole.slice(..whole.len() - 1)),
        zstd_entry(&digest, [&whole[..], b"trailing"].concat()),
        zstd_entry(&digest, zstd(&noise(4, 5000))),
        zstd_entry(&digest, zstd(&noise(3, 4999))),
        zstd_entry(&digest, bomb.clone()),
        zstd_entry(&large_lie, bomb),
        zstd_entry(&large_lie, whole),
    ];
    let responses = update(&server, requests).await.unwrap();
    assert_eq!(codes(&responses), [INVALID; 8]);
    assert_eq!(server.stored(&digest).await, None);
}

#[tokio::test]
async fn s7_uploading_what_is_there_is_fine() {
    let server = Server::start().await;
    let digest = server.put("there").await;
    assert_eq!(
        codes(&update(&server, vec![entry(&digest, "there")]).await.unwrap()),
        [OK]
    );
}

#[tokio::test]
async fn b11_a_blob_over_the_limit_is_refused() {
    let options = StorageOptions {
        blob_size_bytes_max: 4,
        ..StorageOptions::default()
    };
    let server = Server::with(cas::memory(1 << 20), options).await;
    let [four, five] =
        ["4444", "55555"].map(|content| entry(&Digest::of(SHA256, content.as_bytes()), content));
    assert_eq!(
        codes(&update(&server, vec![four, five]).await.unwrap()),
        [OK, INVALID]
    );
}

/// A store without room.
struct Full;

#[async_trait::async_trait]
impl cas::BlobStore for Full {
    async fn get(&self, _: &Digest, _: blob::ByteRange) -> Result<Option<blob::BlobStream>, cas::StoreError> {
        Ok(None)
    }

    async fn put(&self, blob: blob::Blob) -> Result<(), cas::StoreError> {
        Err(cas::StoreError::NoSpace {
            size_bytes: blob.digest().size_bytes(),
            reason: "full".into(),
        })
    }

    async fn find_missing(&self, digests: &blob::DigestSet) -> Result<blob::DigestSet, cas::StoreError> {
        Ok(digests.clone())
    }
}
