//! A start over a full store: the time to the first answer after a clean stop and after kill -9, and the memory that
//! the blobs take.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blob::Digest;
use reapi::execution::FindMissingBlobsRequest;
use tempfile::TempDir;

use super::ROUNDS;
use super::figure::{Aim, figure, figures};
use super::peer::{Kind, Peer};
use super::requests::{Connections, tiny};
use crate::client::FUNCTION;

const CONNECTIONS: usize = 4;
/// The aims are for this many blobs, and are shown unscaled.
const AIMED_BLOBS: u64 = 10_000_000;
const CLEAN_SECONDS_AIM: f64 = 5.0;
const KILLED_SECONDS_AIM: f64 = 15.0;
const FIXED_BYTES: f64 = (64 << 20) as f64;
const BLOB_BYTES_AIM: f64 = 64.0;
/// Stored before each kill -9, so that there is something unfinished to find.
const BEFORE_KILL: u64 = 20_000;
/// Blobs that are asked for after each start: one that found an empty store would be quick, too.
const SAMPLE: u64 = 10_000;
/// Where `farrier up` keeps blobs in its data directory.
const STORAGE: &str = "storage";

pub(crate) async fn run(blobs: u64) -> Result<()> {
    let peer = Peer::start(Kind::Farrier).await?;
    let empty = peer.resident_bytes()? as f64;
    let mut directory = fill(peer, blobs).await?;
    let (mut clean, mut killed, mut resident) = (vec![], vec![], vec![]);
    let mut stored = blobs;
    for _ in 0..ROUNDS {
        let (peer, duration) = Peer::start_in(Kind::Farrier, directory).await?;
        clean.push(duration.as_secs_f64());
        resident.push(peer.resident_bytes()? as f64);
        ensure_stored(&peer, stored).await?;
        directory = peer.stop().await?;
    }
    for _ in 0..ROUNDS {
        let (peer, _) = Peer::start_in(Kind::Farrier, directory).await?;
        Connections::open(&peer, CONNECTIONS)
            .await?
            .fill(stored..stored + BEFORE_KILL)
            .await?;
        stored += BEFORE_KILL;
        let (peer, duration): (Peer, Duration) = Peer::start_in(Kind::Farrier, peer.kill().await?).await?;
        killed.push(duration.as_secs_f64());
        ensure_stored(&peer, stored).await?;
        directory = peer.stop().await?;
    }
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    figures();
    let for_blobs = format!("{blobs} blobs (the aim is for {AIMED_BLOBS})");
    figure(
        &format!("start after SIGTERM, s, {for_blobs}"),
        &clean,
        &[],
        Aim::AtMost(CLEAN_SECONDS_AIM),
    );
    figure(
        &format!("start after kill -9, s, {for_blobs}"),
        &killed,
        &[],
        Aim::AtMost(KILLED_SECONDS_AIM),
    );
    figure("resident, empty, MiB", &[mebibytes(empty)], &[], Aim::None);
    let full: Vec<f64> = resident.iter().map(|bytes| mebibytes(*bytes)).collect();
    figure("resident after the start, MiB", &full, &[], Aim::None);
    let of_a_blob = |from: f64| -> Vec<f64> {
        resident
            .iter()
            .map(|bytes| (bytes - from) / blobs as f64)
            .collect()
    };
    figure(
        "resident bytes a blob, beyond an empty store",
        &of_a_blob(empty),
        &[],
        Aim::None,
    );
    figure(
        "resident bytes a blob, beyond 64 MiB",
        &of_a_blob(FIXED_BYTES),
        &[],
        Aim::AtMost(BLOB_BYTES_AIM),
    );
    Ok(())
}

/// Blobs from all over the store, the last ones among them, are there.
async fn ensure_stored(peer: &Peer, stored: u64) -> Result<()> {
    let sample = SAMPLE.min(stored);
    let request = FindMissingBlobsRequest {
        blob_digests: (1..=sample)
            .map(|index| Digest::of(FUNCTION, &tiny(stored * index / sample - 1)).to_proto())
            .collect(),
        ..Default::default()
    };
    let connections = Connections::open(peer, 1).await?;
    let response = connections.cas(0).find_missing_blobs(request).await?.into_inner();
    let missing = response.missing_blob_digests.len();
    ensure!(
        missing == 0,
        "{missing} of {sample} of the {stored} blobs are missing after the start"
    );
    Ok(())
}

/// Stops the server and hands back its directory, full: by the example `fill` of the storage engine if it was built,
/// which takes a tenth of the time, else through the door.
pub(super) async fn fill(peer: Peer, blobs: u64) -> Result<TempDir> {
    let example = std::env::current_exe()
        .context("cannot tell where this program is")?
        .with_file_name("examples")
        .join("fill");
    if !example.exists() {
        Connections::open(&peer, CONNECTIONS)
            .await?
            .fill(0..blobs)
            .await?;
        return peer.stop().await;
    }
    let directory = peer.stop().await?;
    run_example(&example, &directory.path().join(STORAGE), blobs)?;
    Ok(directory)
}

fn run_example(example: &Path, storage: &Path, blobs: u64) -> Result<()> {
    let status = Command::new(example)
        .arg(storage)
        .arg(blobs.to_string())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", example.display()))?;
    ensure!(status.success(), "{} failed: {status}", example.display());
    Ok(())
}
