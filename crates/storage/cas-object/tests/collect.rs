//! Collecting: what is used stays, what is not goes, and no promise is broken by a collection in the middle.
//!
//! Over a store in memory and a clock that is set by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use action::ActionDigest;
use blob::{Digest, DigestFunction, DigestSet};
use cas_object::{CollectError, ObjectStorage};
use futures::{StreamExt, future};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use reapi::execution::ActionResult;
use support::gate::{ANSWER_WITHIN, Gated};
use support::world::{HOUR, KEEP, World};
use support::{F, Random, blob_of, bytes_of, read};

/// One that is packed and one that is not.
const SIZES: [usize; 2] = [1000, 100_000];

async fn put_all(storage: &ObjectStorage, seed: u64) -> DigestSet {
    let mut digests = Vec::new();
    for size_bytes in SIZES {
        let blob = blob_of(seed, size_bytes);
        digests.push(blob.digest());
        storage.blobs.put(blob).await.unwrap();
    }
    digests.into_iter().collect()
}

async fn all_are_there(storage: &ObjectStorage, seed: u64) {
    for size_bytes in SIZES {
        let bytes = bytes_of(seed, size_bytes);
        let read = read(&*storage.blobs, &Digest::of(F, &bytes)).await.unwrap();
        assert!(
            read.as_deref() == Some(&bytes[..]),
            "{size_bytes} bytes of {seed} must be there"
        );
    }
}

#[tokio::test]
async fn what_is_not_used_goes_and_what_is_stays() {
    let world = World::new();
    let storage = world.open().await;
    let found = put_all(&storage, 1).await;
    let put_again = put_all(&storage, 2).await;
    let left = put_all(&storage, 3).await;
    let action = ActionDigest::new(*left.iter().next().unwrap());
    storage
        .action_cache
        .put(&action, ActionResult::default())
        .await
        .unwrap();
    for hour in 0..40 {
        world.pass(HOUR);
        assert!(
            storage.blobs.find_missing(&found).await.unwrap().is_empty(),
            "hour {hour}"
        );
        put_all(&storage, 2).await;
        let done = world.collect(&storage).await;
        if hour < 23 {
            assert_eq!((done.condemned, done.removed), (0, 0), "hour {hour}");
        }
    }
    all_are_there(&storage, 1).await;
    all_are_there(&storage, 2).await;
    assert!(storage.blobs.find_missing(&put_again).await.unwrap().is_empty());
    assert_eq!(storage.blobs.find_missing(&left).await.unwrap(), left);
    assert_eq!(storage.action_cache.get(&action).await.unwrap(), None);
    assert_eq!(world.objects("blobs").await.len(), 2);
    assert_eq!(world.objects("results").await.len(), 0);
    for folder in ["condemned", "doomed"] {
        assert_eq!(world.objects(folder).await, [], "nothing is left of lists");
    }
    let old = world.objects("touches").await.len();
    assert!(old < 80, "{old} records of touches are left");
}

#[tokio::test]
async fn reading_and_results_count_as_use() {
    let world = World::new();
    let storage = world.open().await;
    put_all(&storage, 1).await;
    let action = ActionDigest::new(Digest::of(F, b"an action"));
    storage
        .action_cache
        .put(&action, ActionResult::default())
        .await
        .unwrap();
    for _ in 0..60 {
        world.pass(HOUR);
        all_are_there(&storage, 1).await;
        assert!(storage.action_cache.get(&action).await.unwrap().is_some());
        // A reader does not wait until its touch is recorded, but anybody's question comes after it.
        let other = put_all(&storage, 99).await;
        storage.blobs.find_missing(&other).await.unwrap();
        world.collect(&storage).await;
    }
}

#[tokio::test]
async fn the_condemned_are_spared_when_somebody_asks_in_the_grace() {
    let world = World::new();
    let storage = world.open().await;
    let found = put_all(&storage, 1).await;
    world.pass(KEEP + 3 * HOUR);
    assert_eq!(world.collect(&storage).await.condemned, 2);
    assert_eq!(world.collect(&storage).await.condemned, 0, "once is enough");
    assert!(storage.blobs.find_missing(&found).await.unwrap().is_empty());
    world.pass(2 * HOUR);
    let done = world.collect(&storage).await;
    assert_eq!((done.spared, done.removed), (2, 0));
    all_are_there(&storage, 1).await;
}

#[tokio::test]
async fn others_notice_what_one_collector_removed() {
    let world = World::new();
    let [one, other] = [world.open().await, world.open().await];
    let digests = put_all(&one, 1).await;
    assert!(other.blobs.find_missing(&digests).await.unwrap().is_empty());
    world.pass(KEEP + 3 * HOUR);
    world.collect(&one).await;
    world.pass(2 * HOUR);
    assert_eq!(world.collect(&one).await.removed, 2);
    for storage in [&one, &other] {
        assert_eq!(storage.blobs.find_missing(&digests).await.unwrap(), digests);
    }
    put_all(&other, 1).await;
    all_are_there(&one, 1).await;
}

#[tokio::test]
async fn keeping_less_than_is_recorded_is_refused() {
    let world = World::new();
    let storage = world.open().await;
    let refused = storage.collector.collect(world.now(), HOUR).await;
    assert!(
        matches!(refused, Err(CollectError::KeepTooShort { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_damaged_record_of_touches_stops_everything_that_would_rely_on_it() {
    let world = World::new();
    let storage = world.open().await;
    put_all(&storage, 1).await;
    let records = world.objects("touches").await;
    let bytes = world.store.get(&records[0]).await.unwrap().bytes().await.unwrap();
    world
        .store
        .put(&records[0], bytes.slice(..bytes.len() - 5).into())
        .await
        .unwrap();
    world.pass(HOUR);
    let refused = storage.collector.collect(world.now(), KEEP).await;
    assert!(refused.unwrap_err().to_string().contains("touches"));
    all_are_there(&storage, 1).await;
}

/// At each request of a collection, a client in another process asks for what is about to go, or puts it again; what it
/// is promised must be there when the collection is over.
#[tokio::test(start_paused = true)]
async fn no_promise_is_broken_at_any_point_of_a_collection() {
    let mut points = 0;
    let mut verdicts = HashSet::new();
    for put_again in [false, true] {
        for point in 0.. {
            let world = World::new();
            let client = world.open().await;
            let digests = put_all(&client, 1).await;
            world.pass(KEEP + 3 * HOUR);
            let gate = Arc::new(Gated::over(world.store.clone()));
            let collecting = world.open_over(gate.clone()).await;
            world.collect(&collecting).await;
            world.pass(2 * HOUR);

            // The collection stops before its request number `point` until the client has its answer, or cannot get
            // one while the collection is where it is.
            let collection = collecting.collector.collect(world.now(), KEEP);
            let question = async {
                match put_again {
                    true => {
                        put_all(&client, 1).await;
                        DigestSet::default()
                    }
                    false => client.blobs.find_missing(&digests).await.unwrap(),
                }
            };
            let (collected, missing) = gate.beside(point, collection, question, ANSWER_WITHIN).await;
            collected.unwrap();
            let Some(missing) = missing else {
                assert!(point > 8, "a collection makes more than {point} requests");
                break;
            };
            points += 1;
            verdicts.insert(missing.len());
            let anew = world.open().await;
            for size_bytes in SIZES {
                let digest = blob_of(1, size_bytes).digest();
                let there = read(&*anew.blobs, &digest).await.unwrap().is_some();
                assert!(
                    there || missing.contains(&digest),
                    "{size_bytes} bytes were promised before request {point} and have gone (put again: {put_again})"
                );
            }
        }
    }
    assert!(points > 20, "{points} points");
    assert!(
        verdicts.contains(&0) && verdicts.len() > 1,
        "both answers occurred: {verdicts:?}"
    );
}

/// The other way round: a whole collection happens between any two requests of a client.
#[tokio::test(start_paused = true)]
async fn no_promise_is_broken_by_a_collection_at_any_point_of_a_question() {
    let mut points = 0;
    let mut removed = 0;
    for put_again in [false, true] {
        for point in 0.. {
            let world = World::new();
            let collecting = world.open().await;
            let digests = put_all(&collecting, 1).await;
            world.pass(KEEP + 3 * HOUR);
            let gate = Arc::new(Gated::over(world.store.clone()));
            let client = world.open_over(gate.clone()).await;
            world.collect(&collecting).await;
            world.pass(2 * HOUR);

            let question = async {
                match put_again {
                    true => {
                        put_all(&client, 1).await;
                        DigestSet::default()
                    }
                    false => client.blobs.find_missing(&digests).await.unwrap(),
                }
            };
            let collection = world.collect(&collecting);
            let (missing, collected) = gate.beside(point, question, collection, Duration::MAX).await;
            let Some(collected) = collected else {
                assert!(point > 4, "a question makes more than {point} requests");
                break;
            };
            removed += collected.removed;
            points += 1;
            let anew = world.open().await;
            for size_bytes in SIZES {
                let digest = blob_of(1, size_bytes).digest();
                let there = read(&*anew.blobs, &digest).await.unwrap().is_some();
                assert!(
                    there || missing.contains(&digest),
                    "{size_bytes} bytes were promised and went before request {point} (put again: {put_again})"
                );
            }
        }
    }
    assert!(points > 10 && removed > 5, "{points} points, {removed} removed");
}

/// A collector that stops for ever at any of its requests: the next one finishes, and nothing that is asked for
/// afterwards hangs or lies.
#[tokio::test(start_paused = true)]
async fn the_next_collection_finishes_what_one_left_at_any_point() {
    for point in 0.. {
        let world = World::new();
        let client = world.open().await;
        let digests = put_all(&client, 1).await;
        world.pass(KEEP + 3 * HOUR);
        let gate = Arc::new(Gated::over(world.store.clone()));
        let dying = world.open_over(gate.clone()).await;
        world.collect(&dying).await;
        world.pass(2 * HOUR);
        let collection = dying.collector.collect(world.now(), KEEP);
        if !gate.leave(point, collection).await {
            break;
        }
        world.pass(3 * HOUR);
        world.collect(&client).await;
        world.pass(3 * HOUR);
        world.collect(&client).await;
        assert_eq!(
            client.blobs.find_missing(&digests).await.unwrap(),
            digests,
            "point {point}"
        );
        put_all(&client, 1).await;
        all_are_there(&client, 1).await;
        for folder in ["condemned", "doomed"] {
            assert_eq!(
                world.objects(folder).await,
                [],
                "nothing is left of lists, point {point}"
            );
        }
    }
}

/// Clients, collectors and time, all at once and at random.
#[tokio::test(start_paused = true)]
async fn no_promise_is_broken_in_a_crowd() {
    const BLOBS: u64 = 40;
    let world = World::new();
    let storages = [world.open().await, world.open().await, world.open().await];
    // When each blob was last promised, by the clock of the world.
    let promised: Mutex<Vec<Option<SystemTime>>> = Mutex::new(vec![None; BLOBS as usize]);
    let removed = AtomicU64::new(0);
    let size_of = |number: u64| if number.is_multiple_of(2) { 500 } else { 70_000 };
    let clients = (0..12u64).map(|client| {
        let (world, promised, storage) = (&world, &promised, &storages[client as usize % 3]);
        async move {
            let mut random = Random(client);
            for _ in 0..300 {
                let number = random.below(random.0 % BLOBS + 1);
                let digest = Digest::of(F, &bytes_of(number, size_of(number)));
                // What counts is when the question began: the answer may take long.
                let before = world.now();
                let promise = match random.below(3) {
                    0 => {
                        storage.blobs.put(blob_of(number, size_of(number))).await.unwrap();
                        true
                    }
                    _ => storage
                        .blobs
                        .find_missing(&DigestSet::from(digest))
                        .await
                        .unwrap()
                        .is_empty(),
                };
                if promise {
                    let mut promised = promised.lock();
                    let at = &mut promised[number as usize];
                    *at = (*at).max(Some(before));
                }
                let due = promised.lock()[number as usize].is_some_and(|at| at + KEEP > world.now());
                let read = read(&*storage.blobs, &digest).await.unwrap();
                // Time may have passed while it was read.
                let still_due = promised.lock()[number as usize].is_some_and(|at| at + KEEP > world.now());
                assert!(
                    read.is_some() || !(due && still_due),
                    "blob {number} was promised and has gone"
                );
                tokio::time::sleep(Duration::from_millis(random.below(50))).await;
            }
        }
    });
    let collectors = (0..2usize).map(|collector| {
        let (world, storage, removed) = (&world, &storages[collector], &removed);
        async move {
            for _ in 0..150 {
                world.pass(HOUR);
                let done = storage.collector.collect(world.now(), KEEP).await.unwrap();
                removed.fetch_add(done.removed, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        }
    });
    future::join(future::join_all(clients), future::join_all(collectors)).await;
    let removed = removed.load(Ordering::SeqCst);
    assert!(
        removed > 50,
        "only {removed} objects were removed, so little was tried"
    );
}

#[tokio::test]
async fn functions_do_not_share_their_life() {
    let world = World::new();
    let storage = world.open().await;
    let bytes = bytes_of(1, 100_000);
    for function in DigestFunction::ALL {
        storage
            .blobs
            .put(blob::Blob::from_bytes(function, bytes.clone()))
            .await
            .unwrap();
    }
    let sha256 = Digest::of(DigestFunction::Sha256, &bytes);
    for _ in 0..30 {
        world.pass(HOUR);
        storage
            .blobs
            .find_missing(&DigestSet::from(sha256))
            .await
            .unwrap();
        world.collect(&storage).await;
    }
    let left: Vec<_> = world.store.list(Some(&Path::from("x/blobs"))).collect().await;
    assert_eq!(left.len(), 1);
}
