//! What a store does beyond the contract: packing, several writers, repair, uploads that end early.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use blob::{Blob, BlobError, Digest, DigestSet};
use bytes::Bytes;
use cas::StoreError;
use cas_object::{Clock, ObjectStorage, Options, over};
use futures::{StreamExt, TryStreamExt, future, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use support::flaky::Flaky;
use support::{F, blob_of, bytes_of, read};

async fn open(store: &Arc<InMemory>) -> ObjectStorage {
    open_with(store.clone(), Duration::ZERO).await
}

async fn open_with(store: Arc<dyn ObjectStore>, refresh_interval: Duration) -> ObjectStorage {
    let options = Options {
        refresh_interval,
        ..Options::default()
    };
    over(store, Path::from("x"), Clock::system(), options)
        .await
        .unwrap()
}

async fn objects(store: &InMemory, folder: &str) -> Vec<ObjectMeta> {
    let folder = Path::from(format!("x/{folder}"));
    store.list(Some(&folder)).try_collect().await.unwrap()
}

async fn put_many(storage: &ObjectStorage, seeds: std::ops::Range<u64>, size_bytes: usize) {
    let puts = seeds.map(|seed| storage.blobs.put(blob_of(seed, size_bytes)));
    future::try_join_all(puts).await.unwrap();
}

async fn missing_of(storage: &ObjectStorage, seeds: std::ops::Range<u64>, size_bytes: usize) -> usize {
    let digests: DigestSet = seeds.map(|seed| blob_of(seed, size_bytes).digest()).collect();
    storage.blobs.find_missing(&digests).await.unwrap().len()
}

#[tokio::test]
async fn small_blobs_travel_together_and_are_found_by_one_request() {
    let store = Arc::new(InMemory::new());
    let storage = open(&store).await;
    put_many(&storage, 0..1000, 500).await;
    let segments = objects(&store, "segments").await;
    assert!(
        segments.len() <= 10,
        "{} segments for a thousand blobs at once",
        segments.len()
    );
    assert_eq!(objects(&store, "blobs").await.len(), 0);
    let statistics = storage.statistics();
    assert_eq!((statistics.packed_blobs, statistics.blobs_packed), (1000, 1000));
    assert_eq!(missing_of(&storage, 0..1000, 500).await, 0);
    assert_eq!(
        storage.statistics().requests,
        statistics.requests,
        "it knows what it has just stored"
    );
    // Putting again costs nothing either.
    put_many(&storage, 0..1000, 500).await;
    assert_eq!(storage.statistics().requests, statistics.requests);
}

#[tokio::test]
async fn segments_have_a_bounded_size() {
    let store = Arc::new(InMemory::new());
    let storage = open(&store).await;
    put_many(&storage, 0..400, 60_000).await;
    for segment in objects(&store, "segments").await {
        assert!(
            segment.size < (8 << 20) + 65_536 + 400 * 60,
            "{} bytes",
            segment.size
        );
    }
    assert!(objects(&store, "segments").await.len() >= 3);
    assert_eq!(missing_of(&open(&store).await, 0..400, 60_000).await, 0);
}

#[tokio::test]
async fn what_was_packed_is_found_by_whoever_comes_later() {
    let store = Arc::new(InMemory::new());
    // More than one tail of a segment tells.
    put_many(&open(&store).await, 0..3000, 10).await;
    let later = open(&store).await;
    assert_eq!(missing_of(&later, 0..3000, 10).await, 0);
    for seed in [0, 1, 1500, 2999] {
        let bytes = bytes_of(seed, 10);
        assert_eq!(
            read(&*later.blobs, &Digest::of(F, &bytes))
                .await
                .unwrap()
                .as_deref(),
            Some(&bytes[..])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_writer_is_seen_after_the_refresh_interval_at_the_latest() {
    let store = Arc::new(InMemory::new());
    let writer = open(&store).await;
    let reader = open_with(store.clone(), Duration::from_secs(10)).await;
    put_many(&writer, 0..1, 100).await;
    assert_eq!(missing_of(&reader, 0..1, 100).await, 1, "it listed a moment ago");
    let requests = reader.statistics().requests;
    for _ in 0..100 {
        assert_eq!(missing_of(&reader, 0..1, 100).await, 1);
    }
    assert_eq!(
        reader.statistics().requests,
        requests,
        "misses are answered without listing again"
    );
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(missing_of(&reader, 0..1, 100).await, 0);
    let bytes = bytes_of(0, 100);
    assert_eq!(
        read(&*reader.blobs, &Digest::of(F, &bytes))
            .await
            .unwrap()
            .as_deref(),
        Some(&bytes[..])
    );
}

/// Each byte of each object is changed; nothing that is read is ever wrong, and a put repairs it.
#[tokio::test]
async fn damage_anywhere_is_a_miss_and_is_repaired() {
    let store = Arc::new(InMemory::new());
    for (seed, size_bytes) in [(1, 100), (2, 70_000)] {
        put_many(&open(&store).await, seed..seed + 1, size_bytes).await;
        let bytes = bytes_of(seed, size_bytes);
        let digest = Digest::of(F, &bytes);
        let folder = if size_bytes < 65_536 { "segments" } else { "blobs" };
        let object = objects(&store, folder).await.remove(0);
        let whole = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        // Whatever a put has added, so that the next round sees the damaged one only.
        let tidy = async || {
            for other in objects(&store, folder).await {
                if other.location != object.location {
                    store.delete(&other.location).await.unwrap();
                }
            }
        };
        let step = (whole.len() / 300).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut changed = whole.to_vec();
            changed[at] ^= 1 << (at % 8);
            store.put(&object.location, changed.into()).await.unwrap();
            let storage = open(&store).await;
            let read_back = read(&*storage.blobs, &digest).await.unwrap();
            assert!(
                read_back.is_none() || read_back.as_deref() == Some(&bytes[..]),
                "byte {at}"
            );
            if read_back.is_none() {
                assert!(storage.statistics().damaged > 0, "byte {at} is counted");
                assert_eq!(
                    missing_of(&storage, seed..seed + 1, size_bytes).await,
                    1,
                    "byte {at}"
                );
                put_many(&storage, seed..seed + 1, size_bytes).await;
                let repaired = read(&*storage.blobs, &digest).await.unwrap();
                assert_eq!(repaired.as_deref(), Some(&bytes[..]), "byte {at}");
            }
            tidy().await;
        }
        for cut in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
            store
                .put(&object.location, whole.slice(..cut).into())
                .await
                .unwrap();
            let storage = open(&store).await;
            assert_eq!(
                missing_of(&storage, seed..seed + 1, size_bytes).await,
                1,
                "cut at {cut}"
            );
            assert_eq!(
                read(&*storage.blobs, &digest).await.unwrap(),
                None,
                "cut at {cut}"
            );
            put_many(&storage, seed..seed + 1, size_bytes).await;
            assert_eq!(
                read(&*storage.blobs, &digest).await.unwrap().as_deref(),
                Some(&bytes[..]),
                "cut at {cut}"
            );
            tidy().await;
        }
    }
}

#[tokio::test]
async fn a_segment_cut_under_a_running_store_is_a_miss() {
    let store = Arc::new(InMemory::new());
    let storage = open(&store).await;
    put_many(&storage, 0..50, 1000).await;
    let object = objects(&store, "segments").await.remove(0);
    store
        .put(&object.location, Bytes::from_static(b"short").into())
        .await
        .unwrap();
    for seed in 0..50 {
        assert_eq!(
            read(&*storage.blobs, &blob_of(seed, 1000).digest())
                .await
                .unwrap(),
            None
        );
    }
    assert!(storage.statistics().damaged >= 50);
}

#[tokio::test]
async fn an_upload_in_parts_shows_nothing_until_it_is_proven() {
    let store = Arc::new(InMemory::new());
    let storage = open(&store).await;
    let size_bytes = (40 << 20) + 12_345;
    let bytes = bytes_of(1, size_bytes);
    let digest = Digest::of(F, &bytes);
    let pieces = |upto: usize| -> Vec<Result<Bytes, BlobError>> {
        let starts = (0..upto).step_by(1 << 20);
        starts
            .map(|at| Ok(bytes.slice(at..upto.min(at + (1 << 20)))))
            .collect()
    };
    for (what, body) in [
        ("too short", stream::iter(pieces(size_bytes - 1)).boxed()),
        (
            "failing at the end",
            stream::iter(pieces(size_bytes))
                .chain(stream::iter([Err(std::io::Error::other("x").into())]))
                .boxed(),
        ),
    ] {
        let result = storage.blobs.put(Blob::checked(digest, body)).await;
        assert!(matches!(result, Err(StoreError::Blob(_))), "{what}: {result:?}");
        assert_eq!(objects(&store, "blobs").await.len(), 0, "{what}");
    }
    storage
        .blobs
        .put(Blob::checked(digest, stream::iter(pieces(size_bytes))))
        .await
        .unwrap();
    assert!(read(&*storage.blobs, &digest).await.unwrap().as_deref() == Some(&bytes[..]));
}

/// What a cloud refuses now and then does not reach anybody; what it always refuses does, and says so.
#[tokio::test(start_paused = true)]
async fn failures_that_pass_are_tried_again_and_others_are_told() {
    let store = Arc::new(InMemory::new());
    let flaky = Arc::new(Flaky::over(store.clone()));
    let storage = open_with(flaky.clone(), Duration::ZERO).await;
    flaky.fail_every(Some(7));
    put_many(&storage, 0..200, 500).await;
    put_many(&storage, 0..20, 70_000).await;
    assert_eq!(
        missing_of(&storage, 0..200, 500).await + missing_of(&storage, 0..20, 70_000).await,
        0
    );
    assert!(storage.statistics().retries > 8);
    flaky.fail_every(Some(1));
    for size_bytes in [501, 70_001] {
        let put = storage.blobs.put(blob_of(1, size_bytes)).await;
        assert!(matches!(put, Err(StoreError::Unavailable { .. })), "{put:?}");
        let found = storage
            .blobs
            .find_missing(&DigestSet::from(blob_of(1, size_bytes).digest()))
            .await;
        assert!(matches!(found, Err(StoreError::Unavailable { .. })), "{found:?}");
    }
    flaky.fail_every(None);
    put_many(&storage, 1..2, 501).await;
    put_many(&storage, 1..2, 70_001).await;
    assert_eq!(missing_of(&open(&store).await, 1..2, 501).await, 0);
}

#[tokio::test]
async fn closing_stores_what_is_on_its_way_and_refuses_what_comes_after() {
    let store = Arc::new(InMemory::new());
    let storage = open(&store).await;
    let puts = future::join_all((0..100).map(|seed| storage.blobs.put(blob_of(seed, 100))));
    let (puts, closed) = future::join(puts, async {
        tokio::task::yield_now().await;
        storage.close().await
    })
    .await;
    assert!(closed, "it ends in time");
    let acknowledged = puts.iter().filter(|put| put.is_ok()).count();
    assert_eq!(
        100 - missing_of(&open(&store).await, 0..100, 100).await,
        acknowledged
    );
    let late = storage.blobs.put(blob_of(1000, 100)).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })), "{late:?}");
}
