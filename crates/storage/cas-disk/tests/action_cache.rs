//! The action cache on disk: the suite every cache passes, restarts, damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use action::ActionDigest;
use action_cache::conformance::{self, Fresh};
use action_cache::{ActionCache, complete_only};
use blob::{Digest, InstanceName};
use cas_disk::{DiskActionCache, DiskOptions, OpenError};
use reapi::execution::ActionResult;
use support::{F, entry_files};

mod support;

fn open_as(directory: &Path, instance: &str, capacity_bytes: u64) -> Result<Arc<DiskActionCache>, OpenError> {
    let options = DiskOptions {
        directory: directory.to_owned(),
        capacity_bytes,
    };
    DiskActionCache::open(options, &InstanceName::new(instance).unwrap())
}

fn open(directory: &Path) -> Arc<DiskActionCache> {
    open_as(directory, "main", 64 << 20).unwrap()
}

fn action_of(number: u64) -> ActionDigest {
    ActionDigest::new(Digest::of(F, &number.to_le_bytes()))
}

fn result_of(exit_code: i32, size_bytes: usize) -> ActionResult {
    ActionResult {
        exit_code,
        stdout_raw: vec![7; size_bytes].into(),
        ..ActionResult::default()
    }
}

fn fresh(capacity_bytes: u64) -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let cache = open_as(directory.path(), "main", capacity_bytes).unwrap();
    Fresh {
        cache,
        keep: Box::new(directory),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::check(async || fresh(64 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_when_bounded() {
    conformance::check_bounded(async |capacity_bytes| fresh(capacity_bytes), 4 << 20).await;
}

#[tokio::test]
async fn conforms_behind_the_check_for_completeness() {
    let decorated = || {
        let Fresh { cache, keep } = fresh(64 << 20);
        Fresh {
            cache: complete_only(cache, cas::memory(1 << 20)),
            keep,
        }
    };
    conformance::check(async || decorated()).await;
}

#[tokio::test]
async fn a_restart_keeps_the_last_result_of_each_action() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path());
    for number in 0..10 {
        cache.put(&action_of(number), result_of(1, 100)).await.unwrap();
        cache
            .put(&action_of(number), result_of(number as i32, 100_000))
            .await
            .unwrap();
    }
    // Encodes to no bytes at all.
    cache.put(&action_of(99), ActionResult::default()).await.unwrap();
    let usage = cache.usage();
    assert_eq!((usage.blobs, entry_files(directory.path()).len()), (11, 11));
    drop(cache);
    let cache = open(directory.path());
    assert_eq!(cache.usage(), usage);
    for number in 0..10 {
        assert!(cache.get(&action_of(number)).await.unwrap() == Some(result_of(number as i32, 100_000)));
    }
    assert_eq!(
        cache.get(&action_of(99)).await.unwrap(),
        Some(ActionResult::default())
    );
}

#[tokio::test]
async fn instances_know_nothing_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let caches =
        ["", "main", "main/sub", "main%2fsub"].map(|name| open_as(directory.path(), name, 1 << 20).unwrap());
    for (number, cache) in caches.iter().enumerate() {
        assert_eq!(cache.get(&action_of(1)).await.unwrap(), None);
        cache
            .put(&action_of(1), result_of(number as i32, 0))
            .await
            .unwrap();
    }
    for (number, cache) in caches.iter().enumerate() {
        assert_eq!(
            cache.get(&action_of(1)).await.unwrap(),
            Some(result_of(number as i32, 0))
        );
    }
    assert!(matches!(
        open_as(directory.path(), "main", 1 << 20),
        Err(OpenError::InUse { .. })
    ));
}

#[tokio::test]
async fn a_damaged_result_is_a_miss_and_can_be_put_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path());
    for size_bytes in [0, 50, 70_000, 300_000] {
        let result = result_of(5, size_bytes);
        cache.put(&action_of(1), result.clone()).await.unwrap();
        let path = entry_files(directory.path())[0].clone();
        let length = fs::metadata(&path).unwrap().len() as usize;
        // The first, some in between, and all of the trailer.
        for at in (0..length)
            .step_by(length / 20 + 1)
            .chain(length.saturating_sub(60)..length)
        {
            let mut file = fs::read(&path).unwrap();
            file[at] ^= 0x10;
            fs::write(&path, file).unwrap();
            let corrupt = cache.usage().corrupt;
            assert_eq!(
                cache.get(&action_of(1)).await.unwrap(),
                None,
                "byte {at} of {length}"
            );
            assert_eq!((cache.usage().corrupt, cache.usage().blobs), (corrupt + 1, 0));
            assert!(!path.exists());
            cache.put(&action_of(1), result.clone()).await.unwrap();
            assert!(cache.get(&action_of(1)).await.unwrap() == Some(result.clone()));
        }
    }
}

#[tokio::test]
async fn a_result_under_the_name_of_another_action_is_a_miss() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path());
    cache.put(&action_of(1), result_of(1, 10)).await.unwrap();
    let first = entry_files(directory.path())[0].clone();
    cache.put(&action_of(2), result_of(2, 10)).await.unwrap();
    let second = entry_files(directory.path())
        .into_iter()
        .find(|path| *path != first)
        .unwrap();
    fs::copy(&first, &second).unwrap();
    assert_eq!(cache.get(&action_of(2)).await.unwrap(), None);
    assert_eq!(cache.get(&action_of(1)).await.unwrap(), Some(result_of(1, 10)));
}
