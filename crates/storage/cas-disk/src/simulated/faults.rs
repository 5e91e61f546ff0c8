//! Every operation on the disk fails once: the call that needed it says so, nothing that was acknowledged is lost, and
//! the store works again as soon as the disk does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use blob::{Blob, Digest};
use cas::BlobStore;

use super::crash::{CAPACITY_BYTES, F, content, open, read, runtime};
use super::{Dice, SimulatedVolume, Site, rounds};

const BLOBS: usize = 24;

/// Puts blobs one after the other, reading some in between; the numbers of those that were acknowledged.
async fn live(volume: &SimulatedVolume, store: &crate::DiskBlobStore) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for number in 0..BLOBS {
        if store.put(Blob::from_bytes(F, content(number))).await.is_ok() {
            acknowledged.push(number);
        }
        if number.is_multiple_of(3) {
            let bytes = content(number);
            if let Ok(Some(read)) = read(store, &Digest::of(F, &bytes)).await {
                assert!(read == bytes, "blob {number} is wrong");
            }
        }
        volume.said(number);
    }
    acknowledged
}

async fn check(store: &crate::DiskBlobStore, acknowledged: &[usize], when: &str) {
    for number in acknowledged {
        let bytes = content(*number);
        let read = read(store, &Digest::of(F, &bytes)).await;
        assert!(
            read == Ok(Some(bytes.to_vec())),
            "{when}: blob {number}: {:?}",
            read.map(|read| read.is_some())
        );
    }
}

fn error_of(kind: usize) -> io::Error {
    // EIO, ENOSPC, EDQUOT.
    io::Error::from_raw_os_error([5, 28, 122][kind % 3])
}

/// How many operations the life above takes.
fn operations() -> usize {
    let counter = Arc::new(AtomicUsize::new(0));
    let volume = SimulatedVolume::new();
    runtime().block_on(async {
        let store = open(&volume, CAPACITY_BYTES);
        let counted = counter.clone();
        volume.fail(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        });
        assert_eq!(live(&volume, &store).await.len(), BLOBS);
    });
    counter.load(Ordering::SeqCst)
}

#[test]
fn every_operation_may_fail_once() {
    let runtime = runtime();
    let operations = operations();
    assert!(operations >= 60, "only {operations} sites");
    for site in 0..operations {
        for kind in 0..2 {
            let volume = SimulatedVolume::new();
            runtime.block_on(async {
                let store = open(&volume, CAPACITY_BYTES);
                let mut at = 0;
                volume.fail(move |_| {
                    at += 1;
                    (at == site + 1).then(|| error_of(kind))
                });
                let acknowledged = live(&volume, &store).await;
                volume.heal();
                assert!(
                    acknowledged.len() + 1 >= BLOBS,
                    "one failure, one refusal: {acknowledged:?}"
                );
                check(&store, &acknowledged, "without a restart").await;
                // Whatever was refused is taken now.
                for number in 0..BLOBS {
                    store
                        .put(Blob::from_bytes(F, content(number)))
                        .await
                        .expect("the disk is well again");
                }
                drop(store);
                check(&open(&volume, CAPACITY_BYTES), &acknowledged, "after a restart").await;
            });
        }
    }
}

#[test]
fn a_disk_that_fails_at_random_never_makes_anything_wrong() {
    let runtime = runtime();
    for seed in 0..rounds(60) {
        let volume = SimulatedVolume::new();
        runtime.block_on(async {
            let store = open(&volume, CAPACITY_BYTES);
            let mut dice = Dice::new(seed as u64);
            let one_in = 2 + dice.roll(12);
            volume.fail(move |site| {
                let fails = dice.roll(one_in) == 0 && site != Site::Names;
                fails.then(|| error_of(dice.roll(3)))
            });
            let acknowledged = live(&volume, &store).await;
            volume.heal();
            check(&store, &acknowledged, "without a restart").await;
            drop(store);
            let volume = volume.copy();
            check(&open(&volume, CAPACITY_BYTES), &acknowledged, "after a restart").await;
        });
    }
}

/// The kernel may forget what a failed sync was about: it counts as lost, also when the next sync succeeds.
#[test]
fn a_failed_sync_is_never_taken_back() {
    let runtime = runtime();
    let volume = SimulatedVolume::new();
    runtime.block_on(async {
        let store = open(&volume, CAPACITY_BYTES);
        store
            .put(Blob::from_bytes(F, content(0)))
            .await
            .expect("the disk is well");
        volume.fail(|site| (site == Site::Sync).then(|| error_of(0)));
        assert!(store.put(Blob::from_bytes(F, content(1))).await.is_err());
        volume.heal();
        let lost = Digest::of(F, &content(1));
        assert_eq!(read(&store, &lost).await, Ok(None));
        store
            .put(Blob::from_bytes(F, content(2)))
            .await
            .expect("the disk is well again");
        check(&store, &[0, 2], "beside a failed sync").await;
        assert_eq!(read(&store, &lost).await, Ok(None));
    });
}

/// A disk that cannot be read for a while when room is needed: nothing is thrown away because of that.
#[test]
fn nothing_is_dropped_because_it_cannot_be_read_just_now() {
    let runtime = runtime();
    let volume = SimulatedVolume::new();
    runtime.block_on(async {
        let store = open(&volume, CAPACITY_BYTES);
        let mut kept = Vec::new();
        let build = || cas::Invocation::new("build");
        for number in 0..BLOBS {
            let put = store.put(Blob::from_bytes(F, content(number)));
            cas::Invocation::scope(build(), put).await.expect("there is room");
            kept.push(number);
        }
        volume.fail(|site| (site == Site::Read).then(|| error_of(0)));
        let mut refused = 0;
        for number in 1000..3000 {
            let put = store.put(Blob::from_bytes(F, content(number))).await;
            refused += usize::from(put.is_err());
            if refused > 5 {
                break;
            }
        }
        assert!(refused > 0, "room was never needed");
        volume.heal();
        check(&store, &kept, "after the disk came back").await;
        assert_eq!(store.usage().corrupt, 0);
        // A little later: after a vain search nobody looks for room at once.
        let mut taken = false;
        for _ in 0..200 {
            taken = store.put(Blob::from_bytes(F, content(5000))).await.is_ok();
            if taken {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(taken, "room can be made again");
    });
}
