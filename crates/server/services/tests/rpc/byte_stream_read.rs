//! `ByteStream.Read`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, ByteRange, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use futures::StreamExt;
use reapi::bytestream::ReadRequest;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use services::StorageOptions;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn b1_g3_g4_names_of_every_form_and_instance() {
    let server = Server::start().await;
    let content = "hello";
    let sha256 = server.put(content).await;
    let blake3 = server.put_as(BLAKE3, content).await;
    let hash = sha256.hash_hex();
    let good = [
        format!("blobs/{hash}/5"),
        format!("{SLASHED}/blobs/{hash}/5"),
        format!("blobs/sha256/{hash}/5"),
        format!("blobs/blake3/{}/5", blake3.hash_hex()),
    ];
    for name in good {
        assert_eq!(
            server.read(&name, 0, 0).await.unwrap().concat(),
            content.as_bytes(),
            "{name}"
        );
    }
    let bad = [
        "".to_owned(),
        format!("/blobs/{hash}/5"),
        format!("//blobs/{hash}/5"),
        format!("blobs/{hash}"),
        format!("blobs/{hash}/5/extra"),
        format!("blobs/{hash}/05"),
        format!("blobs/{hash}/+5"),
        format!("blobs/{hash}/-1"),
        format!("blobs/{hash}/99999999999999999999"),
        format!("blobs/{}/5", hash.to_uppercase()),
        format!("blobs/sha1/{hash}/5"),
        format!("blobs/{hash}/0"),
        format!("uploads/blobs/{hash}/5"),
        format!("actions/blobs/{hash}/5"),
        format!("team//a/blobs/{hash}/5"),
        format!("nobody/blobs/{hash}/5"),
        "x".repeat(10_000),
    ];
    for name in bad {
        refused(server.read(&name, 0, 0).await, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn b2_only_known_compressors_and_identity_is_none() {
    let server = Server::start().await;
    let digest = server.put("hello").await;
    for compressor in ["identity", "deflate", "brotli", "ZSTD", ""] {
        let name = format!("compressed-blobs/{compressor}/{digest}");
        refused(server.read(&name, 0, 0).await, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn b14_offsets_and_limits() {
    let server = Server::start().await;
    let content = noise(1, 3_000_000);
    let digest = server.put(content.clone()).await;
    let name = format!("blobs/{digest}");
    let size = content.len() as i64;
    for (offset, limit) in [
        (0, 0),
        (0, 1),
        (1, 0),
        (7, 1_500_000),
        (size - 1, 0),
        (size - 1, 9),
        (0, size),
        (0, i64::MAX),
    ] {
        let end = if limit == 0 {
            size
        } else {
            size.min(offset.saturating_add(limit))
        };
        let read = server.read(&name, offset, limit).await.unwrap().concat();
        assert!(
            read == content[offset as usize..end as usize],
            "offset {offset} limit {limit}"
        );
    }
    assert!(server.read(&name, size, 0).await.unwrap().concat().is_empty());
    for offset in [-1, size + 1, i64::MIN, i64::MAX] {
        refused(server.read(&name, offset, 0).await, Code::OutOfRange);
    }
    refused(server.read(&name, 0, -1).await, Code::InvalidArgument);
    let absent = Digest::of(SHA256, b"absent");
    refused(
        server.read(&format!("blobs/{absent}"), 0, 0).await,
        Code::NotFound,
    );
    refused(
        server
            .read(&format!("compressed-blobs/zstd/{absent}"), 0, 0)
            .await,
        Code::NotFound,
    );
}

#[tokio::test]
async fn b15_a_compressed_read_is_complete_frames_of_the_rest() {
    let server = Server::start().await;
    let mut content = noise(2, 2_000_000).to_vec();
    content.extend(vec![b'x'; 3_000_000]);
    let content = Bytes::from(content);
    let digest = server.put(content.clone()).await;
    let name = format!("compressed-blobs/zstd/{digest}");
    for offset in [0, 1, 1_999_999, content.len() - 1, content.len()] {
        let sent = server.read(&name, offset as i64, 0).await.unwrap().concat();
        let rest = content.slice(offset..);
        // Also nothing is a frame: not every client takes no bytes for no bytes.
        assert!(!sent.is_empty() && (offset > 0 || sent.len() < 3_000_000));
        assert_eq!(
            compression::decompress_all(sent.into(), rest.len() as u64).unwrap(),
            rest,
            "offset {offset}"
        );
    }
    refused(server.read(&name, 0, 1).await, Code::InvalidArgument);
    refused(server.read(&name, 0, -1).await, Code::InvalidArgument);
    refused(
        server.read(&name, content.len() as i64 + 1, 0).await,
        Code::OutOfRange,
    );
    refused(server.read(&name, -1, 0).await, Code::OutOfRange);
}

#[tokio::test]
async fn b16_c7_whatever_form_it_came_in_it_goes_out_in_both() {
    let server = Server::start().await;
    for (seed, len) in [(0, 0), (1, 1), (2, 1000), (3, 1 << 20), (4, 6_000_000)] {
        for form in ["blobs", "compressed-blobs/zstd"] {
            let content = noise(seed + form.len() as u64, len);
            let digest = Digest::of(SHA256, &content);
            let sent = if form == "blobs" {
                content.clone()
            } else {
                zstd(&content)
            };
            let name = upload_name_as(&digest, 7, form);
            server.write(messages(&name, &sent, 1_000_000)).await.unwrap();
            assert_eq!(
                server
                    .read(&format!("blobs/{digest}"), 0, 0)
                    .await
                    .unwrap()
                    .concat(),
                content
            );
            let compressed = server
                .read(&format!("compressed-blobs/zstd/{digest}"), 0, 0)
                .await
                .unwrap()
                .concat();
            assert_eq!(
                compression::decompress_all(compressed.into(), len as u64).unwrap(),
                content
            );
        }
    }
}

#[tokio::test]
async fn g6_the_empty_blob_is_always_readable() {
    let server = Server::start().await;
    for function in DigestFunction::ALL {
        let empty = Digest::empty(function);
        assert!(
            server
                .read(&format!("blobs/{empty}"), 0, 0)
                .await
                .unwrap()
                .concat()
                .is_empty()
        );
        let compressed = server
            .read(&format!("compressed-blobs/zstd/{empty}"), 0, 0)
            .await
            .unwrap()
            .concat();
        assert!(
            compression::decompress_all(compressed.into(), 0)
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn g5_the_right_hash_with_another_size_is_not_served() {
    let server = Server::start().await;
    let hash = server.put("hello").await.hash_hex();
    for size in [1, 4, 6, i64::MAX] {
        refused(
            server.read(&format!("blobs/{hash}/{size}"), 0, 0).await,
            Code::NotFound,
        );
    }
}

#[tokio::test]
async fn g14_pieces_are_neither_tiny_nor_larger_than_a_message() {
    let server = Server::start().await;
    let digest = server.put(noise(3, 5_000_000)).await;
    let pieces = server.read(&format!("blobs/{digest}"), 0, 0).await.unwrap();
    let (_last, others) = pieces.split_last().unwrap();
    assert!(
        others
            .iter()
            .all(|piece| (64 * 1024..=1024 * 1024).contains(&piece.len()))
    );
}

#[tokio::test]
async fn b17_damage_is_an_error_never_a_short_or_wrong_answer() {
    let content = noise(4, 200_000);
    let digest = Digest::of(SHA256, &content);
    for damage in [Damage::Error, Damage::Short, Damage::Long, Damage::LongAtOnce] {
        let store = Damaged {
            content: content.clone(),
            damage,
        };
        let server = Server::with(Arc::new(store), StorageOptions::default()).await;
        for form in ["blobs", "compressed-blobs/zstd"] {
            refused(
                server.read(&format!("{form}/{digest}"), 0, 0).await,
                Code::DataLoss,
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Error,
    Short,
    Long,
    LongAtOnce,
}

/// A store that goes wrong while it is read.
struct Damaged {
    content: Bytes,
    damage: Damage,
}

#[async_trait]
impl BlobStore for Damaged {
    async fn get(&self, digest: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let first = Ok(self.content.slice(..100_000));
        let rest = self.content.slice(100_000..);
        let pieces = match self.damage {
            Damage::Error => vec![
                first,
                Err(BlobError::Corrupt {
                    digest: *digest,
                    reason: "a flipped bit".into(),
                }),
            ],
            Damage::Short => vec![first],
            Damage::Long => vec![first, Ok(rest), Ok("!".into())],
            Damage::LongAtOnce => vec![first, Ok([&rest[..], b"!"].concat().into())],
        };
        Ok(Some(futures::stream::iter(pieces).boxed()))
    }

    async fn put(&self, _: Blob) -> Result<(), StoreError> {
        Ok(())
    }

    async fn find_missing(&self, _: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(DigestSet::default())
    }
}

/// A store whose streams say whether they are still held.
struct Held {
    content: Bytes,
    streams: Arc<()>,
}

#[async_trait]
impl BlobStore for Held {
    async fn get(&self, _: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let (rest, stream) = (self.content.slice(range.offset as usize..), self.streams.clone());
        let pieces = (0..rest.len()).step_by(1 << 18).map(move |at| {
            let _held = &stream;
            Ok(rest.slice(at..rest.len().min(at + (1 << 18))))
        });
        Ok(Some(futures::stream::iter(pieces).boxed()))
    }

    async fn put(&self, _: Blob) -> Result<(), StoreError> {
        Ok(())
    }

    async fn find_missing(&self, _: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(DigestSet::default())
    }
}

#[tokio::test]
async fn whoever_stops_reading_is_told_later_and_holds_nothing_meanwhile() {
    let (content, streams) = (noise(9, 8 << 20), Arc::new(()));
    let digest = Digest::of(SHA256, &content);
    let store = Held {
        content: content.clone(),
        streams: streams.clone(),
    };
    let options = StorageOptions {
        read_idle_max: Duration::from_millis(500),
        ..StorageOptions::default()
    };
    let server = Server::with(Arc::new(store), options).await;
    // What is on its way to a client with these windows is far less than the blob.
    let endpoint = server.endpoint.clone().initial_stream_window_size(64 << 10);
    let endpoint = endpoint.initial_connection_window_size(64 << 10);
    let mut client = ByteStreamClient::new(endpoint.connect().await.unwrap());
    for form in ["blobs", "compressed-blobs/zstd"] {
        let request = ReadRequest {
            resource_name: format!("{form}/{digest}"),
            ..ReadRequest::default()
        };
        let mut answers = client.read(request).await.unwrap().into_inner();
        let first = answers.message().await.unwrap().unwrap();
        assert!(!first.data.is_empty());
        let is_free = async {
            while Arc::strong_count(&streams) > 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let freed = tokio::time::timeout(Duration::from_secs(20), is_free).await;
        assert!(freed.is_ok(), "{form}: the store's stream is still held");
        // It is back, and hears of it after what had been sent.
        let mut taken = first.data.len();
        let end = loop {
            match answers.message().await {
                Ok(Some(answer)) => taken += answer.data.len(),
                other => break other,
            }
        };
        assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
        assert!(taken < content.len());
    }
    // It goes on from there, and whoever goes on reading is never told so.
    let name = format!("blobs/{digest}");
    let rest = server.read(&name, 1 << 20, 0).await.unwrap().concat();
    assert!(rest == content[1 << 20..]);
}
