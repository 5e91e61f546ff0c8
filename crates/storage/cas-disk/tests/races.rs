//! Everybody at once in a store that is always full: whatever is read is right, what was just put is there, and
//! the books balance at the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use blob::{Blob, Digest, DigestSet};
use cas::{BlobStore, StoreError};
use cas_disk::DiskBlobStore;
use support::{F, Read, bytes_of, open, read, segments, wait_until};
use tokio::task::JoinSet;

mod support;

const CAPACITY_BYTES: u64 = 6 << 20;
const CLIENTS: u64 = 8;
const ROUNDS: u64 = 600;
/// Few enough that clients meet at the same blobs all the time, more than fit.
const BLOBS: u64 = 48;

fn size_of(number: u64) -> usize {
    [100, 70_000, 200_000, 1_200_000][(number % 4) as usize]
}

async fn play(client: u64, store: Arc<DiskBlobStore>, contents: Arc<Vec<(Digest, bytes::Bytes)>>) {
    for round in 0..ROUNDS {
        let random = bytes_of(client << 32 | round, 16);
        let (number, what) = (u64::from(random[0]) % BLOBS, random[1] % 4);
        let (digest, bytes) = &contents[number as usize];
        match what {
            0 | 1 => {
                match store.put(Blob::from_bytes(F, bytes.clone())).await {
                    // Others may fill the store with what they are writing; they are not stuck.
                    Ok(()) | Err(StoreError::NoSpace { .. }) => {}
                    Err(error) => panic!("put of {digest}: {error}"),
                }
            }
            2 => match read(&*store, digest).await {
                Read::Miss => {}
                other => assert!(other == Read::Bytes(bytes.to_vec()), "blob {number}"),
            },
            _ => {
                // Not all of them: what is promised all the time may never go.
                store.find_missing(&DigestSet::from(*digest)).await.unwrap();
            }
        }
        assert!(store.usage().bytes <= CAPACITY_BYTES);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_store_under_many_clients_loses_its_way_never() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), CAPACITY_BYTES);
    let contents = (0..BLOBS).map(|number| bytes_of(number, size_of(number)));
    let contents: Arc<Vec<_>> = Arc::new(contents.map(|bytes| (Digest::of(F, &bytes), bytes)).collect());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(play(client, store.clone(), contents.clone()));
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    // An eviction that met a new file of the same name would have taken it, and this would be an entry without one.
    assert_eq!(store.usage().corrupt, 0, "an entry lost its file");
    assert!(
        store.usage().evicted > 100,
        "the store was not full: {:?}",
        store.usage()
    );
    wait_until("every file is known", || {
        segments(&directory.path().join("blobs")).len() as u64 == store.usage().segments
    })
    .await;
    let (missing, mut held) = (
        store
            .find_missing(&contents.iter().map(|(digest, _)| *digest).collect())
            .await
            .unwrap(),
        0,
    );
    for (digest, bytes) in contents.iter() {
        match read(&*store, digest).await {
            Read::Miss => assert!(missing.contains(digest)),
            other => {
                assert!(other == Read::Bytes(bytes.to_vec()) && !missing.contains(digest));
                held += 1;
            }
        }
    }
    assert_eq!(held, store.usage().blobs);
}
