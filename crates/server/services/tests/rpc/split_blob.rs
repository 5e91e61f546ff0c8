//! `SplitBlob`.

use blob::Digest;
use bytes::Bytes;
use chunking::{Chunker, Chunking, FastCdc2020, RepMaxCdc};
use reapi::execution::{BatchReadBlobsRequest, SplitBlobRequest, chunking_function::Value};
use tonic::Code;

use crate::chunk_server::*;
use crate::support::*;

fn cut(rule: Chunking, bytes: &Bytes) -> Vec<Bytes> {
    let mut chunker = Chunker::new(rule);
    chunker.push(bytes.clone());
    chunker.finish();
    std::iter::from_fn(|| chunker.take()).collect()
}

fn digests(chunks: &[Bytes]) -> Vec<Digest> {
    chunks.iter().map(|chunk| Digest::of(SHA256, chunk)).collect()
}

const FAST: Chunking = Chunking::FastCdc2020(FastCdc2020::ADVISED);
const REP_MAX: Chunking = Chunking::RepMaxCdc(RepMaxCdc::ADVISED);

#[tokio::test]
async fn k1_an_absent_blob_is_not_found() {
    let server = ChunkServer::start().await;
    for size in [1, 9 << 20] {
        let absent = Digest::of(SHA256, &noise(1, size));
        refused(server.split(&absent, Value::Unknown).await, Code::NotFound);
    }
    refused(
        server.server.cas().split_blob(SplitBlobRequest::default()).await,
        Code::InvalidArgument,
    );
    for digest in malformed_digests() {
        let request = SplitBlobRequest {
            blob_digest: Some(digest),
            digest_function: SHA256.to_proto() as i32,
            ..Default::default()
        };
        refused(
            server.server.cas().split_blob(request).await,
            Code::InvalidArgument,
        );
    }
}

#[tokio::test]
async fn k1_without_room_for_the_chunks_resources_are_exhausted() {
    let server = ChunkServer::start().await;
    let digest = server.server.put(noise(1, 5 << 20)).await;
    server.below.fill();
    let status = refused(
        server.split(&digest, Value::Unknown).await,
        Code::ResourceExhausted,
    );
    assert!(status.message().contains("full on purpose"), "{status}");
}

#[tokio::test]
async fn k2_a_blob_that_came_whole_is_cut_and_its_chunks_are_blobs() {
    let server = ChunkServer::start().await;
    let bytes = noise(1, 12_345_678);
    for function in [SHA256, BLAKE3] {
        let digest = server.server.put_as(function, bytes.clone()).await;
        let response = server.split(&digest, Value::Unknown).await.unwrap();
        assert_eq!(response.chunking_function, Value::FastCdc2020 as i32);
        let chunks = chunk_digests(function, &response);
        assert!(chunks.len() > 5);
        let mut joined = Vec::new();
        for chunk in &chunks {
            let name = match function {
                SHA256 => format!("blobs/{chunk}"),
                _ => format!("blobs/blake3/{}/{}", chunk.hash_hex(), chunk.size_bytes()),
            };
            joined.extend_from_slice(&server.server.read(&name, 0, 0).await.unwrap().concat());
        }
        assert!(joined == bytes, "the chunks of {function:?} must give the blob");
        // The second time the answer is known, and the life of all of them is extended.
        server.below.asked();
        assert_eq!(server.split(&digest, Value::Unknown).await.unwrap(), response);
        let asked = server.below.asked();
        assert!(chunks.iter().all(|chunk| asked.contains(chunk)));
    }
}

#[tokio::test]
async fn k4_cuts_fall_where_the_named_function_says() {
    let server = ChunkServer::start().await;
    for (seed, wish, rule, said) in [
        (1, Value::Unknown, FAST, Value::FastCdc2020),
        (2, Value::FastCdc2020, FAST, Value::FastCdc2020),
        (3, Value::RepMaxCdc, REP_MAX, Value::RepMaxCdc),
    ] {
        let bytes = noise(seed, 9_000_001);
        let digest = server.server.put(bytes.clone()).await;
        let response = server.split(&digest, wish).await.unwrap();
        assert_eq!(response.chunking_function, said as i32);
        assert_eq!(chunk_digests(SHA256, &response), digests(&cut(rule, &bytes)));
        // Cut once: another wish later gets what is known, and the answer says what that is.
        for other in [Value::FastCdc2020, Value::RepMaxCdc] {
            assert_eq!(server.split(&digest, other).await.unwrap(), response);
        }
    }
    let digest = Digest::of(SHA256, b"x").to_proto();
    let request = SplitBlobRequest {
        blob_digest: Some(digest),
        chunking_function: 77,
        ..Default::default()
    };
    refused(
        server.server.cas().split_blob(request).await,
        Code::InvalidArgument,
    );
}

#[tokio::test]
async fn k4_k7_a_blob_too_small_to_be_cut_is_its_own_chunk() {
    let server = ChunkServer::start().await;
    for (size, wish) in [
        (1, Value::Unknown),
        ((2 << 20) - 1, Value::FastCdc2020),
        ((512 << 10) - 2, Value::RepMaxCdc),
    ] {
        let digest = server.server.put(noise(1, size)).await;
        let response = server.split(&digest, wish).await.unwrap();
        assert_eq!(chunk_digests(SHA256, &response), [digest]);
        assert_eq!(response.chunking_function, Value::Unknown as i32);
    }
    // As large as the largest chunk: cut.
    let digest = server.server.put(noise(1, 2 << 20)).await;
    assert!(
        server
            .split(&digest, Value::Unknown)
            .await
            .unwrap()
            .chunk_digests
            .len()
            > 1
    );
    // Nothing is made of nothing (G6).
    let empty = server
        .split(&Digest::empty(SHA256), Value::Unknown)
        .await
        .unwrap();
    assert!(empty.chunk_digests.is_empty());
}

#[tokio::test]
async fn k6_after_the_loss_of_a_chunk_the_whole_is_cut_again_or_the_blob_is_not_found() {
    let server = ChunkServer::start().await;
    // Known in chunks only.
    let (whole, chunks) = server.chunks(10, &[1_500_000, 1_500_000]).await;
    let spliced = Digest::of(SHA256, &whole);
    server.splice(&spliced, &chunks).await.unwrap();
    assert_eq!(
        chunk_digests(SHA256, &server.split(&spliced, Value::Unknown).await.unwrap()),
        chunks
    );
    server.below.lose(&chunks[1]);
    refused(server.split(&spliced, Value::Unknown).await, Code::NotFound);
    assert_eq!(server.server.stored(&spliced).await, None);
    // Here as a whole too.
    let bytes = noise(20, 6_000_000);
    let digest = server.server.put(bytes).await;
    let first = server.split(&digest, Value::Unknown).await.unwrap();
    let lost = chunk_digests(SHA256, &first)[1];
    server.below.lose(&lost);
    assert_eq!(server.split(&digest, Value::Unknown).await.unwrap(), first);
    let request = BatchReadBlobsRequest {
        digests: vec![lost.to_proto()],
        ..Default::default()
    };
    let read = server
        .server
        .cas()
        .batch_read_blobs(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.responses[0].data.len() as u64, lost.size_bytes());
}

#[tokio::test]
async fn k1_many_callers_at_once_get_one_answer() {
    let server = ChunkServer::start().await;
    let digest = server.server.put(noise(1, 5_000_000)).await;
    let calls = (0..40).map(|_| server.split(&digest, Value::Unknown));
    let answers = futures::future::join_all(calls).await;
    let first = answers[0].as_ref().unwrap();
    assert!(first.chunk_digests.len() > 1);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
}

#[tokio::test]
async fn k7_a_list_too_long_for_an_answer_is_not_found() {
    let server = ChunkServer::start().await;
    let (_, chunks) = server.chunks(1, &[10, 20]).await;
    let pairs = services::limits::RECIPE_CHUNKS_MAX / 2 + 1;
    let whole = [noise(1, 10), noise(2, 20)].concat().repeat(pairs);
    let digest = Digest::of(SHA256, &whole);
    let recipe = cas::Recipe {
        chunks: chunks.repeat(pairs),
        chunking_function: cas::ChunkingFunction::Unknown,
    };
    server.recipes.splice(&digest, recipe).await.unwrap();
    let status = refused(server.split(&digest, Value::Unknown).await, Code::NotFound);
    assert!(status.message().contains("read it as a whole"), "{status}");
    assert!(
        server
            .server
            .read(&format!("blobs/{digest}"), 0, 0)
            .await
            .unwrap()
            .concat()
            == whole
    );
}
