//! What is kept when the way to the server, the server, or the source of an upload fails.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, ByteRange, Digest, DigestFunction, DigestSet, InstanceName};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use cas_remote::{Compression, ConnectError, RemoteChannel, RemoteOptions};
use futures::stream::{self, StreamExt};
use services::StorageOptions;
use support::{Cable, RunningServer, connect};
use tokio::net::TcpListener;

const F: DigestFunction = DigestFunction::Sha256;

/// Bytes that no compressor makes smaller.
fn noise(seed: u64, size_bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes.into()
}

async fn whole(store: &dyn BlobStore, digest: &Digest) -> Option<Bytes> {
    cas::tree::read_all(store, digest, 1 << 30)
        .await
        .expect("get must not fail")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_bytes_survives_a_cut_cable() {
    for (seed, compression) in [(1, Compression::Never), (2, Compression::Always)] {
        let server = RunningServer::start(cas::memory(256 << 20)).await;
        let cable = Cable::to(server.address).await;
        let channel = connect(&cable.address.to_string(), compression).await;
        let store = channel.blob_store(InstanceName::default());
        let bytes = noise(seed, 40 << 20);
        let blob = Blob::from_bytes(F, bytes.clone());
        let digest = blob.digest();
        cable.cut_after(25 << 20);
        store.put(blob).await.expect("the upload is gone on with");
        assert_eq!(cable.cuts(), 1);
        assert!(whole(&*store, &digest).await.as_ref() == Some(&bytes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_where_the_cable_was_cut() {
    for (seed, compression) in [(1, Compression::Never), (2, Compression::Always)] {
        let inner = cas::memory(256 << 20);
        let server = RunningServer::start(inner.clone()).await;
        let cable = Cable::to(server.address).await;
        let channel = connect(&cable.address.to_string(), compression).await;
        let store = channel.blob_store(InstanceName::default());
        let bytes = noise(seed, 40 << 20);
        let blob = Blob::from_bytes(F, bytes.clone());
        let digest = blob.digest();
        inner.put(blob).await.unwrap();
        cable.cut_after(25 << 20);
        assert!(whole(&*store, &digest).await.as_ref() == Some(&bytes));
        assert_eq!(cable.cuts(), 1);
        // Also a range, whose end a compressed read could not tell.
        cable.cut_after(10 << 20);
        let range = ByteRange {
            offset: 7,
            limit: Some(30 << 20),
        };
        let mut stream = store.get(&digest, range).await.unwrap().unwrap();
        let mut read = Vec::new();
        while let Some(piece) = stream.next().await {
            read.extend_from_slice(&piece.expect("the download is gone on with"));
        }
        assert!(read == bytes[7..7 + (30 << 20)]);
        assert_eq!(cable.cuts(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_calls_survive_a_cut_cable() {
    let server = RunningServer::start(cas::memory(64 << 20)).await;
    let cable = Cable::to(server.address).await;
    let channel = connect(&cable.address.to_string(), Compression::Auto).await;
    let store = channel.blob_store(InstanceName::default());
    for seed in 0..20 {
        let blob = Blob::from_bytes(F, noise(seed, 1000));
        let digest = blob.digest();
        cable.cut_after(500);
        store.put(blob).await.expect("put is tried again");
        cable.cut_after(100);
        assert!(whole(&*store, &digest).await.is_some());
        cable.cut_after(50);
        assert!(
            store
                .find_missing(&DigestSet::from(digest))
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert!(cable.cuts() >= 40, "only {} cuts", cable.cuts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_found_again() {
    let inner = cas::memory(64 << 20);
    let server = RunningServer::start(inner.clone()).await;
    let address = server.address;
    let channel = connect(&address.to_string(), Compression::Auto).await;
    let store = channel.blob_store(InstanceName::default());
    let blob = Blob::from_bytes(F, noise(1, 100));
    let digest = blob.digest();
    store.put(blob).await.unwrap();
    drop(server);
    let reading = whole(&*store, &digest);
    let restarting = async {
        // Only to be sure that the call meets nobody first; the test holds either way.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        RunningServer::start_on(listener, inner.clone(), StorageOptions::default()).await
    };
    let (read, _server) = futures::future::join(reading, restarting).await;
    assert!(read.is_some());
}

#[tokio::test]
async fn an_upload_of_a_stream_is_not_tried_again_and_stores_nothing() {
    let inner = cas::memory(256 << 20);
    let server = RunningServer::start(inner.clone()).await;
    let cable = Cable::to(server.address).await;
    let channel = connect(&cable.address.to_string(), Compression::Never).await;
    let store = channel.blob_store(InstanceName::default());
    let bytes = noise(1, 20 << 20);
    let digest = Digest::of(F, &bytes);
    let pieces: Vec<Result<Bytes, BlobError>> = (0..20)
        .map(|at| Ok(bytes.slice(at << 20..(at + 1) << 20)))
        .collect();
    store.find_missing(&DigestSet::from(digest)).await.unwrap();
    cable.cut_after(10 << 20);
    let error = store
        .put(Blob::checked(digest, stream::iter(pieces)))
        .await
        .unwrap_err();
    assert!(
        !matches!(error, StoreError::Blob(_)),
        "the source is not to blame: {error}"
    );
    assert_eq!(cable.cuts(), 1);
    assert!(
        inner
            .find_missing(&DigestSet::from(digest))
            .await
            .unwrap()
            .contains(&digest)
    );
}

/// Returns bytes of the right length that are not the blob, as a broken server would.
struct Lying;

#[async_trait]
impl BlobStore for Lying {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let within = range
            .within(digest.size_bytes())
            .expect("the tests ask for what is inside");
        let bytes = Bytes::from(vec![b'?'; (within.end - within.start) as usize]);
        Ok(Some(stream::once(std::future::ready(Ok(bytes))).boxed()))
    }

    async fn put(&self, _blob: Blob) -> Result<(), StoreError> {
        Err(StoreError::NoSpace {
            size_bytes: 0,
            reason: "full on purpose".into(),
        })
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(digests.clone())
    }
}

#[tokio::test]
async fn a_whole_blob_from_a_lying_server_is_never_handed_out() {
    let server = RunningServer::start(Arc::new(Lying)).await;
    let store = server
        .connect(Compression::Auto)
        .await
        .blob_store(InstanceName::default());
    for size_bytes in [5, 100_000, 5 << 20] {
        let digest = Digest::of(F, &noise(1, size_bytes));
        let outcome = match store.get(&digest, ByteRange::FULL).await {
            Ok(Some(stream)) => {
                let pieces: Vec<_> = stream.collect().await;
                pieces.into_iter().find_map(Result::err).map(StoreError::from)
            }
            Ok(None) => panic!("not a miss"),
            Err(error) => Some(error),
        };
        assert!(outcome.is_some(), "{size_bytes} wrong bytes were handed out");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_said_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = RemoteChannel::connect(RemoteOptions::new(&address.to_string()))
        .await
        .err()
        .unwrap();
    assert!(matches!(&error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    let error = RemoteChannel::connect(RemoteOptions::new("https://x:1"))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, ConnectError::NobodyToTrust), "{error}");
    let mut options = RemoteOptions::new("x:1");
    options.token = Some("a\nb".into());
    assert!(matches!(
        RemoteChannel::connect(options).await.err().unwrap(),
        ConnectError::Header(_)
    ));
}

#[tokio::test]
async fn an_instance_that_is_not_served_is_an_error_and_no_miss() {
    let server = RunningServer::start(cas::memory(1 << 20)).await;
    let channel = server.connect(Compression::Auto).await;
    let store = channel.blob_store(InstanceName::new("nobody").unwrap());
    let digest = Digest::of(F, b"x");
    for error in [
        store.get(&digest, ByteRange::FULL).await.err().unwrap(),
        store.put(Blob::from_bytes(F, "x")).await.unwrap_err(),
        store.find_missing(&DigestSet::from(digest)).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("`nobody` is not served"), "{error}");
    }
}
