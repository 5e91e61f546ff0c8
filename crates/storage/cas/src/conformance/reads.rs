//! Checks of `get` and `find_missing`.

use std::task::{Context, Waker};

use super::*;

pub(super) async fn whole_blobs_of_every_size_come_back(store: &dyn BlobStore) {
    for (seed, size_bytes) in SIZES.into_iter().enumerate() {
        let bytes = bytes_of(seed as u64, size_bytes);
        let blob = Blob::from_bytes(F, bytes.clone());
        let digest = blob.digest();
        assert_absent(store, &digest, "before put").await;
        store.put(blob).await.expect("a good blob is taken");
        assert_present(store, &digest, &bytes, "after put").await;
    }
}

pub(super) async fn every_range_is_exact(store: &dyn BlobStore) {
    for size_bytes in [5, 65_536, 65_537, 2_500_000] {
        let bytes = bytes_of(1, size_bytes);
        let blob = Blob::from_bytes(F, bytes.clone());
        let digest = blob.digest();
        store.put(blob).await.expect("a good blob is taken");
        let edges = [
            0,
            1,
            4,
            65_535,
            65_536,
            65_537,
            1 << 20,
            (1 << 20) + 1,
            size_bytes - 1,
            size_bytes,
        ];
        for offset in edges.into_iter().filter(|offset| *offset <= size_bytes) {
            let limits = [
                Some(0),
                Some(1),
                Some(65_536),
                Some(65_537),
                Some(1 << 21),
                Some(u64::MAX),
                None,
            ];
            for limit in limits {
                let range = ByteRange {
                    offset: offset as u64,
                    limit,
                };
                let end = limit.map_or(size_bytes, |limit| {
                    offset
                        + usize::try_from(limit)
                            .unwrap_or(usize::MAX)
                            .min(size_bytes - offset)
                });
                let read = read(store, &digest, range).await;
                assert!(
                    read.as_deref() == Some(&bytes[offset..end]),
                    "{range:?} of {size_bytes} bytes must be exact"
                );
            }
        }
    }
}

pub(super) async fn a_range_past_the_end_is_out_of_range(store: &dyn BlobStore) {
    let blob = blob_of(1, 100);
    let digest = blob.digest();
    store.put(blob).await.expect("a good blob is taken");
    for offset in [101, 65_536, u64::MAX] {
        let result = store
            .get(&digest, ByteRange { offset, limit: None })
            .await
            .map(|stream| stream.is_some());
        assert!(
            matches!(result, Err(StoreError::OutOfRange { .. })),
            "offset {offset} of 100 bytes gave {result:?}"
        );
    }
}

pub(super) async fn what_was_never_put_is_a_miss(store: &dyn BlobStore) {
    store.put(blob_of(1, 100)).await.expect("a good blob is taken");
    assert_absent(store, &blob_of(2, 100).digest(), "never put").await;
    // Right hash, wrong size: another blob, one that cannot exist (checklist G5).
    let hash = blob_of(1, 100).digest().hash_hex();
    for size_bytes in [99, 101, 1 << 40] {
        let digest = Digest::from_hex(F, &hash, size_bytes).expect("a well-formed digest");
        assert_absent(store, &digest, "right hash, wrong size").await;
    }
}

pub(super) async fn a_dropped_read_harms_nobody(store: &dyn BlobStore) {
    let bytes = bytes_of(1, 3_000_000);
    let blob = Blob::from_bytes(F, bytes.clone());
    let digest = blob.digest();
    store.put(blob).await.expect("a good blob is taken");
    for pieces in 0..3 {
        let stream = store
            .get(&digest, ByteRange::FULL)
            .await
            .expect("get must not fail")
            .expect("it was put");
        let read: Vec<_> = stream.take(pieces).collect().await;
        assert!(read.iter().all(Result::is_ok));
        // Dropped before it has answered.
        let mut call = store.get(&digest, ByteRange::FULL);
        drop(call.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    }
    assert_present(store, &digest, &bytes, "after dropped reads").await;
}

pub(super) async fn find_missing_is_exact_for_many(store: &dyn BlobStore) {
    const ASKED: u64 = 10_000;
    const PUT_EVERY: u64 = 50;
    let digests: Vec<Digest> = (0..ASKED).map(|seed| blob_of(seed, 40).digest()).collect();
    for seed in (0..ASKED).step_by(PUT_EVERY as usize) {
        store.put(blob_of(seed, 40)).await.expect("a good blob is taken");
    }
    let expected: DigestSet = digests
        .iter()
        .enumerate()
        .filter(|(seed, _)| !(*seed as u64).is_multiple_of(PUT_EVERY))
        .map(|(_, digest)| *digest)
        .collect();
    let asked: DigestSet = digests.iter().chain(&digests).copied().collect();
    assert_eq!(asked.len() as u64, ASKED);
    assert_missing(store, &asked, &expected).await;
    let none = store
        .find_missing(&DigestSet::default())
        .await
        .expect("find_missing must not fail");
    assert!(none.is_empty(), "nothing of nothing is missing");
}

/// The same contents under every function at once, so with equal sizes, asked for in one question together with as many
/// that are not there.
pub(super) async fn all_functions_live_side_by_side(store: &dyn BlobStore) {
    const CONTENTS: u64 = 12;
    let contents = |seed: u64| bytes_of(seed, [40, 5000, 70_000][(seed % 3) as usize]);
    let every = || (0..2 * CONTENTS).flat_map(|seed| DigestFunction::ALL.map(|function| (seed, function)));
    let puts = every()
        .filter(|(seed, _)| seed % 2 == 0)
        .map(|(seed, function)| store.put(Blob::from_bytes(function, contents(seed))));
    for put in futures::future::join_all(puts).await {
        put.expect("a good blob is taken");
    }
    let asked: DigestSet = every()
        .map(|(seed, function)| Digest::of(function, &contents(seed)))
        .collect();
    assert_eq!(
        asked.len() as u64,
        2 * CONTENTS * DigestFunction::ALL.len() as u64
    );
    let expected: DigestSet = every()
        .filter(|(seed, _)| seed % 2 == 1)
        .map(|(seed, function)| Digest::of(function, &contents(seed)))
        .collect();
    assert_missing(store, &asked, &expected).await;
    for (seed, function) in every().filter(|(seed, _)| seed % 2 == 0) {
        let bytes = contents(seed);
        let digest = Digest::of(function, &bytes);
        let what = format!("{} among others", function.name());
        assert_present(store, &digest, &bytes, &what).await;
    }
}

pub(super) async fn the_function_is_part_of_identity(store: &dyn BlobStore) {
    // More than a kilobyte: below that, SHA256TREE is SHA-256.
    let bytes = bytes_of(1, 5000);
    for function in DigestFunction::ALL {
        let blob = Blob::from_bytes(function, bytes.clone());
        let digest = blob.digest();
        store.put(blob).await.expect("a good blob is taken");
        assert_present(store, &digest, &bytes, "each function").await;
        // Those whose bytes have not been put: their hashes of these bytes differ, so nobody has put the alias.
        for other in DigestFunction::ALL {
            if other != function && other.hash_len() == function.hash_len() {
                let alias = Digest::from_hex(other, &digest.hash_hex(), 5000)
                    .expect("both have hashes of this length");
                assert_absent(store, &alias, "the same hash under another function").await;
            }
        }
    }
}

async fn assert_missing(store: &dyn BlobStore, asked: &DigestSet, expected: &DigestSet) {
    let missing = store
        .find_missing(asked)
        .await
        .expect("find_missing must not fail");
    assert!(
        missing == *expected,
        "{} of {} missing ones were named",
        missing.len(),
        expected.len()
    );
}
