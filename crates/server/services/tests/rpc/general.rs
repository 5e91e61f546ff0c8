//! What holds for every call.

use std::time::Duration;

use blob::Digest;
use futures::StreamExt;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::bytestream::{ReadRequest, WriteRequest};
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use reapi::execution::{FindMissingBlobsRequest, GetTreeRequest, SpliceBlobRequest, SplitBlobRequest};
use services::StorageOptions;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::support::*;

#[tokio::test]
async fn g3_reserved_malformed_and_unknown_instance_names_are_refused() {
    let server = Server::start().await;
    let bad = [
        "blobs",
        "a/uploads",
        "actions/b",
        "operations",
        "/",
        "a//b",
        "a/",
        "nobody",
        "..",
        "a\nb",
    ];
    for instance_name in bad.map(str::to_owned) {
        let request = FindMissingBlobsRequest {
            instance_name: instance_name.clone(),
            ..Default::default()
        };
        refused(
            server.cas().find_missing_blobs(request).await,
            Code::InvalidArgument,
        );
        let request = GetTreeRequest {
            instance_name,
            ..Default::default()
        };
        refused(server.cas().get_tree(request).await, Code::InvalidArgument);
    }
    let request = FindMissingBlobsRequest {
        instance_name: SLASHED.to_owned(),
        ..Default::default()
    };
    assert!(server.cas().find_missing_blobs(request).await.is_ok());
}

#[tokio::test]
async fn g11_malformed_request_metadata_does_not_fail_a_call() {
    let server = Server::start().await;
    let mut request = Request::new(FindMissingBlobsRequest::default());
    let header = "build.bazel.remote.execution.v2.requestmetadata-bin";
    request
        .metadata_mut()
        .insert_bin(header, MetadataValue::from_bytes(b"\xff\xff\xff not metadata"));
    assert!(server.cas().find_missing_blobs(request).await.is_ok());
}

#[tokio::test]
async fn g12_a_resource_name_header_must_agree() {
    let server = Server::start().await;
    let digest = server.put("hello").await;
    let name = format!("blobs/{digest}");
    let header = "build.bazel.remote.execution.v2.resource-name";
    for (value, code) in [
        (name.as_str(), Code::Ok),
        ("blobs/other/1", Code::InvalidArgument),
    ] {
        let mut request = Request::new(ReadRequest {
            resource_name: name.clone(),
            ..Default::default()
        });
        request.metadata_mut().insert(header, value.parse().unwrap());
        let read = server.byte_stream().read(request).await;
        assert_eq!(read.map_or_else(|status| status.code(), |_| Code::Ok), code);
        let absent = Digest::of(SHA256, b"absent");
        let upload = upload_name(&absent);
        let value = if code == Code::Ok {
            upload.clone()
        } else {
            value.to_owned()
        };
        let mut request = Request::new(tokio_stream::iter([message(&upload, 0, "absent", true)]));
        request.metadata_mut().insert(header, value.parse().unwrap());
        let written = server.byte_stream().write(request).await;
        assert_eq!(written.map_or_else(|status| status.code(), |_| Code::Ok), code);
    }
}

#[tokio::test]
async fn g14_oversized_requests_are_refused() {
    let server = Server::start().await;
    let digest = Digest::of(SHA256, b"x");
    let message: WriteRequest = message(&upload_name(&digest), 0, vec![0; 9 << 20], false);
    let status = server
        .byte_stream()
        .write(tokio_stream::iter([message]))
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status}"
    );
    // The connection lives on.
    assert!(
        server
            .cas()
            .find_missing_blobs(FindMissingBlobsRequest::default())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn b18_grpc_level_compression_is_understood_and_not_used_for_answers() {
    let server = Server::start().await;
    let content = noise(1, 100_000);
    let digest = Digest::of(SHA256, &content);
    let mut client = ByteStreamClient::new(server.channel.clone())
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let name = upload_name_as(&digest, 0, "compressed-blobs/zstd");
    let sent = zstd(&content);
    let response = client
        .write(tokio_stream::iter(messages(&name, &sent, 30_000)))
        .await
        .unwrap();
    assert_eq!(response.into_inner().committed_size, sent.len() as i64);
    assert_eq!(server.stored(&digest).await.unwrap(), content);
    let request = ReadRequest {
        resource_name: format!("blobs/{digest}"),
        ..Default::default()
    };
    let response = client.read(request).await.unwrap();
    assert_eq!(
        response
            .metadata()
            .get("grpc-encoding")
            .map(|value| value.as_bytes()),
        None
    );
}

#[tokio::test]
async fn k1_split_and_splice_are_unimplemented_as_the_capabilities_say() {
    let server = Server::start().await;
    refused(
        server.cas().split_blob(SplitBlobRequest::default()).await,
        Code::Unimplemented,
    );
    refused(
        server.cas().splice_blob(SpliceBlobRequest::default()).await,
        Code::Unimplemented,
    );
}

/// Many clients that stop reading in the middle do not keep others from being served, nor keep the budget of bytes.
#[tokio::test]
async fn readers_that_stop_reading_hold_up_nobody() {
    let options = StorageOptions {
        in_flight_bytes_max: 4 << 20,
        ..StorageOptions::default()
    };
    let server = Server::with(cas::memory(64 << 20), options).await;
    let digest = server.put(noise(1, 10_000_000)).await;
    let mut stuck = Vec::new();
    // Each on its own connection: on a shared one, the client's own window would be what is full.
    for _ in 0..20 {
        let channel = server.endpoint.connect().await.unwrap();
        let request = ReadRequest {
            resource_name: format!("blobs/{digest}"),
            ..Default::default()
        };
        let mut stream = ByteStreamClient::new(channel)
            .read(request)
            .await
            .unwrap()
            .into_inner();
        assert!(stream.next().await.unwrap().is_ok());
        stuck.push(stream);
    }
    let served = tokio::time::timeout(
        Duration::from_secs(30),
        server.read(&format!("blobs/{digest}"), 0, 0),
    )
    .await;
    assert_eq!(served.unwrap().unwrap().concat().len(), 10_000_000);
    let client = ContentAddressableStorageClient::new(server.channel.clone());
    assert!(
        client
            .clone()
            .find_missing_blobs(FindMissingBlobsRequest::default())
            .await
            .is_ok()
    );
    drop(stuck);
}
