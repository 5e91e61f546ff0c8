//! The contracts, over stores that need no server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use action::ActionDigest;
use blob::{Digest, DigestFunction, InstanceName};
use cas_object::{Options, open};
use reapi::execution::ActionResult;

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
async fn results_of_a_named_instance() {
    let name = |name: &str| InstanceName::new(name).unwrap();
    action_cache::conformance::check(async || {
        let storage = open("memory:///", options()).await.unwrap();
        action_cache::conformance::Fresh {
            cache: storage.results_of(&name("team/a")),
            keep: Box::new(storage),
        }
    })
    .await;

    let storage = open("memory:///", options()).await.unwrap();
    let action = ActionDigest::new(Digest::of(DigestFunction::Sha256, b"action"));
    let result = |exit_code| ActionResult {
        exit_code,
        ..ActionResult::default()
    };
    let instances = ["", "team/a", "team/b"];
    for (exit_code, instance) in (0..).zip(instances) {
        let results = storage.results_of(&name(instance));
        assert_eq!(
            results.get(&action).await.unwrap(),
            None,
            "{instance} sees another's"
        );
        results.put(&action, result(exit_code)).await.unwrap();
    }
    for (exit_code, instance) in (0..).zip(instances) {
        let found = storage.results_of(&name(instance)).get(&action).await.unwrap();
        assert_eq!(found, Some(result(exit_code)), "{instance}");
    }
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
