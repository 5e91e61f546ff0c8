//! Our store for object storage on moto's S3 server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use blob::{Blob, ByteRange, Digest, DigestFunction, DigestSet};
use cas_object::{Credentials, ObjectStorage, Options, open};
use e2e::moto::Moto;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

const F: DigestFunction = DigestFunction::Sha256;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn options(moto: &Moto) -> Options {
    Options {
        endpoint: Some(moto.http_url()),
        path_style: true,
        allow_http: true,
        credentials: Credentials::Aws {
            access_key_id: "any".into(),
            secret_access_key: "any".into(),
            session_token: None,
        },
        refresh_interval: Duration::ZERO,
        collection_grace: Duration::ZERO,
        ..Options::default()
    }
}

fn bytes_of(seed: u8, size_bytes: usize) -> Vec<u8> {
    (0..size_bytes).map(|at| (at / 256 + at) as u8 ^ seed).collect()
}

async fn read(storage: &ObjectStorage, digest: &Digest) -> Option<Vec<u8>> {
    let stream = storage.blobs.get(digest, ByteRange::FULL).await.unwrap()?;
    let pieces: Vec<_> = stream.try_collect().await.unwrap();
    Some(pieces.concat())
}

/// The rules that the store relies on: an object is created once, whoever comes second is refused and changes nothing.
#[tokio::test]
async fn creating_is_conditional() {
    let moto = Moto::start().unwrap();
    moto.make_bucket("bucket").unwrap();
    let store = AmazonS3Builder::new()
        .with_endpoint(moto.http_url())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id("any")
        .with_secret_access_key("any")
        .build()
        .unwrap();
    let path = Path::from("once");
    store
        .put_opts(&path, "first".into(), PutMode::Create.into())
        .await
        .unwrap();
    let second = store
        .put_opts(&path, "second".into(), PutMode::Create.into())
        .await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
}

/// Small and large blobs and one in parts, written by one process and read by another, then collected.
#[tokio::test]
async fn blobs_are_shared_and_collected() {
    let moto = Moto::start().unwrap();
    moto.make_bucket("bucket").unwrap();
    let one = open("s3://bucket/some/where", options(&moto)).await.unwrap();
    let other = open("s3://bucket/some/where", options(&moto)).await.unwrap();
    let mut digests = Vec::new();
    for (seed, size_bytes) in [(1, 10), (2, 60_000), (3, 70_000), (4, 3_000_000), (5, 17 << 20)] {
        let bytes = bytes_of(seed, size_bytes);
        let blob = Blob::from_bytes(F, bytes.clone());
        let digest = blob.digest();
        one.blobs.put(blob).await.unwrap();
        // There already, so not sent again, or refused by the server and fine.
        other.blobs.put(Blob::from_bytes(F, bytes.clone())).await.unwrap();
        for storage in [&one, &other] {
            assert!(
                read(storage, &digest).await.as_deref() == Some(&bytes[..]),
                "{size_bytes} bytes"
            );
        }
        digests.push(digest);
    }
    let all: DigestSet = digests.iter().copied().collect();
    assert!(other.blobs.find_missing(&all).await.unwrap().is_empty());

    let soon = one.collector.collect(SystemTime::now(), DAY).await.unwrap();
    assert_eq!((soon.condemned, soon.removed), (0, 0), "{soon:?}");
    let later = SystemTime::now() + 3 * DAY;
    assert!(one.collector.collect(later, DAY).await.unwrap().condemned >= 4);
    let done = one
        .collector
        .collect(later + Duration::from_secs(1), DAY)
        .await
        .unwrap();
    assert!(done.removed >= 4, "{done:?}");
    let anew = open("s3://bucket/some/where", options(&moto)).await.unwrap();
    assert_eq!(anew.blobs.find_missing(&all).await.unwrap(), all);
}
