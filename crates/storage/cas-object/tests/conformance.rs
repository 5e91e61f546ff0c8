//! The contracts, over stores that need no server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cas_object::{Options, open};

fn options() -> Options {
    Options {
        // Exact misses, as a single process would have them anyway.
        refresh_interval: Duration::ZERO,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_in_memory() {
    cas::conformance::check(async || {
        let storage = open("memory:///some/where", options()).await.unwrap();
        cas::conformance::Fresh {
            store: storage.blobs.clone(),
            keep: Box::new(storage),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_in_memory() {
    action_cache::conformance::check(async || {
        let storage = open("memory:///", options()).await.unwrap();
        action_cache::conformance::Fresh {
            cache: storage.action_cache.clone(),
            keep: Box::new(storage),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_in_a_directory() {
    cas::conformance::check(async || {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().display());
        let storage = open(&url, options()).await.unwrap();
        cas::conformance::Fresh {
            store: storage.blobs.clone(),
            keep: Box::new((storage, directory)),
        }
    })
    .await;
}
