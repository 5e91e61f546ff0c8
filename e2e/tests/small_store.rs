//! Real Bazel on a store that is hardly larger than its build, while somebody else keeps filling it.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::bazel::Bazel;
use e2e::client::Client;
use e2e::farrier::Farrier;
use e2e::tools;

/// What is built: everything that is meant to succeed, and quickly.
const EVERYTHING: &[&str] = &[
    "--build_tag_filters=-fails,-slow",
    "--test_tag_filters=-fails,-slow",
    "//...",
];
/// Builds one after the other: a few for each change, `FARRIER_ROUNDS` times as many when that is set (5: the ten of
/// the promise).
const BUILDS: usize = 2;
/// What the other client uploads at a time, and how long it rests in between: several times the store in a build.
const FILL_BLOBS: usize = 40;
const FILL_BLOB_BYTES: usize = 40_000;
const FILL_REST: Duration = Duration::from_millis(10);
/// A store below this is refused.
const STORE_BYTES_MIN: u64 = 1 << 20;

fn builds() -> usize {
    let times = std::env::var("FARRIER_ROUNDS")
        .ok()
        .and_then(|times| times.parse::<usize>().ok());
    BUILDS * times.unwrap_or(1)
}

/// What a whole build with its tests leaves in the store, in bytes of content.
fn build_bytes() -> Result<u64> {
    let mut farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    bazel.run("test", EVERYTHING)?.assert_success();
    farrier.interrupt()?;
    farrier.ended(Duration::from_secs(30))?;
    let listing = Command::new(tools::farrier()?)
        .args(["cas", "du", "--bytes", "--data-dir"])
        .arg(farrier.data_directory())
        .output()?;
    let listing = String::from_utf8(listing.stdout)?;
    let blobs = listing.lines().filter(|line| line.starts_with("blob "));
    let bytes: u64 = blobs
        .map(|line| {
            line.split_whitespace()
                .rev()
                .nth(1)
                .and_then(|bytes| bytes.parse::<u64>().ok())
        })
        .sum::<Option<u64>>()
        .with_context(|| listing.clone())?;
    anyhow::ensure!(bytes > 0, "nothing was listed:\n{listing}");
    Ok(bytes)
}

/// Uploads blobs nobody has seen before, on behalf of no build, until `stop`. Refusals are an answer like any other.
async fn fill(url: String, stop: &AtomicBool, uploaded: &AtomicU64) -> Result<()> {
    let client = Client::connect(&url, "").await?;
    let mut seed = 1u64;
    while !stop.load(Ordering::SeqCst) {
        let blobs: Vec<Vec<u8>> = (0..FILL_BLOBS)
            .map(|_| {
                let mut bytes = Vec::with_capacity(FILL_BLOB_BYTES);
                while bytes.len() < FILL_BLOB_BYTES {
                    seed = seed
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    bytes.extend_from_slice(&(seed ^ (seed >> 31)).to_le_bytes());
                }
                bytes
            })
            .collect();
        let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
        if client.batch_upload(&blobs).await.is_ok() {
            uploaded.fetch_add((FILL_BLOBS * FILL_BLOB_BYTES) as u64, Ordering::SeqCst);
        }
        tokio::time::sleep(FILL_REST).await;
    }
    Ok(())
}

/// Runs `work` while somebody fills the store; how many bytes were uploaded meanwhile.
fn while_filled(url: String, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let (stop, uploaded) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let filling = scope.spawn(|| -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(fill(url, &stop, &uploaded))
        });
        let worked = work();
        stop.store(true, Ordering::SeqCst);
        filling.join().expect("filling does not panic")?;
        worked
    })?;
    Ok(uploaded.into_inner())
}

#[test]
fn builds_lose_nothing_in_a_store_of_twice_their_size_while_another_client_fills_it() -> Result<()> {
    let build_bytes = build_bytes().context("measuring the build")?;
    let size = (build_bytes * 2).max(STORE_BYTES_MIN);
    let farrier = Farrier::start_with(&["--cas-size", &size.to_string()])?;
    let mut uploaded = 0;
    for round in 0..builds() {
        let bazel = Bazel::remote(&farrier.grpc_url())?;
        uploaded += while_filled(farrier.http_url(), || {
            let build = bazel.run("test", EVERYTHING)?;
            build.assert_success().assert_said("10 tests pass");
            assert!(
                !build.output.contains("no longer available"),
                "round {round}:\n{}",
                build.output
            );
            Ok(())
        })?;
    }
    assert!(
        uploaded > size,
        "only {uploaded} bytes were pushed through a store of {size}"
    );
    println!(
        "{} builds of {build_bytes} bytes in a store of {size}, {uploaded} bytes pushed through it",
        builds()
    );
    Ok(())
}

#[test]
fn a_store_smaller_than_the_build_says_so_and_never_gives_a_wrong_output() -> Result<()> {
    let build_bytes = build_bytes().context("measuring the build")?;
    let size = (build_bytes / 3).max(STORE_BYTES_MIN);
    let farrier = Farrier::start_with(&["--cas-size", &size.to_string()])?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    // Bazel has exit codes of its own for a server that refuses; they come as an error with all it said.
    let said = match bazel.run("test", EVERYTHING) {
        Ok(build) if build.exit_code == 0 => {
            // What did not fit was uploaded or made again when it was needed.
            build.assert_said("10 tests pass");
            return Ok(());
        }
        Ok(build) => build.output,
        Err(error) => format!("{error:#}"),
    };
    let is_clear = [
        "RESOURCE_EXHAUSTED",
        "give the store more room",
        "this store takes at most",
    ];
    assert!(
        is_clear.iter().any(|text| said.contains(text)),
        "the build failed and did not say why:\n{said}"
    );
    Ok(())
}
