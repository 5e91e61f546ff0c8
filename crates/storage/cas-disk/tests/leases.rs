//! What was promised to a build stays until the build has been quiet, and what was not makes room.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blob::{Blob, Digest, DigestSet};
use cas::{BlobStore, Invocation, Leases, Recipe, Recipes, StoreError};
use cas_disk::{Clock, DiskBlobStore, DiskOptions, LeaseOptions};
use support::{F, Read, blob_of, bytes_of, is_no_space, read};

mod support;

const CAPACITY_BYTES: u64 = 4 << 20;
const QUIET: Duration = Duration::from_secs(600);

struct Fixture {
    store: Arc<DiskBlobStore>,
    millis: Arc<AtomicU64>,
}

fn open(directory: &Path) -> Fixture {
    let (clock, millis) = Clock::manual();
    let options = DiskOptions {
        leases: LeaseOptions {
            quiet: QUIET,
            longest: Duration::from_secs(100_000),
            share_percent: 60,
            unnamed_share_percent: 20,
        },
        clock,
        ..DiskOptions::new(directory, CAPACITY_BYTES)
    };
    let store = DiskBlobStore::open(options).unwrap();
    Fixture { store, millis }
}

impl Fixture {
    fn pass(&self, time: Duration) {
        self.millis.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }

    /// Puts blobs of mixed sizes on behalf of a build until an error or the last one.
    async fn fill(&self, build: Option<&str>, seeds: std::ops::Range<u64>) -> Result<(), StoreError> {
        Invocation::scope(build.and_then(Invocation::new), async {
            for seed in seeds {
                self.store.put(blob_of(seed, size_of(seed))).await?;
            }
            Ok(())
        })
        .await
    }

    async fn missing(&self, build: Option<&str>, seeds: std::ops::Range<u64>) -> usize {
        let asked: DigestSet = seeds.map(digest_of).collect();
        Invocation::scope(build.and_then(Invocation::new), async {
            self.store.find_missing(&asked).await.unwrap().len()
        })
        .await
    }

    async fn assert_all_readable(&self, seeds: std::ops::Range<u64>, when: &str) {
        for seed in seeds {
            let bytes = bytes_of(seed, size_of(seed));
            assert!(
                read(&*self.store, &Digest::of(F, &bytes)).await == Read::Bytes(bytes.to_vec()),
                "{when}: blob {seed}"
            );
        }
    }
}

fn size_of(seed: u64) -> usize {
    [3_000, 9_000, 500, 40_000, 14_000][(seed % 5) as usize]
}

fn digest_of(seed: u64) -> Digest {
    Digest::of(F, &bytes_of(seed, size_of(seed)))
}

/// About a third of the store.
const BUILD: std::ops::Range<u64> = 0..100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_build_was_promised_survives_a_flood() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = open(directory.path());
    fixture.fill(Some("build"), BUILD).await.unwrap();
    // Ten times the store, from somebody who names no build.
    for round in 1..40 {
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        assert!(fixture.store.usage().bytes <= CAPACITY_BYTES);
        // The build goes on, at something else.
        fixture.pass(QUIET / 2);
        assert_eq!(fixture.missing(Some("build"), 0..1).await, 0);
    }
    assert_eq!(fixture.missing(None, BUILD).await, 0);
    fixture.assert_all_readable(BUILD, "after the flood").await;
    let usage = fixture.store.usage();
    assert!(
        usage.evicted > 1000 && usage.carried_bytes > 0 && usage.refused == 0,
        "{usage:?}"
    );
    // Quiet at last: the next flood takes it.
    fixture.pass(QUIET * 3);
    for round in 50..70 {
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        fixture.pass(QUIET);
    }
    assert!(fixture.missing(None, BUILD).await > 90);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_promises_as_much_as_an_upload() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = open(directory.path());
    fixture.fill(None, BUILD).await.unwrap();
    assert_eq!(fixture.missing(Some("build"), BUILD).await, 0, "just uploaded");
    // Held by an action that runs, without a question in between.
    let hold = fixture.store.hold(Invocation::new("build").as_ref());
    for round in 1..20 {
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        fixture.pass(QUIET);
    }
    fixture.assert_all_readable(BUILD, "held").await;
    drop(hold);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_everything_is_promised_writes_are_refused_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = open(directory.path());
    fixture.fill(Some("a"), 0..130).await.unwrap();
    let mut last = 0;
    let refused = loop {
        if let Err(error) = fixture.fill(Some("b"), 1000 + last..1001 + last).await {
            break error;
        }
        last += 1;
        assert!(last < 1000, "it never filled up");
    };
    let StoreError::NoSpace { reason, .. } = &refused else {
        panic!("a full store gave {refused}")
    };
    assert!(
        reason.contains("promised to 2 builds") && reason.contains("more room"),
        "{reason}"
    );
    fixture.assert_all_readable(0..130, "promised to a").await;
    fixture
        .assert_all_readable(1000..1000 + last, "promised to b")
        .await;
    // Another kind of blob, with a segment of its own.
    assert!(is_no_space(&fixture.store.put(blob_of(5000, 1_000_000)).await));
    assert!(fixture.store.usage().refused > 0);
    // A ends; B's are kept.
    fixture.pass(QUIET / 2);
    assert_eq!(fixture.missing(Some("b"), 1000..1000 + last).await, 0);
    fixture.pass(QUIET / 2 + Duration::from_secs(1));
    fixture.fill(None, 8000..8060).await.unwrap();
    fixture
        .assert_all_readable(1000..1000 + last, "promised to b, after a")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_what_was_promised() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = open(directory.path());
    fixture.fill(None, BUILD).await.unwrap();
    fixture.fill(None, 500..560).await.unwrap();
    fixture.pass(QUIET * 2);
    // Small enough that the segments it is in are within its share.
    assert_eq!(fixture.missing(Some("build"), 20..60).await, 0);
    drop(fixture);
    let fixture = open(directory.path());
    for round in 1..20 {
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        fixture.pass(QUIET / 40);
    }
    fixture
        .assert_all_readable(20..60, "promised before the restart")
        .await;
    fixture.pass(QUIET * 2);
    for round in 30..50 {
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        fixture.pass(QUIET);
    }
    assert!(
        fixture.missing(None, 20..60).await > 30,
        "nobody asked for it again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_kept_with_what_is_made_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = open(directory.path());
    let whole: Vec<u8> = (0..20).flat_map(|seed| bytes_of(seed, size_of(seed))).collect();
    let digest = Digest::of(F, &whole);
    fixture.fill(None, 0..20).await.unwrap();
    let recipe = Recipe {
        chunks: (0..20).map(digest_of).collect(),
        chunking_function: Default::default(),
    };
    fixture.store.splice(&digest, recipe).await.unwrap();
    fixture.pass(QUIET * 2);
    for round in 1..20 {
        let build = Invocation::new("build");
        let missing = Invocation::scope(build, fixture.store.find_missing(&DigestSet::from(digest))).await;
        assert!(missing.unwrap().is_empty());
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        fixture.pass(QUIET / 2);
    }
    assert!(read(&*fixture.store, &digest).await == Read::Bytes(whole));
    fixture.pass(QUIET * 2);
    for round in 30..50 {
        fixture.fill(None, round * 1000..round * 1000 + 80).await.unwrap();
        fixture.pass(QUIET);
    }
    // Gone as a whole or in part: it is missing either way, and may come again.
    assert_eq!(
        fixture
            .store
            .find_missing(&DigestSet::from(digest))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(fixture.store.split(&digest).await.unwrap(), None);
    assert_eq!(read(&*fixture.store, &digest).await, Read::Miss);
    let again: Vec<u8> = (0..20).flat_map(|seed| bytes_of(seed, size_of(seed))).collect();
    fixture
        .store
        .put(Blob::from_bytes(F, again.clone()))
        .await
        .unwrap();
    assert!(read(&*fixture.store, &digest).await == Read::Bytes(again));
}

/// Two builds bring the same blob at the same time. One of them is second; it was promised as much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_second_with_a_blob_holds_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = open(directory.path());
    for seed in BUILD {
        let put = |build: &str| {
            let blob = blob_of(seed, size_of(seed));
            let store = fixture.store.clone();
            Invocation::scope(Invocation::new(build), async move { store.put(blob).await })
        };
        let (one, other) = futures::future::join(put("one"), put("other")).await;
        one.unwrap();
        other.unwrap();
    }
    for build in ["one", "other"] {
        // The other one is quiet from now on.
        for round in 1..12 {
            fixture.pass(QUIET / 2);
            fixture.missing(Some(build), 0..1).await;
            let flood = if build == "one" { 1000 } else { 100_000 } + round * 1000;
            fixture.fill(None, flood..flood + 80).await.unwrap();
        }
        if build == "one" {
            fixture.assert_all_readable(BUILD, "held by one").await;
            assert_eq!(fixture.missing(Some("other"), BUILD).await, 0);
        }
    }
    fixture.assert_all_readable(BUILD, "held by the other").await;
}
