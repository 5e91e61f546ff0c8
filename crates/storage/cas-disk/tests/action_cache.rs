//! The action cache on disk: the suite every cache passes, restarts, damage.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use action::ActionDigest;
use action_cache::conformance::{self, Fresh};
use action_cache::{ActionCache, complete_only};
use blob::{Digest, InstanceName};
use cas::StoreError;
use cas_disk::{Compression, DiskActionCache, DiskOptions, DiskResults, OpenError};
use reapi::execution::ActionResult;
use support::F;

mod support;

fn open_as(directory: &Path, instance: &str, capacity_bytes: u64) -> Result<Arc<DiskActionCache>, OpenError> {
    let options = DiskOptions {
        // What these tests put compresses to next to nothing, and then nothing is ever full.
        compression: Compression::None,
        ..DiskOptions::new(directory, capacity_bytes)
    };
    let results = DiskResults::open(options)?;
    Ok(results.of(&InstanceName::new(instance).unwrap()))
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

type Decorate = fn(Arc<dyn ActionCache>) -> Arc<dyn ActionCache>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_in_a_stack() {
    let decorators: [(&str, Decorate); 6] = [
        ("metered", |disk| action_cache::metered(disk, Arc::default())),
        ("overlaid", |disk| {
            action_cache::overlaid(disk, action_cache::memory(32 << 20))
        }),
        ("read_through, in front", |disk| {
            action_cache::read_through(action_cache::memory(32 << 20), disk)
        }),
        ("read_through, behind", |disk| {
            action_cache::read_through(disk, action_cache::memory(32 << 20))
        }),
        ("pulled_through", |disk| {
            action_cache::pulled_through(disk, action_cache::memory(32 << 20))
        }),
        // What is put behind it is seen through it.
        ("read_only", |disk| {
            let read = action_cache::read_only(disk.clone());
            Arc::new(FilledBehind { read, behind: disk })
        }),
    ];
    for (name, decorate) in decorators {
        println!("{name}");
        let decorated = || {
            let Fresh { cache, keep } = fresh(64 << 20);
            Fresh {
                cache: decorate(cache),
                keep,
            }
        };
        conformance::check(async || decorated()).await;
    }
}

/// Results go behind a cache that takes none.
struct FilledBehind {
    read: Arc<dyn ActionCache>,
    behind: Arc<dyn ActionCache>,
}

#[async_trait::async_trait]
impl ActionCache for FilledBehind {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        self.read.get(action).await
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let refused = self.read.put(action, result.clone()).await;
        assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
        self.behind.put(action, result).await
    }
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
    drop(cache);
    let cache = open(directory.path());
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
    let results = DiskResults::open(DiskOptions::new(directory.path(), 8 << 20)).unwrap();
    let caches =
        ["", "main", "main/sub", "main%2fsub"].map(|name| results.of(&InstanceName::new(name).unwrap()));
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
        open_as(directory.path(), "main", 8 << 20),
        Err(OpenError::InUse { .. })
    ));
}

#[tokio::test]
async fn results_asked_for_outlive_those_that_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (clock, millis) = cas_disk::Clock::manual();
    let options = DiskOptions {
        clock,
        compression: Compression::None,
        ..DiskOptions::new(directory.path(), 1 << 20)
    };
    let results = DiskResults::open(options).unwrap();
    let cache = results.of(&InstanceName::default());
    for number in 0..600 {
        cache
            .put(&action_of(number), result_of(number as i32, 4000))
            .await
            .unwrap();
        assert!(
            cache.get(&action_of(0)).await.unwrap().is_some(),
            "after {number}"
        );
        millis.fetch_add(20_000, std::sync::atomic::Ordering::SeqCst);
    }
    assert!(cache.get(&action_of(1)).await.unwrap().is_none());
    assert!(
        results.usage().evicted > 200 && results.usage().bytes <= 1 << 20,
        "{:?}",
        results.usage()
    );
}
