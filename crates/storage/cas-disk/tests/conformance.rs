//! The suite every store passes, on disk, alone and behind the decorators a server puts around it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use cas::BlobStore;
use cas::conformance::{self, Fresh};

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
