//! Checks of stores that hold a bounded number of bytes.

use super::*;

/// Checks a store that evicts: `fresh` makes one that holds at most the bytes it is told, here `capacity_bytes`
/// (at least 1 MiB, so that what an entry costs beside its bytes does not matter).
pub async fn check_bounded(fresh: impl AsyncFn(u64) -> Fresh, capacity_bytes: u64) {
    let size_bytes = usize::try_from(capacity_bytes / 16).expect("a test store is small");
    stays_within_its_capacity(&*fresh(capacity_bytes).await.store, capacity_bytes, size_bytes).await;
    for refresh in [Refresh::FindMissing, Refresh::Get, Refresh::Put] {
        what_is_refreshed_outlives_what_is_not(&*fresh(capacity_bytes).await.store, size_bytes, refresh)
            .await;
    }
    a_read_survives_eviction(&*fresh(capacity_bytes).await.store, size_bytes).await;
    larger_than_the_store_is_refused(&*fresh(capacity_bytes).await.store, capacity_bytes).await;
}

#[derive(Clone, Copy, Debug)]
enum Refresh {
    FindMissing,
    Get,
    Put,
}

async fn stays_within_its_capacity(store: &dyn BlobStore, capacity_bytes: u64, size_bytes: usize) {
    let mut put = Vec::new();
    for seed in 0..64 {
        // Sizes differ, so that one blob in may mean several out.
        let blob = blob_of(seed, size_bytes / (1 + seed as usize % 5));
        put.push(blob.digest());
        store.put(blob).await.expect("a bounded store makes room");
    }
    let asked: DigestSet = put.iter().copied().collect();
    let missing = store
        .find_missing(&asked)
        .await
        .expect("find_missing must not fail");
    let held_bytes: u64 = asked.difference(&missing).iter().map(Digest::size_bytes).sum();
    assert!(
        held_bytes <= capacity_bytes,
        "{held_bytes} bytes are held by a store of {capacity_bytes}"
    );
    assert!(
        held_bytes >= capacity_bytes / 2,
        "only {held_bytes} bytes are held by a store of {capacity_bytes}"
    );
    assert!(!missing.contains(&put[63]), "what was put last is still there");
    for digest in &asked {
        let read = read(store, digest, ByteRange::FULL).await;
        assert_eq!(
            read.is_some(),
            !missing.contains(digest),
            "find_missing and get agree on {digest}"
        );
    }
}

async fn what_is_refreshed_outlives_what_is_not(store: &dyn BlobStore, size_bytes: usize, refresh: Refresh) {
    let kept = blob_of(1, size_bytes).digest();
    let left = blob_of(2, size_bytes).digest();
    store
        .put(blob_of(1, size_bytes))
        .await
        .expect("a good blob is taken");
    store
        .put(blob_of(2, size_bytes))
        .await
        .expect("a good blob is taken");
    for seed in 100..132 {
        store
            .put(blob_of(seed, size_bytes))
            .await
            .expect("a bounded store makes room");
        match refresh {
            Refresh::FindMissing => {
                let missing = store
                    .find_missing(&DigestSet::from(kept))
                    .await
                    .expect("find_missing must not fail");
                assert!(missing.is_empty(), "kept alive by find_missing");
            }
            Refresh::Get => {
                let range = ByteRange {
                    offset: 0,
                    limit: Some(1),
                };
                assert!(read(store, &kept, range).await.is_some(), "kept alive by get");
            }
            Refresh::Put => store
                .put(blob_of(1, size_bytes))
                .await
                .expect("putting again is fine"),
        }
    }
    assert_present(
        store,
        &kept,
        &bytes_of(1, size_bytes),
        &format!("refreshed by {refresh:?}"),
    )
    .await;
    assert_absent(store, &left, &format!("never refreshed by {refresh:?}")).await;
}

async fn a_read_survives_eviction(store: &dyn BlobStore, size_bytes: usize) {
    let bytes = bytes_of(1, size_bytes * 8);
    let blob = Blob::from_bytes(F, bytes.clone());
    let digest = blob.digest();
    store.put(blob).await.expect("a good blob is taken");
    let mut stream = store
        .get(&digest, ByteRange::FULL)
        .await
        .expect("get must not fail")
        .expect("it was put");
    let mut read = stream
        .next()
        .await
        .expect("it is not empty")
        .expect("the first piece is fine")
        .to_vec();
    for seed in 100..132 {
        store
            .put(blob_of(seed, size_bytes))
            .await
            .expect("a bounded store makes room");
    }
    assert_absent(store, &digest, "pushed out").await;
    // The rest, or an error; never other bytes and never a quiet end.
    loop {
        match stream.next().await {
            Some(Ok(piece)) => read.extend_from_slice(&piece),
            Some(Err(_)) => return,
            None => break,
        }
    }
    assert!(read == bytes, "a read that outlives its blob ends with all of it");
}

async fn larger_than_the_store_is_refused(store: &dyn BlobStore, capacity_bytes: u64) {
    store.put(blob_of(1, 1000)).await.expect("a good blob is taken");
    let large =
        Digest::from_hex(F, &blob_of(2, 1).digest().hash_hex(), capacity_bytes + 1).expect("well-formed");
    let chunks = cut(bytes_of(3, 1 << 20), 1 << 16);
    let result = store.put(Blob::checked(large, chunks)).await;
    assert!(
        matches!(
            result,
            Err(StoreError::TooLarge { .. } | StoreError::NoSpace { .. })
        ),
        "a blob larger than the store gave {result:?}"
    );
    assert_absent(store, &large, "larger than the store").await;
    assert_present(
        store,
        &blob_of(1, 1000).digest(),
        &bytes_of(1, 1000),
        "beside a blob that was too large",
    )
    .await;
}
