//! A disk without room and a directory that cannot be written: a clear error, nothing left behind, and no restart
//! needed afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use action::ActionDigest;
use action_cache::ActionCache;
use blob::{Blob, Digest, InstanceName};
use cas::{BlobStore, StoreError};
use cas_disk::{DiskActionCache, DiskOptions};
use futures::stream;
use reapi::execution::ActionResult;
use support::{F, Read, blob_of, bytes_of, files_below, is_no_space, open, read, wait_until};

mod support;

const DIRECTORY: &str = "FARRIER_FULL_DISK_TEST_DIRECTORY";
const DISK_BYTES: usize = 8 << 20;

/// Runs the other test in a mount namespace of its own, where it may fill a small disk.
#[test]
fn a_full_disk_is_a_clear_error_and_recovers_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let namespaces: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["--mount"],
        false => &["--user", "--map-root-user", "--mount"],
    };
    let allowed = Command::new("unshare")
        .args(namespaces)
        .arg("true")
        .status()
        .is_ok_and(|status| status.success());
    if !allowed {
        println!(
            "skipped: a small disk needs `unshare`, and root or user namespaces, which this machine does not allow"
        );
        return;
    }
    let output = Command::new("unshare")
        .args(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "on_a_small_disk", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "it must have run: {said}");
}

/// Not for itself: does nothing unless it is told where to mount.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is started by the test above"]
async fn on_a_small_disk() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let size = format!("size={DISK_BYTES},mode=0700");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
        .arg(directory)
        .status()
        .unwrap();
    assert!(mounted.success());

    // Far more than the disk has: the disk is what ends first.
    let store = open(directory, 1 << 30);
    let options = DiskOptions {
        directory: directory.to_owned(),
        capacity_bytes: 1 << 30,
    };
    let results = DiskActionCache::open(options, &InstanceName::default()).unwrap();
    let ballast = directory.join("ballast");
    fs::write(&ballast, vec![1; DISK_BYTES / 2]).unwrap();

    let mut held = Vec::new();
    let refused = loop {
        let seed = held.len() as u64;
        match store.put(blob_of(seed, 300_000)).await {
            Ok(()) => held.push(seed),
            Err(error) => break error,
        }
        assert!(held.len() < 100, "the disk never filled up");
    };
    let StoreError::NoSpace { reason, .. } = &refused else {
        panic!("a full disk gave {refused}")
    };
    assert!(
        reason.contains("incoming") && reason.contains("capacity"),
        "{reason}"
    );
    assert!(held.len() > 5);

    let streamed = || {
        let bytes = bytes_of(1000, 3_000_000);
        let chunks: Vec<_> = bytes
            .chunks(100_000)
            .map(|chunk| Ok::<_, std::io::Error>(bytes.slice_ref(chunk)))
            .collect();
        Blob::checked(Digest::of(F, &bytes), stream::iter(chunks))
    };
    assert!(is_no_space(&store.put(streamed()).await));
    let action = ActionDigest::new(Digest::of(F, b"action"));
    let result = ActionResult {
        stdout_raw: bytes_of(7, 1_000_000),
        ..ActionResult::default()
    };
    assert!(is_no_space(&results.put(&action, result.clone()).await));

    let incoming = directory.join("blobs/incoming");
    wait_until("nothing is left behind", || files_below(&incoming).is_empty()).await;
    wait_until("only what is held is counted", || {
        let usage = store.usage();
        usage.blobs == held.len() as u64 && usage.bytes < (held.len() as u64 + 1) * 305_000
    })
    .await;
    assert_eq!(results.get(&action).await.unwrap(), None);
    for seed in &held {
        let bytes = bytes_of(*seed, 300_000);
        assert!(
            read(&*store, &Digest::of(F, &bytes)).await == Read::Bytes(bytes.to_vec()),
            "blob {seed}"
        );
    }

    fs::remove_file(&ballast).unwrap();
    store.put(streamed()).await.unwrap();
    results.put(&action, result.clone()).await.unwrap();
    assert!(read(&*store, &streamed().digest()).await == Read::Bytes(bytes_of(1000, 3_000_000).to_vec()));
    assert!(results.get(&action).await.unwrap() == Some(result));
    assert_eq!(store.usage().corrupt, 0);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_a_clear_error_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    let (incoming, away) = (
        directory.path().join("blobs/incoming"),
        directory.path().join("away"),
    );
    fs::rename(&incoming, &away).unwrap();
    for size_bytes in [10, 3_000_000] {
        let error = store.put(blob_of(1, size_bytes)).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Io { .. }) && error.to_string().contains("incoming"),
            "{error}"
        );
        assert_eq!(read(&*store, &blob_of(1, size_bytes).digest()).await, Read::Miss);
    }
    assert_eq!(store.usage().bytes, 0);
    fs::rename(&away, &incoming).unwrap();
    store.put(blob_of(1, 10)).await.unwrap();
    assert_eq!(
        read(&*store, &blob_of(1, 10).digest()).await,
        Read::Bytes(bytes_of(1, 10).to_vec())
    );
}

#[tokio::test]
async fn uploads_in_progress_that_fill_the_capacity_refuse_others_until_they_end() {
    use futures::{StreamExt, future};
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 << 20);
    let bytes = bytes_of(1, 7_000_000);
    // All of it but the end.
    let chunks: Vec<_> = bytes
        .chunks(1 << 20)
        .map(|chunk| Ok::<_, std::io::Error>(bytes.slice_ref(chunk)))
        .collect();
    let (sender, all_sent) = futures::channel::oneshot::channel::<()>();
    let stall = stream::once(async move {
        drop(sender);
        future::pending().await
    });
    let upload = store.put(Blob::checked(
        Digest::of(F, &bytes),
        stream::iter(chunks).chain(stall),
    ));
    let future::Either::Right((_, upload)) = future::select(upload, all_sent).await else {
        panic!("it cannot end")
    };
    wait_until("the last piece is written", || store.usage().bytes > 6_000_000).await;
    let refused = store.put(blob_of(2, 3_000_000)).await;
    assert!(is_no_space(&refused), "{refused:?}");
    drop(upload);
    wait_until("the room is free again", || store.usage().bytes == 0).await;
    store.put(blob_of(2, 3_000_000)).await.unwrap();
}
