//! `Capabilities.GetCapabilities`.

use reapi::execution::{GetCapabilitiesRequest, ServerCapabilities, compressor, digest_function};
use services::{ExecutionOffer, StorageOptions};
use tonic::Code;

use crate::support::*;

async fn capabilities(server: &Server, instance_name: &str) -> ServerCapabilities {
    let request = GetCapabilitiesRequest {
        instance_name: instance_name.to_owned(),
    };
    server
        .capabilities()
        .get_capabilities(request)
        .await
        .unwrap()
        .into_inner()
}

fn with_execution() -> StorageOptions {
    let execution = ExecutionOffer {
        priorities: -5..=7,
        node_properties: vec!["mtime".into(), "unix_mode".into()],
    };
    StorageOptions {
        execution: Some(execution),
        ..StorageOptions::default()
    }
}

#[tokio::test]
async fn c1_halves_are_there_as_far_as_they_work_and_names_are_checked() {
    let server = Server::start().await;
    assert_eq!(capabilities(&server, "").await.execution_capabilities, None);
    assert!(capabilities(&server, SLASHED).await.cache_capabilities.is_some());
    // No scheduler runs here: the answer does not need one.
    let server = Server::with(cas::memory(1 << 20), with_execution()).await;
    assert!(capabilities(&server, "").await.execution_capabilities.is_some());
    for (unknown, quoted) in [("nobody", true), ("a/blobs", false)] {
        let request = GetCapabilitiesRequest {
            instance_name: unknown.to_owned(),
        };
        let status = refused(
            server.capabilities().get_capabilities(request).await,
            Code::InvalidArgument,
        );
        // The names that would have worked are named.
        assert_eq!(status.message().contains("`team/a`"), quoted, "{status}");
    }
}

#[tokio::test]
async fn c2_versions_are_in_order_and_include_2_0() {
    let server = Server::start().await;
    let capabilities = capabilities(&server, "").await;
    let version = |version: &Option<reapi::semver::SemVer>| {
        let version = version.as_ref().unwrap();
        (version.major, version.minor)
    };
    let versions = [
        &capabilities.deprecated_api_version,
        &capabilities.low_api_version,
        &capabilities.high_api_version,
    ];
    assert_eq!(versions.map(version), [(2, 0), (2, 0), (2, 12)]);
}

#[tokio::test]
async fn c3_the_cache_half_says_what_holds() {
    let options = StorageOptions {
        blob_size_bytes_max: 12345,
        ..StorageOptions::default()
    };
    let server = Server::with(cas::memory(1 << 20), options).await;
    let cache = capabilities(&server, "").await.cache_capabilities.unwrap();
    let all: Vec<i32> = blob::DigestFunction::ALL
        .map(|function| function.to_proto() as i32)
        .into();
    assert_eq!(cache.digest_functions, all);
    assert_eq!(cache.max_cas_blob_size_bytes, 12345);
    assert!(cache.max_batch_total_size_bytes > 1 << 20 && cache.max_batch_total_size_bytes < 4 << 20);
    let compressors = [compressor::Value::Identity as i32, compressor::Value::Zstd as i32];
    assert_eq!(cache.supported_compressors, compressors);
    assert_eq!(cache.supported_batch_update_compressors, compressors);
    assert!(!cache.split_blob_support && !cache.splice_blob_support);
    assert_eq!(
        (cache.fast_cdc_2020_params, cache.rep_max_cdc_params),
        (None, None)
    );
    let updates = |cache: &reapi::execution::CacheCapabilities| {
        cache
            .action_cache_update_capabilities
            .as_ref()
            .unwrap()
            .update_enabled
    };
    assert!(updates(&cache));
    assert!(!updates(
        &capabilities(&server, WORKERS_ONLY)
            .await
            .cache_capabilities
            .unwrap()
    ));
}

#[tokio::test]
async fn k1_k4_chunks_are_offered_where_the_store_can_hold_them() {
    let store = cas::chunked(cas::memory(1 << 20), 1 << 20);
    let server = Server::with_recipes(store.clone(), Some(store), StorageOptions::default()).await;
    let cache = capabilities(&server, "").await.cache_capabilities.unwrap();
    assert!(cache.split_blob_support && cache.splice_blob_support);
    let fast = cache.fast_cdc_2020_params.unwrap();
    assert_eq!((fast.avg_chunk_size_bytes, fast.seed), (512 << 10, 0));
    let rep_max = cache.rep_max_cdc_params.unwrap();
    assert_eq!(
        (rep_max.min_chunk_size_bytes, rep_max.horizon_size_bytes),
        (256 << 10, 2 << 20)
    );
}

#[tokio::test]
async fn c4_c5_the_execution_half_says_what_holds() {
    let server = Server::with(cas::memory(1 << 20), with_execution()).await;
    let execution = capabilities(&server, "").await.execution_capabilities.unwrap();
    assert!(execution.exec_enabled);
    assert_eq!(execution.digest_function, digest_function::Value::Sha256 as i32);
    assert!(execution.digest_functions.contains(&execution.digest_function));
    assert!(
        !execution
            .digest_functions
            .contains(&(digest_function::Value::Unknown as i32))
    );
    let ranges = execution.execution_priority_capabilities.unwrap().priorities;
    assert_eq!(
        ranges
            .iter()
            .map(|range| (range.min_priority, range.max_priority))
            .collect::<Vec<_>>(),
        [(-5, 7)]
    );
    assert_eq!(execution.supported_node_properties, ["mtime", "unix_mode"]);
}

#[tokio::test]
async fn c6_absolute_symlinks_are_allowed() {
    let server = Server::start().await;
    let cache = capabilities(&server, "").await.cache_capabilities.unwrap();
    let allowed = reapi::execution::symlink_absolute_path_strategy::Value::Allowed as i32;
    assert_eq!(cache.symlink_absolute_path_strategy, allowed);
}
