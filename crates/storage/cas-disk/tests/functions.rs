//! All digest functions at once in one store: the same contents, so the same sizes and the same first bytes, through
//! restarts of every kind, damage, and eviction. None may be taken for another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use blob::{Blob, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use cas::BlobStore;
use cas_disk::DiskBlobStore;
use support::{Read, bytes_of, open, read, segments};

mod support;

const SIZES: [usize; 4] = [30, 4_000, 70_000, 400_000];
const CONTENTS: u64 = 24;

/// All begin with the same bytes.
fn content(number: u64) -> Bytes {
    let mut bytes = vec![b'x'; 20];
    bytes.extend_from_slice(&bytes_of(number, SIZES[(number % 4) as usize] - 20));
    bytes.into()
}

fn every() -> impl Iterator<Item = (u64, DigestFunction)> {
    (0..CONTENTS).flat_map(|number| DigestFunction::ALL.map(|function| (number, function)))
}

/// Half of the functions have the even contents, half the odd ones: each content is there under some and absent under
/// others of the same length of hash.
fn is_put(number: u64, function: DigestFunction) -> bool {
    let place = DigestFunction::ALL.iter().position(|one| *one == function);
    (number + place.unwrap() as u64).is_multiple_of(2)
}

async fn check(store: &DiskBlobStore, when: &str) {
    let all: DigestSet = every()
        .map(|(number, function)| Digest::of(function, &content(number)))
        .collect();
    let missing = store.find_missing(&all).await.unwrap();
    for (number, function) in every() {
        let bytes = content(number);
        let digest = Digest::of(function, &bytes);
        let expected = match is_put(number, function) {
            true => Read::Bytes(bytes.to_vec()),
            false => Read::Miss,
        };
        let name = function.name();
        assert!(
            read(store, &digest).await == expected,
            "{when}: content {number} under {name}"
        );
        assert_eq!(
            missing.contains(&digest),
            !is_put(number, function),
            "{when}: {name}"
        );
        // The hash of one function under another that has hashes of the same length.
        for other in DigestFunction::ALL {
            if other == function || other.hash_len() != function.hash_len() {
                continue;
            }
            let alias = Digest::from_hex(other, &digest.hash_hex(), digest.size_bytes()).unwrap();
            if alias != Digest::of(other, &bytes) {
                assert_eq!(
                    read(store, &alias).await,
                    Read::Miss,
                    "{when}: {name} as {}",
                    other.name()
                );
            }
        }
    }
}

fn cut_every_segment(blobs: &Path) {
    for segment in segments(blobs) {
        let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - 20).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_taken_for_another_through_restarts_of_every_kind() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = directory.path().join("blobs");
    let store = open(directory.path(), 256 << 20);
    for (number, function) in every().filter(|(number, function)| is_put(*number, *function)) {
        store
            .put(Blob::from_bytes(function, content(number)))
            .await
            .unwrap();
    }
    let put = store.usage().blobs;
    assert_eq!(put, CONTENTS * 8 / 2);
    check(&store, "at first").await;
    drop(store);
    type Leave = fn(&Path);
    let kinds: [(&str, Leave); 3] = [
        ("from footers", |_| {}),
        ("from records", cut_every_segment),
        ("with another seed", |blobs| {
            fs::write(blobs.join("format"), b"nonsense").unwrap();
        }),
    ];
    for (kind, leave) in kinds {
        leave(&blobs);
        let store = open(directory.path(), 256 << 20);
        assert_eq!((store.usage().blobs, store.usage().corrupt), (put, 0), "{kind}");
        check(&store, kind).await;
        let report = store.scrub(None, |_| {}).await.unwrap();
        assert_eq!((report.entries, report.damaged), (put, 0), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_drops_the_oldest_whatever_their_function() {
    const CAPACITY_BYTES: u64 = 6 << 20;
    const NUMBERS: u64 = 400;
    let directory = tempfile::tempdir().unwrap();
    let blob = |number: u64| {
        let function = DigestFunction::ALL[(number % 8) as usize];
        // Eight in a row have the same bytes.
        Blob::from_bytes(function, bytes_of(number / 8, 60_000))
    };
    let store = open(directory.path(), CAPACITY_BYTES);
    for number in 0..NUMBERS {
        store.put(blob(number)).await.unwrap();
    }
    assert!(store.usage().evicted > 100, "{:?}", store.usage());
    drop(store);
    let store = open(directory.path(), CAPACITY_BYTES);
    let all: DigestSet = (0..NUMBERS).map(|number| blob(number).digest()).collect();
    let missing = store.find_missing(&all).await.unwrap();
    let mut held = 0;
    for number in 0..NUMBERS {
        let digest = blob(number).digest();
        match read(&*store, &digest).await {
            Read::Miss => assert!(missing.contains(&digest), "{number}"),
            Read::Bytes(bytes) => {
                assert!(bytes == bytes_of(number / 8, 60_000), "{number}");
                assert!(!missing.contains(&digest), "{number}");
                held += 1;
            }
            Read::Error(_, why) => panic!("{number}: {why}"),
        }
    }
    assert!(held > 40, "{held} are left");
    assert_eq!((store.usage().blobs, store.usage().corrupt), (held, 0));
    // Of every function, the last ones.
    for number in NUMBERS - 16..NUMBERS {
        assert!(
            !missing.contains(&blob(number).digest()),
            "{number} was among the last"
        );
    }
}
