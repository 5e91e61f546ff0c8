//! `ByteStream.QueryWriteStatus`.

use blob::Digest;
use reapi::bytestream::QueryWriteStatusRequest;
use tonic::{Code, Status};

use crate::support::*;

async fn query(server: &Server, name: &str) -> Result<(i64, bool), Status> {
    let request = QueryWriteStatusRequest {
        resource_name: name.to_owned(),
    };
    let response = server
        .byte_stream()
        .query_write_status(request)
        .await?
        .into_inner();
    Ok((response.committed_size, response.complete))
}

#[tokio::test]
async fn b12_complete_partial_and_unknown() {
    let server = Server::start().await;
    let content = noise(1, 1000);
    let digest = Digest::of(SHA256, &content);
    let name = upload_name(&digest);
    assert_eq!(query(&server, &name).await.unwrap(), (0, false));
    // Ends without finish_write: what came is kept.
    let response = server
        .write(vec![message(&name, 0, content.slice(..400), false)])
        .await
        .unwrap();
    assert_eq!(response.committed_size, 400);
    assert_eq!(query(&server, &name).await.unwrap(), (400, false));
    // Another upload id is another upload; trailing metadata is not part of the name.
    assert_eq!(
        query(&server, &upload_name_as(&digest, 1, "blobs"))
            .await
            .unwrap(),
        (0, false)
    );
    assert_eq!(
        query(&server, &format!("{name}/some/file.txt")).await.unwrap(),
        (400, false)
    );
    server
        .write(vec![message(&name, 400, content.slice(400..), true)])
        .await
        .unwrap();
    for form in ["blobs", "compressed-blobs/zstd"] {
        assert_eq!(
            query(&server, &upload_name_as(&digest, 9, form)).await.unwrap(),
            (1000, true)
        );
    }
}

#[tokio::test]
async fn b12_compressed_uploads_count_uncompressed_bytes() {
    let server = Server::start().await;
    let content = noise(2, 3_000_000);
    let digest = Digest::of(SHA256, &content);
    let name = upload_name_as(&digest, 0, "compressed-blobs/zstd");
    let half = zstd(&content.slice(..1_500_000));
    let response = server.write(vec![message(&name, 0, half, false)]).await.unwrap();
    assert_eq!(response.committed_size, 1_500_000);
    assert_eq!(query(&server, &name).await.unwrap(), (1_500_000, false));
}

#[tokio::test]
async fn b12_the_empty_blob_is_complete_and_bad_names_are_refused() {
    let server = Server::start().await;
    assert_eq!(
        query(&server, &upload_name(&Digest::empty(SHA256)))
            .await
            .unwrap(),
        (0, true)
    );
    let digest = Digest::of(SHA256, b"x");
    for name in [
        "".to_owned(),
        format!("blobs/{digest}"),
        format!("uploads/no-uuid/blobs/{digest}"),
    ] {
        refused(query(&server, &name).await, Code::InvalidArgument);
    }
    refused(
        query(&server, &format!("nobody/{}", upload_name(&digest))).await,
        Code::InvalidArgument,
    );
}
