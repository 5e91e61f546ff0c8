//! `SpliceBlob`.

use blob::{Digest, DigestSet};
use chunking::{Chunker, Chunking, FastCdc2020};
use reapi::execution::{
    ActionResult, BatchReadBlobsRequest, FindMissingBlobsRequest, GetActionResultRequest, OutputFile,
    SpliceBlobRequest, UpdateActionResultRequest, chunking_function::Value,
};
use services::StorageOptions;
use tonic::Code;

use crate::chunk_server::*;
use crate::support::*;

#[tokio::test]
async fn k3_a_spliced_blob_is_a_blob_to_every_call() {
    let server = ChunkServer::start().await;
    let (whole, chunks) = server.chunks(1, &[700_000, 1, 300_000]).await;
    let digest = Digest::of(SHA256, &whole);
    server.splice(&digest, &chunks).await.unwrap();
    let (server, chunk_server) = (&server.server, &server);
    let request = FindMissingBlobsRequest {
        blob_digests: vec![digest.to_proto()],
        ..Default::default()
    };
    let missing = server
        .cas()
        .find_missing_blobs(request)
        .await
        .unwrap()
        .into_inner();
    assert!(missing.missing_blob_digests.is_empty());
    let request = BatchReadBlobsRequest {
        digests: vec![digest.to_proto()],
        ..Default::default()
    };
    let read = server.cas().batch_read_blobs(request).await.unwrap().into_inner();
    assert!(read.responses[0].data == whole);
    let name = format!("blobs/{digest}");
    assert!(server.read(&name, 0, 0).await.unwrap().concat() == whole);
    assert!(server.read(&name, 699_999, 3).await.unwrap().concat() == whole[699_999..700_002]);
    let compressed = server
        .read(&format!("compressed-blobs/zstd/{digest}"), 0, 0)
        .await;
    let plain = compression::decompress_all(compressed.unwrap().concat().into(), whole.len() as u64);
    assert!(plain.unwrap() == whole);
    // The completeness check of the action cache sees it too, and sees it go.
    let command = server
        .put_message(&reapi::execution::Command {
            arguments: vec!["true".into()],
            ..Default::default()
        })
        .await;
    let action = reapi::execution::Action {
        command_digest: Some(command.to_proto()),
        input_root_digest: Some(Digest::empty(SHA256).to_proto()),
        ..Default::default()
    };
    let action = Some(server.put_message(&action).await.to_proto());
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "out".into(),
            digest: Some(digest.to_proto()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let update = UpdateActionResultRequest {
        action_digest: action.clone(),
        action_result: Some(result),
        ..Default::default()
    };
    server.action_cache().update_action_result(update).await.unwrap();
    let get = GetActionResultRequest {
        action_digest: action,
        ..Default::default()
    };
    assert!(server.action_cache().get_action_result(get.clone()).await.is_ok());
    chunk_server.below.lose(&chunks[1]);
    refused(server.action_cache().get_action_result(get).await, Code::NotFound);
}

#[tokio::test]
async fn k3_chunks_that_are_not_here_are_named() {
    let server = ChunkServer::start().await;
    let (whole, mut chunks) = server.chunks(1, &[1000, 2000]).await;
    let absent = noise(9, 500);
    chunks.push(Digest::of(SHA256, &absent));
    let digest = Digest::of(SHA256, &[&whole[..], &absent[..]].concat());
    let status = refused(server.splice(&digest, &chunks).await, Code::NotFound);
    assert!(status.message().contains(&chunks[2].hash_hex()), "{status}");
    assert_eq!(server.server.stored(&digest).await, None);
    server.server.put(absent).await;
    server.splice(&digest, &chunks).await.unwrap();
}

#[tokio::test]
async fn k3_the_client_is_never_believed() {
    let server = ChunkServer::start().await;
    let (whole, chunks) = server.chunks(1, &[1000, 1000]).await;
    let digest = Digest::of(SHA256, &whole);
    let swapped = [chunks[1], chunks[0]];
    refused(server.splice(&digest, &swapped).await, Code::InvalidArgument);
    assert_eq!(server.server.stored(&digest).await, None);
    refused(server.split(&digest, Value::Unknown).await, Code::NotFound);
}

#[tokio::test]
async fn k3_what_is_malformed_is_refused_before_any_read() {
    let options = StorageOptions {
        blob_size_bytes_max: 10_000,
        ..StorageOptions::default()
    };
    let server = ChunkServer::with(options).await;
    let (whole, chunks) = server.chunks(1, &[1000, 1000]).await;
    let digest = Digest::of(SHA256, &whole);
    let good = splice_request(&digest, &chunks);
    let huge = Digest::from_hex(SHA256, &digest.hash_hex(), i64::MAX as u64).unwrap();
    server.below.calls();
    for (what, request) in [
        (
            "no digest",
            SpliceBlobRequest {
                blob_digest: None,
                ..good.clone()
            },
        ),
        ("too few bytes", splice_request(&digest, &chunks[..1])),
        (
            "too many bytes",
            splice_request(&digest, &[chunks[0], chunks[1], chunks[1]]),
        ),
        ("no chunks", splice_request(&digest, &[])),
        (
            "sizes that overflow",
            splice_request(&digest, &[huge, huge, huge]),
        ),
        ("a blob too large", splice_request(&huge, &[huge])),
        (
            "too many chunks",
            splice_request(&digest, &vec![chunks[0]; services::limits::RECIPE_CHUNKS_MAX + 1]),
        ),
        (
            "an unknown function",
            SpliceBlobRequest {
                chunking_function: 9,
                ..good.clone()
            },
        ),
    ] {
        let status = server.server.cas().splice_blob(request).await.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    }
    for malformed in malformed_digests() {
        let mut request = good.clone();
        request.chunk_digests.push(malformed);
        refused(
            server.server.cas().splice_blob(request).await,
            Code::InvalidArgument,
        );
    }
    assert_eq!(server.below.calls(), 0, "no I/O for what cannot be right");
    let mut with_empty = chunks.clone();
    with_empty.insert(1, Digest::empty(SHA256));
    server.splice(&digest, &with_empty).await.unwrap();
    server.splice(&Digest::empty(SHA256), &[]).await.unwrap();
}

#[tokio::test]
async fn k3_a_blob_that_is_here_stays_and_its_life_is_extended() {
    let server = ChunkServer::start().await;
    let (whole, chunks) = server.chunks(1, &[1000, 1000]).await;
    let digest = server.server.put(whole.clone()).await;
    server.below.asked();
    server.splice(&digest, &chunks).await.unwrap();
    let asked = server.below.asked();
    assert!(asked.contains(&digest) && chunks.iter().all(|chunk| asked.contains(chunk)));
    // Again: nothing to do.
    server.splice(&digest, &chunks).await.unwrap();
    assert_eq!(
        chunk_digests(SHA256, &server.split(&digest, Value::Unknown).await.unwrap()),
        chunks
    );
    // Of chunks that are not here: the blob is, and for these nothing is promised.
    let (half, other) = (whole.slice(..500), whole.slice(500..));
    let absent = [Digest::of(SHA256, &half), Digest::of(SHA256, &other)];
    refused(server.splice(&digest, &absent).await, Code::AlreadyExists);
    assert!(server.server.stored(&digest).await.unwrap() == whole);
    // Of itself.
    server.splice(&digest, &[digest]).await.unwrap();
    let nowhere = Digest::of(SHA256, b"nowhere");
    refused(server.splice(&nowhere, &[nowhere]).await, Code::NotFound);
}

#[tokio::test]
async fn k4_every_chunking_function_is_accepted_and_told_again() {
    let server = ChunkServer::start().await;
    for (seed, function) in [
        (1, Value::Unknown),
        (10, Value::FastCdc2020),
        (20, Value::RepMaxCdc),
    ] {
        let (whole, chunks) = server.chunks(seed, &[100, 200, 300]).await;
        let digest = Digest::of(SHA256, &whole);
        let request = SpliceBlobRequest {
            chunking_function: function as i32,
            ..splice_request(&digest, &chunks)
        };
        server.server.cas().splice_blob(request).await.unwrap();
        let response = server.split(&digest, Value::FastCdc2020).await.unwrap();
        assert_eq!(response.chunking_function, function as i32);
        assert_eq!(chunk_digests(SHA256, &response), chunks);
    }
}

/// As Bazel uploads: cut, FindMissing, upload what is missing, splice. A second version sends only what changed.
#[tokio::test]
async fn k5_two_versions_share_their_chunks_on_the_way_and_in_the_store() {
    let server = ChunkServer::start().await;
    let first = noise(1, 12 << 20);
    let second: bytes::Bytes = [&first[..5 << 20], b"changed", &first[5 << 20..]].concat().into();
    let mut sent_bytes = Vec::new();
    for version in [first, second] {
        let mut chunker = Chunker::new(Chunking::FastCdc2020(FastCdc2020::ADVISED));
        chunker.push(version.clone());
        chunker.finish();
        let chunks: Vec<bytes::Bytes> = std::iter::from_fn(|| chunker.take()).collect();
        let digests: Vec<Digest> = chunks.iter().map(|chunk| Digest::of(SHA256, chunk)).collect();
        let request = FindMissingBlobsRequest {
            blob_digests: digests.iter().map(Digest::to_proto).collect(),
            ..Default::default()
        };
        let response = server
            .server
            .cas()
            .find_missing_blobs(request)
            .await
            .unwrap()
            .into_inner();
        let missing: DigestSet = response
            .missing_blob_digests
            .iter()
            .map(|proto| Digest::from_proto(SHA256, proto).unwrap())
            .collect();
        let mut sent = 0;
        for (digest, chunk) in digests
            .iter()
            .zip(&chunks)
            .filter(|(digest, _)| missing.contains(digest))
        {
            let upload = messages(&upload_name(digest), chunk, 1 << 20);
            server.server.write(upload).await.unwrap();
            sent += chunk.len();
        }
        sent_bytes.push(sent);
        let whole = Digest::of(SHA256, &version);
        server.splice(&whole, &digests).await.unwrap();
        assert!(server.server.stored(&whole).await.unwrap() == version);
    }
    assert_eq!(sent_bytes[0], 12 << 20);
    assert!(sent_bytes[1] < 4 << 20, "{} bytes for seven", sent_bytes[1]);
}

#[tokio::test]
async fn k5_many_chunks_are_one_call() {
    let server = ChunkServer::start().await;
    let (_, chunks) = server.chunks(1, &[10, 20]).await;
    let order: Vec<Digest> = (0..40_000).map(|at| chunks[at % 2]).collect();
    let whole = [noise(1, 10), noise(2, 20)].concat().repeat(20_000);
    let digest = Digest::of(SHA256, &whole);
    server.splice(&digest, &order).await.unwrap();
    let response = server.split(&digest, Value::Unknown).await.unwrap();
    assert!(chunk_digests(SHA256, &response) == order);
}
