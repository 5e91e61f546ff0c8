//! Checks of `put`.

use futures::channel::oneshot;
use futures::future::{self, Either};

use super::*;

pub(super) async fn streams_come_back_however_they_are_cut(store: &dyn BlobStore) {
    for (seed, (size_bytes, piece)) in [
        (1, 1),
        (1000, 1),
        (65_536, 4096),
        (65_537, 65_536),
        (1 << 20, 1 << 20),
        (3_000_017, 70_001),
        (3_000_017, 1 << 30),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = bytes_of(100 + seed as u64, size_bytes);
        let digest = Digest::of(F, &bytes);
        store
            .put(Blob::checked(digest, cut(bytes.clone(), piece)))
            .await
            .expect("a good stream is taken");
        assert_present(store, &digest, &bytes, "after put of a stream").await;
    }
}

pub(super) async fn wrong_bytes_are_never_visible(store: &dyn BlobStore) {
    for size_bytes in [10, 65_536, 2_500_000] {
        let bytes = bytes_of(1, size_bytes);
        let digest = Digest::of(F, &bytes);
        let mut flipped = bytes.to_vec();
        flipped[size_bytes / 2] ^= 1;
        let mut long = bytes.to_vec();
        long.extend_from_slice(b"more");
        let short = bytes.slice(..size_bytes - 1);
        for (what, wrong) in [
            ("a flipped bit", flipped.into()),
            ("too long", long.into()),
            ("too short", short),
            ("nothing", Bytes::new()),
        ] {
            let result = store.put(Blob::checked(digest, cut(wrong, 10_000))).await;
            assert!(is_mistake_of_the_sender(&result), "{what}: put gave {result:?}");
            assert_absent(store, &digest, what).await;
        }
        store
            .put(Blob::from_bytes(F, bytes.clone()))
            .await
            .expect("the right bytes are taken afterwards");
        assert_present(store, &digest, &bytes, "after wrong uploads").await;
    }
}

pub(super) async fn a_failing_source_leaves_nothing(store: &dyn BlobStore) {
    for size_bytes in [10, 2_500_000] {
        let bytes = bytes_of(1, size_bytes);
        let digest = Digest::of(F, &bytes);
        // Even after the last byte: only the end of the stream proves the blob.
        for sent in [0, size_bytes / 2, size_bytes] {
            let failure = std::io::Error::other("the source failed on purpose");
            let chunks = cut(bytes.slice(..sent), 10_000).chain(stream::iter([Err(failure.into())]));
            let result = store.put(Blob::checked(digest, chunks)).await;
            assert!(
                result.is_err(),
                "a source that failed after {sent} bytes must fail the put"
            );
            assert_absent(store, &digest, "after a failing source").await;
        }
    }
}

pub(super) async fn an_upload_dropped_half_way_leaves_nothing(store: &dyn BlobStore) {
    for size_bytes in [10, 2_500_000] {
        let bytes = bytes_of(1, size_bytes);
        let digest = Digest::of(F, &bytes);
        for sent in [0, size_bytes / 2, size_bytes] {
            let (reached, half_way) = oneshot::channel::<()>();
            // After the bytes it tells us, and then never ends.
            let stall = stream::once(async move {
                drop(reached);
                future::pending().await
            });
            let chunks = cut(bytes.slice(..sent), 10_000).chain(stall);
            let upload = store.put(Blob::checked(digest, chunks));
            let Either::Right((_, upload)) = future::select(upload, half_way).await else {
                panic!("an upload that has not ended must not be answered")
            };
            drop(upload);
            assert_absent(store, &digest, "after an upload dropped half way").await;
        }
        store
            .put(Blob::from_bytes(F, bytes.clone()))
            .await
            .expect("the whole blob is taken afterwards");
        assert_present(store, &digest, &bytes, "after dropped uploads").await;
    }
}

pub(super) async fn putting_again_changes_nothing(store: &dyn BlobStore) {
    let bytes = bytes_of(1, 100_000);
    let digest = Digest::of(F, &bytes);
    for _ in 0..3 {
        store
            .put(Blob::from_bytes(F, bytes.clone()))
            .await
            .expect("putting again is fine");
        store
            .put(Blob::checked(digest, cut(bytes.clone(), 999)))
            .await
            .expect("as a stream too");
        assert_present(store, &digest, &bytes, "after putting again").await;
    }
}

pub(super) async fn a_failed_upload_leaves_an_earlier_one_alone(store: &dyn BlobStore) {
    let bytes = bytes_of(1, 100_000);
    let digest = Digest::of(F, &bytes);
    store
        .put(Blob::from_bytes(F, bytes.clone()))
        .await
        .expect("a good blob is taken");
    // Whether this is an error is free: a store need not read what it already has.
    let _either = store
        .put(Blob::checked(digest, cut(bytes_of(2, 100_000), 999)))
        .await;
    assert_present(store, &digest, &bytes, "after a wrong upload of what is there").await;
}

pub(super) async fn many_at_once_put_one_blob(store: &dyn BlobStore) {
    for size_bytes in [1000, 2_500_000] {
        let bytes = bytes_of(1, size_bytes);
        let digest = Digest::of(F, &bytes);
        let puts = (0..16).map(|writer| {
            let blob = match writer {
                0..8 => Blob::from_bytes(F, bytes.clone()),
                piece => Blob::checked(digest, cut(bytes.clone(), piece * 5000)),
            };
            store.put(blob)
        });
        let reads = future::join_all((0..16).map(|_| read(store, &digest, ByteRange::FULL)));
        let (results, reads) = future::join(future::join_all(puts), reads).await;
        assert!(
            results.iter().all(Result::is_ok),
            "every one of many writers succeeds: {results:?}"
        );
        assert!(
            reads.iter().flatten().all(|read| *read == bytes),
            "a reader beside them sees all or nothing"
        );
        assert_present(store, &digest, &bytes, "after many writers").await;
    }
}

pub(super) async fn an_empty_blob_that_was_put_is_there(store: &dyn BlobStore) {
    for function in DigestFunction::ALL {
        store
            .put(Blob::from_bytes(function, ""))
            .await
            .expect("an empty blob is taken");
        assert_present(store, &Digest::empty(function), b"", "the empty blob").await;
        store
            .put(Blob::checked(Digest::empty(function), cut(Bytes::new(), 1)))
            .await
            .expect("as a stream too");
    }
}
