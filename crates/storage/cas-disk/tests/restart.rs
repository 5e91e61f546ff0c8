//! What a start finds, whatever was left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use blob::Digest;
use cas::BlobStore;
use cas_disk::{DiskBlobStore, DiskOptions, OpenError};
use support::{F, Read, blob_of, bytes_of, open, read, segments};

mod support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_a_restart_with_or_without_footers() {
    let directory = tempfile::tempdir().unwrap();
    let sizes = [1, 4_000, 70_000, 400_000, 3_000_000];
    let store = open(directory.path(), 64 << 20);
    for seed in 0..40 {
        store.put(blob_of(seed, sizes[seed as usize % 5])).await.unwrap();
    }
    let held = store.usage().blobs;
    drop(store);
    let blobs = directory.path().join("blobs");
    for round in 0..3 {
        if round == 1 {
            // As if the machine had died before any footer was written.
            for segment in segments(&blobs) {
                let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length - 20).unwrap();
            }
        }
        if round == 2 {
            // The seed of the keys is lost: footers are of no use.
            fs::write(blobs.join("format"), b"nonsense").unwrap();
        }
        let store = open(directory.path(), 64 << 20);
        assert_eq!(
            (store.usage().blobs, store.usage().corrupt),
            (held, 0),
            "round {round}"
        );
        for seed in 0..40 {
            let bytes = bytes_of(seed, sizes[seed as usize % 5]);
            assert!(
                read(&*store, &Digest::of(F, &bytes)).await == Read::Bytes(bytes.to_vec()),
                "round {round}: {seed}"
            );
        }
        let usage = store.usage();
        let on_disk: u64 = segments(&blobs)
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(
            usage.bytes >= on_disk && usage.bytes < on_disk + (2 << 20),
            "{usage:?}, {on_disk} on disk"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_was_noticed_is_not_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    for seed in 0..10 {
        store.put(blob_of(seed, 5_000)).await.unwrap();
    }
    drop(store);
    let segment = &segments(&directory.path().join("blobs"))[0];
    let mut bytes = fs::read(segment).unwrap();
    bytes[2_000] ^= 1;
    fs::write(segment, bytes).unwrap();
    let store = open(directory.path(), 64 << 20);
    assert_eq!(read(&*store, &blob_of(0, 5_000).digest()).await, Read::Miss);
    assert_eq!((store.usage().corrupt, store.usage().blobs), (1, 9));
    drop(store);
    let store = open(directory.path(), 64 << 20);
    assert_eq!((store.usage().corrupt, store.usage().blobs), (0, 9));
    store.put(blob_of(0, 5_000)).await.unwrap();
    assert!(matches!(
        read(&*store, &blob_of(0, 5_000).digest()).await,
        Read::Bytes(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrub_finds_all_damage_in_one_pass() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    for seed in 0..50 {
        store.put(blob_of(seed, 3_000)).await.unwrap();
    }
    assert_eq!(store.scrub(None, |_| {}).await.unwrap().damaged, 0);
    let segment = &segments(&directory.path().join("blobs"))[0];
    let mut bytes = fs::read(segment).unwrap();
    for record in [3, 17, 40] {
        // In the payload of three records of about 3 100 bytes each.
        bytes[record * 3_104 + 1_000] ^= 0x40;
    }
    fs::write(segment, bytes).unwrap();
    let mut heard = Vec::new();
    let report = store
        .scrub(Some(1 << 30), |so_far| heard.push(so_far))
        .await
        .unwrap();
    assert_eq!(heard.last(), Some(&report), "the last word is the whole");
    assert_eq!((report.entries, report.damaged), (50, 3));
    assert_eq!((store.usage().blobs, store.usage().corrupt), (47, 3));
    assert_eq!(store.scrub(None, |_| {}).await.unwrap().damaged, 0);
}

#[tokio::test]
async fn a_directory_is_refused_where_it_cannot_be_what_it_should() {
    let directory = tempfile::tempdir().unwrap();
    let options = || DiskOptions::new(directory.path(), 64 << 20);
    let first = DiskBlobStore::open(options()).unwrap();
    assert!(matches!(
        DiskBlobStore::open(options()),
        Err(OpenError::InUse { .. })
    ));
    drop(first);
    assert!(matches!(
        DiskBlobStore::open(DiskOptions::new(directory.path(), 1000)),
        Err(OpenError::TooSmall { .. })
    ));
    let none = DiskOptions {
        directories: Vec::new(),
        ..options()
    };
    assert!(matches!(DiskBlobStore::open(none), Err(OpenError::NoDirectory)));
    // What the first version of this store left.
    let old = tempfile::tempdir().unwrap();
    fs::create_dir_all(old.path().join("blobs/incoming")).unwrap();
    let refused = DiskBlobStore::open(DiskOptions::new(old.path(), 64 << 20));
    let Err(error) = refused else {
        panic!("the old format is not read")
    };
    assert!(error.to_string().contains("first version"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    store.put(blob_of(1, 100)).await.unwrap();
    store.close();
    let refused = store.put(blob_of(2, 100)).await.unwrap_err();
    assert!(refused.to_string().contains("shutting down"), "{refused}");
    assert!(
        matches!(read(&*store, &blob_of(1, 100).digest()).await, Read::Bytes(_)),
        "reading needs no writer"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_before_the_first_byte_is_a_miss_and_later_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    let size = 5_000_000;
    for (at, is_late) in [(10_000, false), (4_000_000, true)] {
        store.put(blob_of(1, size)).await.unwrap();
        let segment = segments(&directory.path().join("blobs")).pop().unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        bytes[at] ^= 1;
        fs::write(&segment, bytes).unwrap();
        let digest = blob_of(1, size).digest();
        match read(&*store, &digest).await {
            Read::Miss => assert!(!is_late),
            Read::Error(after, reason) => assert!(
                is_late && after > 1_000_000 && reason.contains("damaged"),
                "{after}: {reason}"
            ),
            Read::Bytes(_) => panic!("wrong bytes"),
        }
        assert_eq!(read(&*store, &digest).await, Read::Miss, "dropped");
    }
    assert_eq!(store.usage().corrupt, 2);
}

/// A record that cannot even tell its name any more, or tells another one: what the footer says of it counts no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scrub_drops_stays_dropped_also_without_a_name() {
    let flip = |segment: &mut Vec<u8>| segment[3_104 * 4 + 20] ^= 1;
    let replace = |segment: &mut Vec<u8>| segment.copy_within(3_104 * 7..3_104 * 8, 3_104 * 4);
    let spoil: [fn(&mut Vec<u8>); 2] = [flip, replace];
    for spoil in spoil {
        let directory = tempfile::tempdir().unwrap();
        let blobs = directory.path().join("blobs");
        let store = open(directory.path(), 64 << 20);
        for seed in 0..10 {
            store.put(blob_of(seed, 3_000)).await.unwrap();
        }
        drop(store);
        let segment = segments(&blobs).pop().unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        spoil(&mut bytes);
        fs::write(&segment, bytes).unwrap();

        let store = open(directory.path(), 64 << 20);
        assert_eq!(store.usage().blobs, 10, "a start believes footers");
        assert_eq!(store.scrub(None, |_| {}).await.unwrap().damaged, 1);
        assert_eq!(store.usage().blobs, 9);
        drop(store);
        // With its footer, and as if the machine had died before one was written.
        for is_cut in [false, true] {
            if is_cut {
                let last = segments(&blobs).pop().unwrap();
                let file = fs::OpenOptions::new().write(true).open(last).unwrap();
                file.set_len(file.metadata().unwrap().len() - 20).unwrap();
            }
            let store = open(directory.path(), 64 << 20);
            assert_eq!(
                (store.usage().blobs, store.usage().corrupt),
                (9, 0),
                "footer cut: {is_cut}"
            );
            let lost: blob::DigestSet = blob_of(4, 3_000).digest().into();
            assert_eq!(store.find_missing(&lost).await.unwrap(), lost);
        }
        let store = open(directory.path(), 64 << 20);
        store.put(blob_of(4, 3_000)).await.unwrap();
        drop(store);
        let store = open(directory.path(), 64 << 20);
        let again = read(&*store, &blob_of(4, 3_000).digest()).await;
        assert!(matches!(again, Read::Bytes(_)), "it may come back");
    }
}
