//! The suite every store passes, on disk, alone and behind the decorators a server puts around it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use blob::{Blob, ByteRange, Digest};
use cas::conformance::{self, DECORATORS, Decorator, Fresh, FreshReadOnly};
use cas::{BlobStore, StoreError};
use cas_disk::{Compression, DiskBlobStore, DiskOptions, Durability};

mod support;

fn fresh(capacity_bytes: u64, decorate: impl Fn(Arc<dyn BlobStore>) -> Arc<dyn BlobStore>) -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = support::open(directory.path(), capacity_bytes);
    Fresh {
        store: decorate(store),
        keep: Box::new(directory),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::check(async || fresh(256 << 20, |store| store)).await;
}

#[tokio::test]
async fn conforms_on_one_thread() {
    conformance::check(async || fresh(256 << 20, |store| store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_decorated() {
    let decorate = |store| cas::always_has_empty(cas::size_limited(store, 16 << 20));
    conformance::check(async || fresh(256 << 20, decorate)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_when_bounded() {
    conformance::check_bounded(
        async |capacity_bytes| fresh(capacity_bytes, |store| store),
        8 << 20,
    )
    .await;
}

/// Without syncs: what a decorator does with a store on disk does not depend on them.
fn quick(decorate: impl Fn(Arc<dyn BlobStore>) -> Arc<dyn BlobStore>) -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let options = DiskOptions {
        durability: Durability::Process,
        ..DiskOptions::new(directory.path(), 256 << 20)
    };
    Fresh {
        store: decorate(DiskBlobStore::open(options).unwrap()),
        keep: Box::new(directory),
    }
}

fn all_decorators() -> impl Iterator<Item = Decorator> {
    let all: Decorator = ("all", conformance::all_around);
    DECORATORS.into_iter().chain([all])
}

/// Coalesced, metered, overlaid, in front of a memory and behind one, one of a mirrored pair, and so on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decorator_conforms_over_a_disk() {
    for (name, decorate) in all_decorators() {
        println!("{name}");
        conformance::check(async || quick(decorate)).await;
    }
}

/// Only a store on disk has compressed bytes to give, so what a decorator makes of them is seen here only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_compressed_is_right_through_every_decorator() {
    let contents = [
        support::text_of(1, 300_000),
        support::bytes_of(2, 3_000_017),
        support::text_of(3, 40),
    ];
    let mut given = 0;
    for (name, decorate) in all_decorators() {
        let Fresh { store, keep: _keep } = quick(decorate);
        for bytes in &contents {
            let digest = Digest::of(support::F, bytes);
            // Before: nobody has frames of what is not there, or else they are of all of it.
            let missing = store.get_zstd(&digest, 0).await.unwrap();
            assert!(missing.is_none(), "{name}: frames of a blob that is not there");
            let blob = Blob::from_bytes(support::F, bytes.clone());
            store.put(blob).await.unwrap();
            for offset in [0, 1, bytes.len() as u64 / 2] {
                let frames = store.get_zstd(&digest, offset).await;
                let frames = match support::collect(frames).await {
                    support::Read::Miss => continue,
                    support::Read::Bytes(frames) => frames,
                    error => panic!("{name} from {offset}: {error:?}"),
                };
                given += 1;
                let is_right = zstd::decode_all(&frames[..]).unwrap() == bytes[offset as usize..];
                assert!(is_right, "{name}: {digest} from {offset}");
            }
        }
    }
    assert!(given > 60, "only {given} reads were answered with what is stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_when_nothing_new_is_taken() {
    let fresh = async || {
        let Fresh { store: behind, keep } = quick(|store| store);
        FreshReadOnly {
            store: cas::read_only(behind.clone()),
            behind,
            keep,
        }
    };
    conformance::check_read_only(fresh).await;
}

#[tokio::test]
async fn conforms_without_compression_and_sync() {
    let fresh = || {
        let directory = tempfile::tempdir().unwrap();
        let options = DiskOptions {
            compression: Compression::None,
            durability: Durability::Process,
            ..DiskOptions::new(directory.path(), 256 << 20)
        };
        Fresh {
            store: DiskBlobStore::open(options).unwrap(),
            keep: Box::new(directory),
        }
    };
    conformance::check(async || fresh()).await;
}

#[tokio::test]
async fn conforms_on_several_directories() {
    let fresh = || {
        let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let options = DiskOptions {
            directories: directories
                .iter()
                .map(|directory| directory.path().to_owned())
                .collect(),
            ..DiskOptions::new("", 256 << 20)
        };
        Fresh {
            store: DiskBlobStore::open(options).unwrap(),
            keep: Box::new(directories),
        }
    };
    conformance::check(async || fresh()).await;
}

#[tokio::test]
async fn the_largest_blob_is_as_large_as_it_says() {
    for capacity_bytes in [1 << 20, (3 << 20) + 5, 50 << 20] {
        let directory = tempfile::tempdir().unwrap();
        let store = support::open(directory.path(), capacity_bytes);
        let size_bytes_max = store.size_bytes_max();
        assert!(size_bytes_max < capacity_bytes && size_bytes_max > capacity_bytes / 2);
        let blob = |size_bytes: u64| Blob::from_bytes(support::F, support::bytes_of(1, size_bytes as usize));
        let refused = store.put(blob(size_bytes_max + 1)).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
        store.put(support::blob_of(7, 100)).await.unwrap();
        let largest = blob(size_bytes_max);
        let digest = largest.digest();
        store.put(largest).await.unwrap();
        assert!(store.get(&digest, ByteRange::FULL).await.unwrap().is_some());
        assert!(store.usage().bytes <= capacity_bytes, "{:?}", store.usage());
    }
}
