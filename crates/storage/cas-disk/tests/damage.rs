//! Damage on the disk: never a wrong byte, always a miss or an error, and then a miss.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use blob::{Blob, ByteRange, Digest, DigestSet};
use cas::BlobStore;
use cas_disk::{DiskBlobStore, DiskOptions, OpenError};
use proptest::prelude::*;
use support::{F, Read, blob_of, bytes_of, entry_files, files_below, open, read, read_range};

mod support;

/// The one file in a store of one blob.
fn only_file(directory: &tempfile::TempDir) -> PathBuf {
    let files = entry_files(directory.path());
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

async fn is_missing(store: &DiskBlobStore, digest: &Digest) -> bool {
    store
        .find_missing(&DigestSet::from(*digest))
        .await
        .unwrap()
        .contains(digest)
}

/// Thousands of flips anywhere in the file: payload, checksums, footer; small files and files of several pieces.
#[test]
fn any_flipped_bit_is_noticed_and_the_blob_is_reported_missing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 2500,
        ..ProptestConfig::default()
    };
    let sizes = prop_oneof![
        1usize..200,
        65_500usize..65_600,
        200_000usize..300_000,
        600_000usize..700_000
    ];
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    proptest!(config, |(seed in any::<u64>(), size_bytes in sizes, at in 0.0f64..1.0, from_the_end in any::<bool>(), bit in 0u32..8)| {
        runtime.block_on(async {
            let bytes = bytes_of(seed, size_bytes);
            let blob = Blob::from_bytes(F, bytes.clone());
            let digest = blob.digest();
            store.put(blob).await.unwrap();
            // Where `layout.rs` says; listing 512 directories each time would take the longest.
            let hash = digest.hash_hex();
            let path = directory.path().join(format!("blobs/sha256/{}/{hash}-{size_bytes}", &hash[..2]));
            let mut file = fs::read(&path).unwrap();
            // Half of the flips go into the trailer, which is otherwise too short to be hit.
            let (start, length) = if from_the_end { (size_bytes, file.len() - size_bytes) } else { (0, file.len()) };
            file[start + (at * length as f64) as usize] ^= 1 << bit;
            fs::write(&path, file).unwrap();
            let corrupt = store.usage().corrupt;
            match read(&*store, &digest).await {
                Read::Miss => {}
                // Only good pieces before the damaged one, and never all of them.
                Read::Error(read_bytes, _) => assert!(read_bytes > 0 && read_bytes < size_bytes),
                Read::Bytes(read) => panic!("{} bytes were served from a damaged file", read.len()),
            }
            assert_eq!(store.usage().corrupt, corrupt + 1);
            assert!(is_missing(&store, &digest).await);
            assert!(!path.exists());
            assert_eq!(store.usage().bytes, 0);
        });
    });
}

#[tokio::test]
async fn damage_before_the_first_byte_is_a_miss_and_later_an_error() {
    const SIZE: usize = 1_000_000;
    for (flip_at, expected) in [(10, Read::Miss), (SIZE + 200, Read::Miss)] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 64 << 20);
        store.put(blob_of(1, SIZE)).await.unwrap();
        let path = only_file(&directory);
        let mut file = fs::read(&path).unwrap();
        let at = flip_at.min(file.len() - 1);
        file[at] ^= 1;
        fs::write(&path, file).unwrap();
        assert_eq!(
            read(&*store, &blob_of(1, SIZE).digest()).await,
            expected,
            "flipped at {flip_at}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    let bytes = bytes_of(1, SIZE);
    let digest = Digest::of(F, &bytes);
    store.put(blob_of(1, SIZE)).await.unwrap();
    let path = only_file(&directory);
    let mut file = fs::read(&path).unwrap();
    file[900_000] ^= 1;
    fs::write(&path, file).unwrap();
    // A range beside the damage is proven by its own blocks.
    let beside = ByteRange {
        offset: 1000,
        limit: Some(500_000),
    };
    assert!(read_range(&*store, &digest, beside).await == Read::Bytes(bytes[1000..501_000].to_vec()));
    assert!(!is_missing(&store, &digest).await);
    let Read::Error(read_bytes, message) = read(&*store, &digest).await else {
        panic!("damage was not noticed")
    };
    assert!(
        read_bytes <= 900_000 && message.contains("damaged"),
        "{read_bytes}: {message}"
    );
    assert!(is_missing(&store, &digest).await);
    // And it heals by being put again.
    store.put(blob_of(1, SIZE)).await.unwrap();
    assert!(read(&*store, &digest).await == Read::Bytes(bytes.to_vec()));
}

#[tokio::test]
async fn a_file_that_was_deleted_behind_our_back_is_a_miss() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    store.put(blob_of(1, 100)).await.unwrap();
    fs::remove_file(only_file(&directory)).unwrap();
    let digest = blob_of(1, 100).digest();
    assert_eq!(read(&*store, &digest).await, Read::Miss);
    assert!(is_missing(&store, &digest).await);
    assert_eq!((store.usage().corrupt, store.usage().blobs), (1, 0));
}

#[tokio::test]
async fn a_start_finds_what_was_there_in_the_order_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    for seed in 0..20 {
        store.put(blob_of(seed, 10_000)).await.unwrap();
    }
    store
        .put(Blob::from_bytes(blob::DigestFunction::Blake3, bytes_of(3, 500)))
        .await
        .unwrap();
    let usage = store.usage();
    drop(store);
    let store = open(directory.path(), 64 << 20);
    assert_eq!(store.usage(), usage);
    for seed in 0..20 {
        assert_eq!(
            read(&*store, &blob_of(seed, 10_000).digest()).await,
            Read::Bytes(bytes_of(seed, 10_000).to_vec())
        );
    }
    drop(store);
    // Half the room: the older half goes.
    let store = open(directory.path(), usage.bytes / 2);
    assert!(store.usage().bytes <= usage.bytes / 2);
    for seed in [0, 1, 5] {
        assert!(
            is_missing(&store, &blob_of(seed, 10_000).digest()).await,
            "{seed}"
        );
    }
    for seed in [15, 18, 19] {
        assert!(
            !is_missing(&store, &blob_of(seed, 10_000).digest()).await,
            "{seed}"
        );
    }
    assert_eq!(entry_files(directory.path()).len() as u64, store.usage().blobs);
}

#[tokio::test]
async fn garbage_that_a_start_finds_is_never_served() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    for seed in 0..4 {
        store.put(blob_of(seed, 100_000)).await.unwrap();
    }
    drop(store);
    let files = entry_files(directory.path());
    let blobs = directory.path().join("blobs");
    fs::write(&files[0], b"").unwrap();
    fs::write(&files[1], &fs::read(&files[1]).unwrap()[..50_000]).unwrap();
    // The right length, as a power cut leaves it: nothing but zeros.
    fs::write(
        &files[2],
        vec![0; fs::metadata(&files[2]).unwrap().len() as usize],
    )
    .unwrap();
    fs::write(blobs.join("incoming/7"), b"half of something").unwrap();
    fs::create_dir_all(blobs.join("sha256/00")).unwrap();
    fs::write(blobs.join("sha256/00/notes.txt"), b"somebody else's").unwrap();
    fs::write(
        blobs.join("sha256/00").join(format!("{}-5", "0".repeat(64))),
        b"12345",
    )
    .unwrap();
    let store = open(directory.path(), 64 << 20);
    assert_eq!((store.usage().blobs, store.usage().corrupt), (2, 3));
    let mut served = 0;
    for seed in 0..4 {
        match read(&*store, &blob_of(seed, 100_000).digest()).await {
            Read::Miss => {}
            other => {
                assert_eq!(other, Read::Bytes(bytes_of(seed, 100_000).to_vec()));
                served += 1;
            }
        }
    }
    assert_eq!((served, store.usage().blobs, store.usage().corrupt), (1, 1, 4));
    let left = files_below(&blobs);
    assert!(
        left.contains(&blobs.join("sha256/00/notes.txt")),
        "what is not ours is left alone"
    );
    assert_eq!(left.len(), 3, "one blob, the lock, the note: {left:?}");
}

#[tokio::test]
async fn two_stores_never_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions {
        directory: directory.path().to_owned(),
        capacity_bytes: 1 << 20,
    };
    let first = DiskBlobStore::open(options.clone()).unwrap();
    let Err(OpenError::InUse { holder, .. }) = DiskBlobStore::open(options.clone()) else {
        panic!("two holders")
    };
    assert_eq!(holder, std::process::id().to_string());
    drop(first);
    DiskBlobStore::open(options).unwrap();
}

#[tokio::test]
async fn an_upload_that_ends_early_leaves_no_file() {
    use futures::stream;
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    for failing in [true, false] {
        let bytes = bytes_of(1, 5_000_000);
        let digest = Digest::of(F, &bytes);
        let mut pieces: Vec<_> = (0..4)
            .map(|at| Ok(bytes.slice(at * 1_000_000..(at + 1) * 1_000_000)))
            .collect();
        if failing {
            pieces.push(Err(std::io::Error::other("on purpose")));
        }
        store
            .put(Blob::checked(digest, stream::iter(pieces)))
            .await
            .unwrap_err();
        support::wait_until("no file is left", || entry_files(directory.path()).is_empty()).await;
        let incoming = directory.path().join("blobs/incoming");
        support::wait_until("nothing is incoming", || files_below(&incoming).is_empty()).await;
        support::wait_until("the room is free again", || store.usage().bytes == 0).await;
    }
}
