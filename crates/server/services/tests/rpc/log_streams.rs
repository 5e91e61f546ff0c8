//! `LogStreamService`, and ByteStream on its streams.

use bytes::Bytes;
use reapi::bytestream::{QueryWriteStatusRequest, ReadRequest, WriteRequest};
use reapi::logstream::log_stream_service_client::LogStreamServiceClient;
use reapi::logstream::{CreateLogStreamRequest, LogStream};
use services::limits::LOG_STREAM_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::*;

async fn create(server: &Server, parent: &str) -> Result<LogStream, Status> {
    let request = CreateLogStreamRequest {
        parent: parent.to_owned(),
    };
    let created = LogStreamServiceClient::new(server.channel.clone())
        .create_log_stream(request)
        .await?;
    Ok(created.into_inner())
}

async fn query(server: &Server, name: &str) -> Result<(i64, bool), Status> {
    let request = QueryWriteStatusRequest {
        resource_name: name.to_owned(),
    };
    let answer = server
        .byte_stream()
        .query_write_status(request)
        .await?
        .into_inner();
    Ok((answer.committed_size, answer.complete))
}

/// A reader that has not seen the end.
async fn open(server: &Server, name: &str, read_offset: i64) -> Streaming<reapi::bytestream::ReadResponse> {
    let request = ReadRequest {
        resource_name: name.to_owned(),
        read_offset,
        read_limit: 0,
    };
    server.byte_stream().read(request).await.unwrap().into_inner()
}

async fn append(server: &Server, stream: &LogStream, offset: usize, text: &str, finish: bool) -> i64 {
    let message = message(&stream.write_resource_name, offset, text.to_owned(), finish);
    server.write(vec![message]).await.unwrap().committed_size
}

#[tokio::test]
async fn l1_a_stream_is_written_by_its_secret_name_and_read_by_the_other() {
    let server = Server::start().await;
    for parent in ["", SLASHED] {
        let stream = create(&server, parent).await.unwrap();
        let prefix = if parent.is_empty() {
            String::new()
        } else {
            format!("{parent}/")
        };
        assert!(
            stream.name.starts_with(&format!("{prefix}logstreams/")),
            "{}",
            stream.name
        );
        let secret = stream
            .write_resource_name
            .strip_prefix(&format!("{}/", stream.name));
        assert_eq!(secret.unwrap().len(), 36);
        refused(
            server.read(&stream.write_resource_name, 0, 0).await,
            Code::InvalidArgument,
        );
        let by_read_name = message(&stream.name, 0, "x", true);
        refused(server.write(vec![by_read_name]).await, Code::InvalidArgument);
        let guessed = format!("{}/00000000-0000-4000-8000-000000000000", stream.name);
        refused(
            server.write(vec![message(&guessed, 0, "x", true)]).await,
            Code::NotFound,
        );
        refused(query(&server, &guessed).await, Code::NotFound);
        // The same stream is not in another instance.
        let elsewhere = format!("{WORKERS_ONLY}/{}", &stream.name[prefix.len()..]);
        refused(server.read(&elsewhere, 0, 0).await, Code::NotFound);
        assert_eq!(append(&server, &stream, 0, "log", true).await, 3);
        assert_eq!(server.read(&stream.name, 0, 0).await.unwrap().concat(), b"log");
    }
    refused(create(&server, "nobody").await, Code::InvalidArgument);
    refused(create(&server, "a//b").await, Code::InvalidArgument);
}

#[tokio::test]
async fn b19_names_of_log_streams_and_of_blobs_are_told_apart() {
    let server = Server::start().await;
    let unknown = "logstreams/00000000-0000-4000-8000-000000000000";
    refused(server.read(unknown, 0, 0).await, Code::NotFound);
    refused(
        server.read(&format!("{unknown}/stdout"), 0, 0).await,
        Code::NotFound,
    );
    for malformed in [
        "logstreams",
        "logstreams/x",
        "/logstreams/x",
        &format!("{unknown}/stdin"),
    ] {
        refused(server.read(malformed, 0, 0).await, Code::InvalidArgument);
        refused(
            server.write(vec![message(malformed, 0, "x", true)]).await,
            Code::InvalidArgument,
        );
        refused(query(&server, malformed).await, Code::InvalidArgument);
    }
    refused(
        server.read(&format!("nobody/{unknown}"), 0, 0).await,
        Code::InvalidArgument,
    );
    let digest = server.put("blob").await;
    assert_eq!(
        server
            .read(&format!("blobs/{digest}"), 0, 0)
            .await
            .unwrap()
            .concat(),
        b"blob"
    );
}

#[tokio::test]
async fn l2_readers_follow_what_is_written_until_it_is_finished() {
    let server = Server::start().await;
    let stream = create(&server, "").await.unwrap();
    let mut early = open(&server, &stream.name, 0).await;
    // One call that goes on, as a writer makes it.
    let (sender, receiver) = mpsc::channel::<WriteRequest>(1);
    let writing = async {
        let mut client = server.byte_stream();
        client
            .write(ReceiverStream::new(receiver))
            .await
            .unwrap()
            .into_inner()
    };
    let reading = async {
        sender
            .send(message(&stream.write_resource_name, 0, "one\n", false))
            .await
            .unwrap();
        assert_eq!(early.message().await.unwrap().unwrap().data, "one\n");
        assert_eq!(
            query(&server, &stream.write_resource_name).await.unwrap(),
            (4, false)
        );
        let mut late = open(&server, &stream.name, 2).await;
        assert_eq!(late.message().await.unwrap().unwrap().data, "e\n");
        // A limit ends a reader before the stream ends.
        assert_eq!(server.read(&stream.name, 1, 2).await.unwrap().concat(), b"ne");
        sender.send(message("", 4, "two\n", true)).await.unwrap();
        for reader in [&mut early, &mut late] {
            assert_eq!(reader.message().await.unwrap().unwrap().data, "two\n");
            assert!(reader.message().await.unwrap().is_none());
        }
        // The sender is dropped only now: `finish_write` is what ends the stream.
        drop(sender);
    };
    let (response, ()) = tokio::join!(writing, reading);
    assert_eq!(response.committed_size, 8);
    assert_eq!(
        query(&server, &stream.write_resource_name).await.unwrap(),
        (8, true)
    );
}

#[tokio::test]
async fn l2_what_is_committed_stays_and_offsets_must_fit() {
    let server = Server::start().await;
    let stream = create(&server, "").await.unwrap();
    let name = &stream.write_resource_name;
    assert_eq!(append(&server, &stream, 0, "one", false).await, 3);
    for wrong in [0, 2, 4] {
        refused(
            server.write(vec![message(name, wrong, "x", false)]).await,
            Code::OutOfRange,
        );
    }
    refused(
        server
            .write(vec![message(name, 3, "x", false), message("", 3, "x", false)])
            .await,
        Code::InvalidArgument,
    );
    // What came before the mistake is committed.
    assert_eq!(query(&server, name).await.unwrap(), (4, false));
    assert_eq!(append(&server, &stream, 4, "", true).await, 4);
    refused(
        server.write(vec![message(name, 4, "y", false)]).await,
        Code::FailedPrecondition,
    );
    assert_eq!(server.read(&stream.name, 0, 0).await.unwrap().concat(), b"onex");
    assert_eq!(server.read(&stream.name, 4, 0).await.unwrap().concat(), b"");
    refused(server.read(&stream.name, 5, 0).await, Code::OutOfRange);
    refused(server.read(&stream.name, -1, 0).await, Code::OutOfRange);
    refused(server.read(&stream.name, 0, -1).await, Code::InvalidArgument);
}

#[tokio::test]
async fn l3_a_finished_stream_is_a_blob() {
    let server = Server::start().await;
    let stream = create(&server, "").await.unwrap();
    let content = noise(1, 1_000_000);
    let log = messages(&stream.write_resource_name, &content, 100_000);
    assert_eq!(server.write(log).await.unwrap().committed_size, 1_000_000);
    let digest = blob::Digest::of(SHA256, &content);
    assert_eq!(server.stored(&digest).await.unwrap(), content);
    let read = server.read(&stream.name, 10, 999_000).await.unwrap().concat();
    assert!(read == content[10..999_010]);
}

#[tokio::test]
async fn l3_of_a_long_stream_the_newest_bytes_are_kept() {
    let server = Server::start().await;
    let stream = create(&server, "").await.unwrap();
    let content = noise(2, LOG_STREAM_BYTES_MAX + 3_000_000);
    let name = &stream.write_resource_name;
    let cut = content.len() - 1_000;
    let mut log = messages(name, &content.slice(..cut), 500_000);
    log.last_mut().unwrap().finish_write = false;
    assert_eq!(server.write(log).await.unwrap().committed_size as usize, cut);
    let dropped = refused(server.read(&stream.name, 0, 0).await, Code::OutOfRange);
    assert!(dropped.message().contains(&format!("to {cut}")), "{dropped}");
    let kept: Bytes = content.slice(4_000_000..);
    let mut reader = open(&server, &stream.name, 4_000_000).await;
    server
        .write(vec![message(name, cut, content.slice(cut..), true)])
        .await
        .unwrap();
    let mut read = Vec::new();
    while let Some(piece) = reader.message().await.unwrap() {
        read.extend_from_slice(&piece.data);
    }
    assert!(read == kept);
    // Also from the blob.
    refused(server.read(&stream.name, 0, 0).await, Code::OutOfRange);
    assert!(server.read(&stream.name, 4_000_000, 0).await.unwrap().concat() == kept);
}
