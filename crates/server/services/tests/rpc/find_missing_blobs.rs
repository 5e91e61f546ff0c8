//! `ContentAddressableStorage.FindMissingBlobs`.

use std::collections::HashSet;

use blob::{Digest, DigestFunction};
use reapi::execution::{self as proto, FindMissingBlobsRequest, digest_function};
use tonic::{Code, Status};

use crate::support::*;

async fn find_missing(
    server: &Server,
    function: i32,
    digests: Vec<proto::Digest>,
) -> Result<Vec<proto::Digest>, Status> {
    let request = FindMissingBlobsRequest {
        blob_digests: digests,
        digest_function: function,
        ..Default::default()
    };
    // As a client with its default limits, in both directions.
    server
        .cas()
        .find_missing_blobs(request)
        .await
        .map(|response| response.into_inner().missing_blob_digests)
}

#[tokio::test]
async fn s1_exactly_the_absent_ones_and_duplicates_are_tolerated() {
    let server = Server::start().await;
    let here = server.put("here").await.to_proto();
    let absent = Digest::of(SHA256, b"absent").to_proto();
    let asked = vec![here.clone(), absent.clone(), absent.clone(), here];
    assert_eq!(find_missing(&server, 0, asked).await.unwrap(), [absent]);
    assert!(find_missing(&server, 0, vec![]).await.unwrap().is_empty());
}

#[tokio::test]
async fn s3_a_message_full_of_digests_is_served_in_one_call() {
    let server = Server::start().await;
    let digests: Vec<_> = (0..56_000)
        .map(|i: u32| Digest::of(SHA256, &i.to_le_bytes()).to_proto())
        .collect();
    let missing = find_missing(&server, 0, digests.clone()).await.unwrap();
    let hashes = |digests: &[proto::Digest]| {
        digests
            .iter()
            .map(|digest| digest.hash.clone())
            .collect::<HashSet<_>>()
    };
    assert_eq!(hashes(&missing), hashes(&digests));
    // Twice as many would not fit an answer.
    let too_many = (0..110_000)
        .map(|i: u32| Digest::of(SHA256, &i.to_le_bytes()).to_proto())
        .collect();
    refused(find_missing(&server, 0, too_many).await, Code::InvalidArgument);
}

#[tokio::test]
async fn g5_malformed_digests_are_refused_and_the_right_hash_with_another_size_is_missing() {
    let server = Server::start().await;
    for digest in malformed_digests() {
        refused(
            find_missing(&server, 0, vec![digest]).await,
            Code::InvalidArgument,
        );
    }
    let here = server.put("here").await;
    let wrong_size = digest_of(here.hash_hex(), 5);
    assert_eq!(
        find_missing(&server, 0, vec![wrong_size.clone()]).await.unwrap(),
        [wrong_size]
    );
}

#[tokio::test]
async fn g6_the_empty_blob_is_never_missing() {
    let server = Server::start().await;
    for function in DigestFunction::ALL {
        let empty = Digest::empty(function).to_proto();
        let missing = find_missing(&server, function.to_proto() as i32, vec![empty])
            .await
            .unwrap();
        assert!(missing.is_empty());
    }
}

#[tokio::test]
async fn g7_g8_a_call_has_one_digest_function_sha256_if_it_says_none() {
    let server = Server::start().await;
    let content = "the same bytes";
    let blake3 = server.put_as(BLAKE3, content).await;
    let [sha256_number, blake3_number] =
        [digest_function::Value::Sha256, digest_function::Value::Blake3].map(|f| f as i32);
    assert!(
        find_missing(&server, blake3_number, vec![blake3.to_proto()])
            .await
            .unwrap()
            .is_empty()
    );
    // The same hash under the other function names another blob.
    for number in [0, sha256_number] {
        assert_eq!(
            find_missing(&server, number, vec![blake3.to_proto()])
                .await
                .unwrap()
                .len(),
            1
        );
    }
    // Told by its length.
    let sha1 = digest_of("a".repeat(40), 1);
    for number in [0, digest_function::Value::Sha1 as i32] {
        assert_eq!(
            find_missing(&server, number, vec![sha1.clone()]).await.unwrap(),
            std::slice::from_ref(&sha1)
        );
    }
    // Two functions in one call.
    let both = vec![sha1, blake3.to_proto()];
    refused(find_missing(&server, 0, both).await, Code::InvalidArgument);
    refused(
        find_missing(
            &server,
            digest_function::Value::Vso as i32,
            vec![digest_of("a".repeat(66), 1)],
        )
        .await,
        Code::InvalidArgument,
    );
    refused(find_missing(&server, 4711, vec![]).await, Code::InvalidArgument);
}
