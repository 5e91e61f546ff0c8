//! `ByteStream.Write`. What needs control of single messages or of time is beside the code, in
//! `src/byte_stream/write/tests.rs`.

use blob::{Digest, DigestFunction};
use bytes::Bytes;
use futures::future::join_all;
use reapi::bytestream::WriteRequest;
use services::StorageOptions;
use tonic::Code;

use crate::support::*;

/// Uploads of these sizes take each path: none, one message, several.
const LENGTHS: [usize; 4] = [1, 1000, 1 << 20, 5_000_000];

#[tokio::test]
async fn b1_b9_plain_uploads_of_every_size_commit_their_size() {
    let server = Server::start().await;
    for (seed, len) in LENGTHS.into_iter().enumerate() {
        for piece_len in [100_000, 4 << 20] {
            let content = noise((seed * 2 + piece_len) as u64, len);
            let digest = Digest::of(SHA256, &content);
            let response = server
                .write(messages(&upload_name(&digest), &content, piece_len))
                .await
                .unwrap();
            assert_eq!(response.committed_size, len as i64);
            assert_eq!(server.stored(&digest).await.unwrap(), content);
        }
    }
}

#[tokio::test]
async fn b1_b9_compressed_uploads_of_every_size_commit_the_bytes_sent() {
    let server = Server::start().await;
    for (seed, len) in LENGTHS.into_iter().enumerate() {
        for piece_len in [100_000, 4 << 20] {
            let content = noise((seed * 2 + piece_len) as u64, len);
            let digest = Digest::of(SHA256, &content);
            let sent = zstd(&content);
            let name = upload_name_as(&digest, 0, "compressed-blobs/zstd");
            let response = server.write(messages(&name, &sent, piece_len)).await.unwrap();
            assert_eq!(response.committed_size, sent.len() as i64);
            assert_eq!(server.stored(&digest).await.unwrap(), content);
        }
    }
}

#[tokio::test]
async fn b1_b4_names_of_every_form() {
    let server = Server::start().await;
    let prefix = "uploads/00000000-0000-4000-8000-000000000000";
    for (seed, (instance, rest)) in [
        ("", ""),
        (SLASHED, ""),
        ("", "/a"),
        ("", "/any/number/of segments/blobs/x"),
        (SLASHED, "/main.o"),
    ]
    .into_iter()
    .enumerate()
    {
        let content = noise(seed as u64, 100);
        let slash = if instance.is_empty() { "" } else { "/" };
        for function in DigestFunction::ALL {
            let digest = Digest::of(function, &content);
            let name = format!(
                "{instance}{slash}{prefix}/blobs/{}/{}/100{rest}",
                function.name(),
                digest.hash_hex()
            );
            server
                .write(vec![message(&name, 0, content.clone(), true)])
                .await
                .unwrap();
            assert_eq!(server.stored(&digest).await.unwrap(), content, "{name}");
        }
    }
    let digest = Digest::of(SHA256, b"x");
    let bad = [
        "".to_owned(),
        format!("blobs/{digest}"),
        format!("/{prefix}/blobs/{digest}"),
        format!("uploads/blobs/{digest}"),
        format!("uploads/not-a-uuid/blobs/{digest}"),
        format!("{prefix}/blobs/{}/0", digest.hash_hex()),
        format!("{prefix}/compressed-blobs/{digest}"),
        format!("{prefix}/compressed-blobs/identity/{digest}"),
        format!("{prefix}/compressed-blobs/brotli/{digest}"),
        format!("nobody/{prefix}/blobs/{digest}"),
    ];
    for name in bad {
        refused(
            server.write(vec![message(&name, 0, "x", true)]).await,
            Code::InvalidArgument,
        );
    }
    refused(server.write(vec![]).await, Code::InvalidArgument);
}

#[tokio::test]
async fn b3_one_upload_id_for_many_blobs() {
    let server = Server::start().await;
    let uploads = (0..20).map(|seed| {
        let content = noise(seed, 300_000);
        let digest = Digest::of(SHA256, &content);
        let messages = messages(&upload_name(&digest), &content, 50_000);
        let server = &server;
        async move {
            server.write(messages).await.unwrap();
            assert_eq!(server.stored(&digest).await.unwrap(), content);
        }
    });
    join_all(uploads).await;
}

#[tokio::test]
async fn b5_the_name_may_be_repeated_but_not_changed() {
    let server = Server::start().await;
    let content = noise(1, 100);
    let digest = Digest::of(SHA256, &content);
    let name = upload_name(&digest);
    let other = upload_name_as(&digest, 1, "blobs");
    let changed = vec![
        message(&name, 0, content.slice(..50), false),
        message(&other, 50, content.slice(50..), true),
    ];
    refused(server.write(changed).await, Code::InvalidArgument);
    assert_eq!(server.stored(&digest).await, None);
    let repeated = vec![
        message(&name, 0, content.slice(..50), false),
        message(&name, 50, content.slice(50..), true),
    ];
    server.write(repeated).await.unwrap();
    assert_eq!(server.stored(&digest).await.unwrap(), content);
}

#[tokio::test]
async fn b6_wrong_offsets_are_refused() {
    let server = Server::start().await;
    let content = noise(1, 100);
    let digest = Digest::of(SHA256, &content);
    let name = upload_name(&digest);
    let first = message(&name, 0, content.slice(..50), false);
    for (offset, code) in [
        (49, Code::InvalidArgument),
        (51, Code::InvalidArgument),
        (0, Code::InvalidArgument),
    ] {
        let messages = vec![first.clone(), message("", offset, content.slice(50..), true)];
        refused(server.write(messages).await, code);
        assert_eq!(server.stored(&digest).await, None);
    }
    for offset in [1, 50, 100, 101] {
        refused(
            server.write(vec![message(&name, offset, "x", true)]).await,
            Code::OutOfRange,
        );
    }
    let negative = WriteRequest {
        write_offset: -1,
        ..message(&name, 0, "x", true)
    };
    refused(server.write(vec![negative]).await, Code::InvalidArgument);
}

#[tokio::test]
async fn b6_an_upload_goes_on_where_it_stopped_or_from_the_start() {
    let server = Server::start().await;
    for (seed, from) in [(1, 60), (2, 0), (3, 20)] {
        let content = noise(seed, 100);
        let digest = Digest::of(SHA256, &content);
        let name = upload_name(&digest);
        let response = server
            .write(vec![message(&name, 0, content.slice(..60), false)])
            .await
            .unwrap();
        assert_eq!(response.committed_size, 60);
        refused(
            server
                .write(vec![message(&name, 61, content.slice(61..), true)])
                .await,
            Code::OutOfRange,
        );
        // The refusal has not harmed it.
        let response = server
            .write(vec![message(&name, from, content.slice(from..), true)])
            .await
            .unwrap();
        assert_eq!(response.committed_size, 100);
        assert_eq!(server.stored(&digest).await.unwrap(), content);
    }
}

#[tokio::test]
async fn b7_a_compressed_upload_goes_on_at_an_uncompressed_offset() {
    let server = Server::start().await;
    let content = noise(1, 1_000_000);
    let digest = Digest::of(SHA256, &content);
    let name = upload_name_as(&digest, 0, "compressed-blobs/zstd");
    let response = server
        .write(vec![message(&name, 0, zstd(&content.slice(..400_000)), false)])
        .await
        .unwrap();
    assert_eq!(response.committed_size, 400_000);
    let rest = zstd(&content.slice(400_000..));
    let half = rest.len() / 2;
    let wrong = vec![
        message(&name, 400_000, rest.slice(..half), false),
        // Offsets count compressed bytes after the first.
        message("", 700_000, rest.slice(half..), true),
    ];
    refused(server.write(wrong).await, Code::InvalidArgument);
    // A client's mistake ends the upload; it begins again.
    server
        .write(vec![message(&name, 0, zstd(&content.slice(..400_000)), false)])
        .await
        .unwrap();
    let messages = vec![
        message(&name, 400_000, rest.slice(..half), false),
        message("", 400_000 + half, rest.slice(half..), true),
    ];
    let response = server.write(messages).await.unwrap();
    assert_eq!(response.committed_size, 400_000 + rest.len() as i64);
    assert_eq!(server.stored(&digest).await.unwrap(), content);
}

#[tokio::test]
async fn b8_without_finish_write_nothing_is_stored() {
    let server = Server::start().await;
    let content = noise(1, 100);
    let digest = Digest::of(SHA256, &content);
    let name = upload_name(&digest);
    let some = server
        .write(vec![message(&name, 0, content.slice(..50), false)])
        .await
        .unwrap();
    assert_eq!(some.committed_size, 50);
    // All bytes without the end are not an upload, and must not look like one.
    refused(
        server
            .write(vec![message(&name, 0, content.clone(), false)])
            .await,
        Code::InvalidArgument,
    );
    assert_eq!(server.stored(&digest).await, None);
    // The end may still come.
    let response = server.write(vec![message(&name, 100, "", true)]).await.unwrap();
    assert_eq!(response.committed_size, 100);
    assert_eq!(server.stored(&digest).await.unwrap(), content);
}

#[tokio::test]
async fn b9_s7_what_is_there_ends_the_call_at_once() {
    let server = Server::start().await;
    let content = noise(1, 5_000_000);
    let digest = server.put(content.clone()).await;
    let first = |form| message(&upload_name_as(&digest, 0, form), 0, content.slice(..100), false);
    // The rest never comes, and is not waited for.
    for (form, committed_size) in [("blobs", 5_000_000), ("compressed-blobs/zstd", -1)] {
        let messages =
            tokio_stream::StreamExt::chain(tokio_stream::iter([first(form)]), tokio_stream::pending());
        let response = server.byte_stream().write(messages).await.unwrap().into_inner();
        assert_eq!(response.committed_size, committed_size);
    }
    // Nor does the whole stream, when it comes, hurt.
    let response = server
        .write(messages(&upload_name(&digest), &content, 100_000))
        .await
        .unwrap();
    assert_eq!(response.committed_size, 5_000_000);
}

#[tokio::test]
async fn g6_the_empty_blob_can_be_written_in_every_form() {
    let server = Server::start().await;
    for function in DigestFunction::ALL {
        let empty = Digest::empty(function);
        let plain = server
            .write(vec![message(&upload_name(&empty), 0, "", true)])
            .await
            .unwrap();
        assert_eq!(plain.committed_size, 0);
        let name = upload_name_as(&empty, 0, "compressed-blobs/zstd");
        for data in [Bytes::new(), zstd(&Bytes::new())] {
            assert_eq!(
                server
                    .write(vec![message(&name, 0, data, true)])
                    .await
                    .unwrap()
                    .committed_size,
                -1
            );
        }
    }
}

#[tokio::test]
async fn b10_wrong_bytes_are_refused_and_nothing_is_stored() {
    let server = Server::start().await;
    for len in [100, 1_000_000] {
        let content = noise(1, len);
        let digest = Digest::of(SHA256, &content);
        let mut flipped = content.to_vec();
        flipped[len / 2] ^= 1;
        let too_long: Bytes = [&content[..], b"!"].concat().into();
        for wrong in [flipped.into(), content.slice(..len - 1), too_long, Bytes::new()] {
            for piece_len in [len, len / 3] {
                let plain = messages(&upload_name(&digest), &wrong, piece_len);
                refused(server.write(plain).await, Code::InvalidArgument);
                let name = upload_name_as(&digest, 0, "compressed-blobs/zstd");
                let compressed = messages(&name, &zstd(&wrong), piece_len);
                refused(server.write(compressed).await, Code::InvalidArgument);
            }
        }
        assert_eq!(server.stored(&digest).await, None);
    }
}

#[tokio::test]
async fn b10_damaged_zstd_is_refused_and_nothing_is_stored() {
    let server = Server::start().await;
    let content = noise(2, 1_000_000);
    let digest = Digest::of(SHA256, &content);
    let whole = zstd(&content);
    let name = upload_name_as(&digest, 0, "compressed-blobs/zstd");
    let trailing: Bytes = [&whole[..], b"trailing garbage"].concat().into();
    let bomb = zstd(&vec![0; 200 << 20].into());
    for wrong in [
        content.clone(),
        whole.slice(..whole.len() - 1),
        trailing,
        bomb,
        Bytes::new(),
    ] {
        for piece_len in [1 << 20, 50_000] {
            refused(
                server.write(messages(&name, &wrong, piece_len)).await,
                Code::InvalidArgument,
            );
        }
    }
    assert_eq!(server.stored(&digest).await, None);
    // Frames one after the other are one stream.
    let two: Bytes = [zstd(&content.slice(..10)), zstd(&content.slice(10..))]
        .concat()
        .into();
    server.write(messages(&name, &two, 50_000)).await.unwrap();
    assert_eq!(server.stored(&digest).await.unwrap(), content);
}

#[tokio::test]
async fn b11_too_large_is_refused_on_the_first_message() {
    let options = StorageOptions {
        blob_size_bytes_max: 1000,
        ..StorageOptions::default()
    };
    let server = Server::with(cas::memory(1 << 20), options).await;
    let [allowed, refused_content] = [noise(1, 1000), noise(1, 1001)];
    let digest = Digest::of(SHA256, &refused_content);
    let first = message(&upload_name(&digest), 0, refused_content.slice(..1), false);
    let messages_without_end =
        tokio_stream::StreamExt::chain(tokio_stream::iter([first]), tokio_stream::pending());
    let status = refused(
        server.byte_stream().write(messages_without_end).await,
        Code::InvalidArgument,
    );
    assert!(status.message().contains("max_cas_blob_size_bytes"), "{status}");
    let digest = Digest::of(SHA256, &allowed);
    server
        .write(messages(&upload_name(&digest), &allowed, 300))
        .await
        .unwrap();
}

#[tokio::test]
async fn b13_concurrent_writes_of_one_blob_all_succeed() {
    let server = Server::start().await;
    let content = noise(1, 2_000_000);
    let digest = Digest::of(SHA256, &content);
    let compressed = zstd(&content);
    let writes = (0..100).map(|i| {
        // Some share an upload id, some are compressed, some come in one message.
        let (form, sent) = if i % 3 == 0 {
            ("compressed-blobs/zstd", &compressed)
        } else {
            ("blobs", &content)
        };
        let name = upload_name_as(&digest, i % 40, form);
        let messages = messages(&name, sent, [50_000, 1 << 20, 4 << 20][i as usize % 3]);
        let server = &server;
        async move {
            (
                form,
                sent.len() as i64,
                server.write(messages).await.unwrap().committed_size,
            )
        }
    });
    for (form, sent_bytes, committed_size) in join_all(writes).await {
        let early = if form == "blobs" { 2_000_000 } else { -1 };
        assert!(
            committed_size == sent_bytes || committed_size == early,
            "{form}: {committed_size}"
        );
    }
    assert_eq!(server.stored(&digest).await.unwrap(), content);
}

/// A connection that breaks at any point leaves either nothing or something that can be gone on with.
#[tokio::test]
async fn b6_b12_a_broken_connection_is_resumed_at_the_committed_size() {
    let server = Server::start().await;
    for (seed, sent_len) in [1, 100_000, 700_000, 999_999].into_iter().enumerate() {
        let content = noise(seed as u64, 1_000_000);
        let digest = Digest::of(SHA256, &content);
        let name = upload_name(&digest);
        let query = reapi::bytestream::QueryWriteStatusRequest {
            resource_name: name.clone(),
        };
        let sent = messages(&name, &content.slice(..sent_len), 100_000);
        let sent = sent.into_iter().map(|message| WriteRequest {
            finish_write: false,
            ..message
        });
        let call = {
            let messages = tokio_stream::StreamExt::chain(tokio_stream::iter(sent), tokio_stream::pending());
            let channel = server.endpoint.connect().await.unwrap();
            let mut client = reapi::bytestream::byte_stream_client::ByteStreamClient::new(channel);
            async move { client.write(messages).await }
        };
        // Waits until all of it has arrived, then cuts the connection by dropping the call.
        tokio::select! {
            result = call => panic!("the call ended: {result:?}"),
            () = async {
                while server.byte_stream().query_write_status(query.clone()).await.unwrap().into_inner().committed_size
                    < sent_len as i64
                {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        // At once: the server may not have noticed yet, then this call takes over.
        let rest = message(&name, sent_len, content.slice(sent_len..), true);
        let response = server.write(vec![rest]).await.unwrap();
        assert_eq!(response.committed_size, 1_000_000);
        assert_eq!(server.stored(&digest).await.unwrap(), content);
    }
}
