//! A disk without room: a clear error, nothing left behind, and no restart
//! needed afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use action::ActionDigest;
use action_cache::ActionCache;
use blob::{Blob, Digest, InstanceName};
use cas::{BlobStore, StoreError};
use cas_disk::{DiskOptions, DiskResults};
use futures::stream;
use reapi::execution::ActionResult;
use support::{F, Read, blob_of, bytes_of, is_no_space, open, read, segments, wait_until};

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
    let log = DiskResults::open(DiskOptions::new(directory, 1 << 30)).unwrap();
    let results = log.of(&InstanceName::default());
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
        reason.contains("blobs") && reason.contains("capacity"),
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

    wait_until("only what is held is left", || {
        segments(&directory.join("blobs")).len() as u64 == store.usage().segments
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
    let refused = store.put(blob_of(2, 3_000_000)).await;
    assert!(is_no_space(&refused), "{refused:?}");
    drop(upload);
    // Its room comes back when its file is gone, which a thread sees to.
    wait_until("its file is gone", || {
        segments(&directory.path().join("blobs")).is_empty()
    })
    .await;
    let mut again = store.put(blob_of(2, 3_000_000)).await;
    for _ in 0..500 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        again = store.put(blob_of(2, 3_000_000)).await;
    }
    again.unwrap();
}

/// Uploads that are given up at any moment, in a queue or on the way back, leave no room behind that is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_given_up_at_any_moment_cost_no_room() {
    use futures::StreamExt;
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 16 << 20);
    for round in 0..300u64 {
        let uploads = (0..4).map(|number| {
            let store = store.clone();
            async move { store.put(blob_of(round * 10 + number, 700_000)).await }
        });
        let mut uploads: futures::stream::FuturesUnordered<_> = uploads.collect();
        // Some get nowhere, some all the way.
        for _ in 0..round % 5 {
            let _gone_on = futures::FutureExt::now_or_never(uploads.next());
            tokio::task::yield_now().await;
            // Only moves the end to another moment.
            std::thread::sleep(std::time::Duration::from_micros(round * 37 % 900));
        }
    }
    let (mut counted, mut there) = (0, 0);
    for seed in 0..400 {
        // The books are kept with every batch.
        let _full = store.put(blob_of(1 << 40 | seed, 10)).await;
        let files = segments(&directory.path().join("blobs"));
        let on_disk = files.iter().filter_map(|path| fs::metadata(path).ok());
        let on_disk: u64 = on_disk.map(|file| file.len().next_multiple_of(4096)).sum();
        // The segment in use counts for its room.
        (counted, there) = (store.usage().bytes, on_disk + (256 << 10) + 4096);
        if counted <= there {
            return;
        }
        // Threads are still taking files away.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{counted} bytes are counted, and there are at most {there}");
}
