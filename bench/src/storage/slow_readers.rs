//! Streams that stop reading: what each of them makes the server hold.

use std::time::Duration;

use anyhow::{Context, Result};
use blob::Digest;
use futures::StreamExt;
use reapi::bytestream::ReadRequest;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use tonic::transport::Endpoint;

use super::figure::{Aim, figure, figures};
use super::peer::{Kind, Peer};
use super::requests::random;
use crate::client::{Client, FUNCTION};

const STREAMS: usize = 2000;
/// Few enough for every server's limit, and for its and our open files.
const STREAMS_PER_CONNECTION: usize = 4;
const SIZE_BYTES: usize = 64 << 20;
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// What HTTP/2 offers by default: the client must not be the one who holds it all.
const WINDOW_BYTES: u32 = 65_535;
/// Until the server has read ahead whatever it reads ahead.
const SETTLING: Duration = Duration::from_secs(5);
/// A message of a megabyte is what a stream may hold.
const STREAM_KIBIBYTES_AIM: f64 = 1024.0;

pub(crate) async fn run() -> Result<()> {
    let peer = Peer::start(Kind::Farrier).await?;
    let client = Client::connect(&peer.endpoint(), 1 << 20).await?;
    let data = random(1, SIZE_BYTES);
    let digest = Digest::of(FUNCTION, &data);
    client.write(digest, data).await?;
    // A first pass, so that what stays for the next reader is there before the measurement.
    client.read(digest).await?;
    let before = peer.resident_bytes()?;
    let mut stuck = Vec::new();
    for connection in 0..STREAMS / STREAMS_PER_CONNECTION {
        let channel = Endpoint::from_shared(peer.endpoint())?
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * STREAMS_PER_CONNECTION as u32)
            .connect()
            .await?;
        for _ in 0..STREAMS_PER_CONNECTION {
            let mut client =
                ByteStreamClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
            let request = ReadRequest {
                resource_name: format!("blobs/{digest}"),
                ..Default::default()
            };
            let stream = client
                .read(request)
                .await
                .with_context(|| format!("no stream on connection {connection}"))?
                .into_inner();
            stuck.push(stream);
        }
    }
    tokio::time::sleep(SETTLING).await;
    let held = peer.resident_bytes()?.saturating_sub(before) as f64;
    // Another client must not notice.
    let served = client.read(digest).await? == SIZE_BYTES as u64;
    let finished = match stuck.pop() {
        Some(mut stream) => {
            let mut size_bytes = 0;
            while let Some(response) = stream.next().await.transpose()? {
                size_bytes += response.data.len();
            }
            size_bytes == SIZE_BYTES
        }
        None => false,
    };
    figures();
    figure(
        &format!("KiB held for each of {STREAMS} streams that do not read"),
        &[held / 1024.0 / STREAMS as f64],
        &[],
        Aim::AtMost(STREAM_KIBIBYTES_AIM),
    );
    println!(
        "\nAnother reader meanwhile: {}; one of them that went on: {}.",
        if served { "served" } else { "NOT served" },
        if finished { "finished" } else { "NOT finished" }
    );
    Ok(())
}
