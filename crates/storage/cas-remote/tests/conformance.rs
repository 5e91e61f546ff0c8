//! The suite that every store passes, through a real server.

mod support;

use blob::InstanceName;
use cas::conformance::{self, DECORATORS, Decorator, Fresh};
use cas_remote::Compression;
use futures::future;
use services::StorageOptions;
use support::RunningServer;

async fn fresh(compression: Compression, instance: &str) -> Fresh {
    let server = RunningServer::start(cas::memory(64 << 20)).await;
    let channel = server.connect(compression).await;
    let instance = InstanceName::new(instance).expect("a good name");
    Fresh {
        store: channel.blob_store(instance),
        keep: Box::new((server, channel)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_without_compression() {
    conformance::check(async || fresh(Compression::Never, "").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_zstd_and_a_slash_in_the_instance_name() {
    conformance::check(async || fresh(Compression::Always, "team/x").await).await;
}

/// What is behind the server may be any decorator, and all of them at once.
async fn every_decorator(compression: Compression) {
    let all: Decorator = ("all", conformance::all_around);
    // At the same time, because a check mostly waits for retries.
    let checks = DECORATORS.into_iter().chain([all]).map(async |(name, decorate)| {
        conformance::check(async || {
            let server = RunningServer::start(decorate(cas::memory(64 << 20))).await;
            let channel = server.connect(compression).await;
            Fresh {
                store: channel.blob_store(InstanceName::default()),
                keep: Box::new((server, channel)),
            }
        })
        .await;
        println!("{name} conforms");
    });
    future::join_all(checks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decorator_conforms_through_a_server() {
    every_decorator(Compression::Never).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decorator_conforms_through_a_server_with_zstd() {
    every_decorator(Compression::Always).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_when_the_server_is_bounded() {
    let fresh = async |capacity_bytes| {
        let server = {
            // As a server must be set up: it never promises to take what its store cannot hold.
            let blob_size_bytes_max = capacity_bytes - 256;
            let options = StorageOptions {
                blob_size_bytes_max,
                ..StorageOptions::default()
            };
            RunningServer::start_with(cas::memory(capacity_bytes), options).await
        };
        let channel = server.connect(Compression::Auto).await;
        Fresh {
            store: channel.blob_store(InstanceName::default()),
            keep: Box::new((server, channel)),
        }
    };
    conformance::check_bounded(fresh, 4 << 20).await;
}
