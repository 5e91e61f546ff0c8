//! What clients can make the server hold. Alone in its program, so that the memory seen is this test's; the clients are
//! in it too, which only makes the bound stricter.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    unreachable_pub,
    dead_code,
    reason = "the support is shared with the other test program"
)]

#[path = "rpc/support.rs"]
mod support;

use futures::future::join_all;
use reapi::bytestream::ReadRequest;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use services::StorageOptions;

use crate::support::*;

const STOPPED_READERS: u64 = 200;
const BLOB_BYTES: usize = 8 << 20;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// As grpc-java does it: windows and frames small.
async fn client(server: &Server) -> ByteStreamClient<tonic::transport::Channel> {
    let endpoint = server
        .endpoint
        .clone()
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(64 << 10);
    ByteStreamClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn readers_that_stop_and_readers_that_go_on_cost_little() {
    let server = Server::with(cas::memory(64 << 20), StorageOptions::default()).await;
    let digest = server.put(noise(1, BLOB_BYTES)).await;
    let requests = ["blobs", "compressed-blobs/zstd"].map(|form| ReadRequest {
        resource_name: format!("{form}/{digest}"),
        ..Default::default()
    });

    // A compressor of its own is what a compressed read costs besides its buffers.
    for (request, bytes_max) in requests.iter().zip([1 << 20, 2 << 20]) {
        let before = resident_bytes();
        let mut stuck = Vec::new();
        for _ in 0..STOPPED_READERS {
            let mut client = client(&server).await;
            stuck.push(client.read(request.clone()).await.unwrap().into_inner());
        }
        // While this one is served, the server does for the others what it can.
        let pieces = server.read(&request.resource_name, 0, 0).await.unwrap();
        assert!(pieces.iter().map(bytes::Bytes::len).sum::<usize>() >= BLOB_BYTES);
        drop(pieces);
        let held = resident_bytes().saturating_sub(before) / STOPPED_READERS;
        println!(
            "a stopped reader of {} holds {} KiB",
            request.resource_name,
            held / 1024
        );
        assert!(
            held < bytes_max,
            "{held} bytes a stopped reader of {}",
            request.resource_name
        );
    }

    let before = resident_bytes();
    let reads = (0..100).map(|i| {
        let (server, request) = (&server, requests[i % 2].clone());
        async move {
            let mut stream = client(server).await.read(request).await.unwrap().into_inner();
            let mut bytes = 0;
            while let Some(response) = stream.message().await.unwrap() {
                bytes += response.data.len();
            }
            assert!(bytes >= BLOB_BYTES);
        }
    });
    join_all(reads).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown < 100 << 20,
        "{} MiB more after 100 clients read 8 MiB each",
        grown >> 20
    );
    println!("100 clients that read 8 MiB each added {} MiB", grown >> 20);
}
