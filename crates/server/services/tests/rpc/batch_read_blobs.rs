//! `ContentAddressableStorage.BatchReadBlobs`.

use blob::Digest;
use bytes::Bytes;
use reapi::execution::batch_read_blobs_response::Response;
use reapi::execution::{self as proto, BatchReadBlobsRequest, compressor};
use services::limits::BATCH_DATA_BYTES_MAX;
use tonic::{Code, Status};

use crate::support::*;

const ZSTD: i32 = compressor::Value::Zstd as i32;

async fn read(
    server: &Server,
    digests: Vec<proto::Digest>,
    acceptable: &[i32],
) -> Result<Vec<Response>, Status> {
    let acceptable_compressors = acceptable.to_vec();
    let request = BatchReadBlobsRequest {
        digests,
        acceptable_compressors,
        ..Default::default()
    };
    server
        .cas()
        .batch_read_blobs(request)
        .await
        .map(|response| response.into_inner().responses)
}

fn code(response: &Response) -> i32 {
    response.status.as_ref().unwrap().code
}

#[tokio::test]
async fn s6_found_and_missing_ones_each_have_their_answer_in_order() {
    let server = Server::start().await;
    let here = server.put("here").await.to_proto();
    let absent = Digest::of(SHA256, b"absent").to_proto();
    let empty = Digest::empty(SHA256).to_proto();
    let asked = vec![here.clone(), absent, empty, here];
    let responses = read(&server, asked.clone(), &[]).await.unwrap();
    assert_eq!(
        responses
            .iter()
            .map(|response| response.digest.clone().unwrap())
            .collect::<Vec<_>>(),
        asked
    );
    let codes: Vec<i32> = responses.iter().map(code).collect();
    assert_eq!(
        codes,
        [Code::Ok, Code::NotFound, Code::Ok, Code::Ok].map(|code| code as i32)
    );
    let data: Vec<&Bytes> = responses.iter().map(|response| &response.data).collect();
    assert_eq!(data, ["here", "", "", "here"]);
    assert!(read(&server, vec![], &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn s6_the_whole_call_is_refused_above_the_limit_and_answered_at_it() {
    let server = Server::start().await;
    let half = BATCH_DATA_BYTES_MAX as usize / 2;
    let [a, b] = [1, 2].map(|seed| noise(seed, half));
    let digests = vec![server.put(a).await.to_proto(), server.put(b).await.to_proto()];
    assert_eq!(read(&server, digests.clone(), &[]).await.unwrap().len(), 2);
    // Also when nothing gets smaller.
    assert_eq!(read(&server, digests.clone(), &[ZSTD]).await.unwrap().len(), 2);
    let one_more = server.put("!").await.to_proto();
    refused(
        read(&server, [digests, vec![one_more]].concat(), &[]).await,
        Code::InvalidArgument,
    );
    let huge = digest_of(Digest::of(SHA256, b"x").hash_hex(), i64::MAX);
    refused(
        read(&server, vec![huge.clone(), huge], &[]).await,
        Code::InvalidArgument,
    );
}

#[tokio::test]
async fn g14_many_small_blobs_are_answered_within_a_message_or_refused() {
    let server = Server::start().await;
    let small = server.put("small").await.to_proto();
    // The client takes 4 MiB, as all do unless told otherwise.
    assert_eq!(
        read(&server, vec![small.clone(); 38_000], &[])
            .await
            .unwrap()
            .len(),
        38_000
    );
    let absent = Digest::of(SHA256, b"absent").to_proto();
    assert_eq!(
        read(&server, vec![absent; 38_000], &[]).await.unwrap().len(),
        38_000
    );
    refused(
        read(&server, vec![small; 60_000], &[]).await,
        Code::InvalidArgument,
    );
}

#[tokio::test]
async fn s6_only_compressors_that_the_client_takes_are_used() {
    let server = Server::start().await;
    let text: Bytes = "the same again and again; ".repeat(1000).into();
    let digest = server.put(text.clone()).await.to_proto();
    let incompressible = noise(5, 10_000);
    let noise_digest = server.put(incompressible.clone()).await.to_proto();
    let digests = vec![digest, noise_digest];
    for acceptable in [
        &[][..],
        &[compressor::Value::Identity as i32],
        &[compressor::Value::Brotli as i32],
    ] {
        let responses = read(&server, digests.clone(), acceptable).await.unwrap();
        assert_eq!((responses[0].compressor, &responses[0].data), (0, &text));
    }
    let responses = read(&server, digests, &[compressor::Value::Deflate as i32, ZSTD])
        .await
        .unwrap();
    assert_eq!(responses[0].compressor, ZSTD);
    assert!(responses[0].data.len() < text.len() / 10);
    let back = compression::decompress_all(responses[0].data.clone(), text.len() as u64).unwrap();
    assert_eq!(back, text);
    assert_eq!(
        (responses[1].compressor, &responses[1].data),
        (0, &incompressible)
    );
}

#[tokio::test]
async fn g5_malformed_digests_are_refused_and_the_right_hash_with_another_size_is_not_found() {
    let server = Server::start().await;
    for digest in malformed_digests() {
        refused(read(&server, vec![digest], &[]).await, Code::InvalidArgument);
    }
    let here = server.put("here").await;
    let responses = read(&server, vec![digest_of(here.hash_hex(), 3)], &[])
        .await
        .unwrap();
    assert_eq!(code(&responses[0]), Code::NotFound as i32);
    assert!(responses[0].data.is_empty());
}
