//! Segments that are mostly dead are stored again without the dead, and no promise is broken by it, wherever anybody
//! asks, reads or dies meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use blob::{Digest, DigestFunction, DigestSet};
use cas_object::ObjectStorage;
use futures::future;
use object_store::{ObjectStore, ObjectStoreExt};
use support::gate::{ANSWER_WITHIN, Gated};
use support::world::{HOUR, KEEP, World};
use support::{blob_of, bytes_of, read};

const BLOB_BYTES: usize = 1_000;
const ALL: Range<u64> = 0..40;
/// More than a listing goes back for writers whose clocks are wrong.
const LONG_AND_OF_THIS_EPOCH: Duration = Duration::from_secs(45 * 60);
/// What stays in use, far less than half.
const LIVING: Range<u64> = 5..8;

fn digest(number: u64) -> Digest {
    Digest::of(DigestFunction::Sha256, &bytes_of(number, BLOB_BYTES))
}

fn digests(numbers: Range<u64>) -> DigestSet {
    numbers.map(digest).collect()
}

async fn put(storage: &ObjectStorage, numbers: Range<u64>) {
    let puts = numbers.map(|number| storage.blobs.put(blob_of(number, BLOB_BYTES)));
    for put in future::join_all(puts).await {
        put.unwrap();
    }
}

async fn are_there(storage: &ObjectStorage, numbers: Range<u64>, when: &str) {
    for number in numbers {
        let bytes = read(&*storage.blobs, &digest(number)).await.unwrap();
        assert!(
            bytes.as_deref() == Some(&bytes_of(number, BLOB_BYTES)[..]),
            "{when}: {number}"
        );
    }
}

async fn segment_bytes(world: &World) -> u64 {
    let mut bytes = 0;
    for path in world.objects("segments").await {
        bytes += world.store.head(&path).await.unwrap().size;
    }
    bytes
}

/// A bucket with one segment, most of which nobody has touched for longer than is kept.
async fn mostly_dead() -> (World, ObjectStorage) {
    let world = World::new();
    let storage = world.open().await;
    put(&storage, ALL).await;
    assert_eq!(world.objects("segments").await.len(), 1);
    for _ in 0..5 {
        world.pass(KEEP / 4);
        assert_eq!(
            storage.blobs.find_missing(&digests(LIVING)).await.unwrap().len(),
            0
        );
    }
    world.pass(2 * HOUR);
    (world, storage)
}

#[tokio::test(start_paused = true)]
async fn what_lives_is_stored_again_without_the_dead_and_everybody_finds_it() {
    let (world, storage) = mostly_dead().await;
    let [reading, asking] = [world.open().await, world.open().await];
    let (before, old) = (segment_bytes(&world).await, world.objects("segments").await);
    let done = world.collect(&storage).await;
    assert_eq!((done.merged, done.removed, done.condemned), (1, 0, 0), "{done:?}");
    let after = segment_bytes(&world).await;
    assert!(after * 10 < before, "{before} bytes became {after}");
    assert_ne!(world.objects("segments").await, old);
    are_there(&reading, LIVING, "to whom knew the old segment").await;
    for (who, storage) in [
        ("asking", &asking),
        ("reading", &reading),
        ("new", &world.open().await),
    ] {
        let missing = storage.blobs.find_missing(&digests(ALL)).await.unwrap();
        let dead = DigestSet::from_iter(ALL.filter(|number| !LIVING.contains(number)).map(digest));
        assert!(missing == dead, "{who}: {} are missing", missing.len());
        are_there(storage, LIVING, who).await;
    }
    assert_eq!(world.collect(&storage).await.merged, 0, "it is not done again");
    for folder in ["doomed", "condemned"] {
        assert_eq!(world.objects(folder).await, [], "{folder}");
    }
    // Used no more, it goes like everything.
    world.pass(KEEP + 3 * HOUR);
    assert_eq!(world.collect(&storage).await.condemned, 1);
    world.pass(2 * HOUR);
    assert_eq!(world.collect(&storage).await.removed, 1);
    assert_eq!(segment_bytes(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn several_become_one_and_what_is_half_alive_stays() {
    let world = World::new();
    let storage = world.open().await;
    for group in 0..6 {
        put(&storage, group * 10..group * 10 + 10).await;
    }
    assert_eq!(world.objects("segments").await.len(), 6);
    // One of ten in five segments, and nine of ten in the last.
    let mut used: Vec<u64> = (0..5).map(|group| group * 10 + 3).collect();
    used.extend(50..59);
    let used: DigestSet = used.into_iter().map(digest).collect();
    for _ in 0..5 {
        world.pass(KEEP / 4);
        assert_eq!(storage.blobs.find_missing(&used).await.unwrap().len(), 0);
    }
    world.pass(2 * HOUR);
    assert_eq!(world.collect(&storage).await.merged, 5);
    assert_eq!(world.objects("segments").await.len(), 2);
    assert_eq!(storage.blobs.find_missing(&used).await.unwrap().len(), 0);
    let anew = world.open().await;
    assert_eq!(anew.blobs.find_missing(&used).await.unwrap().len(), 0);
    are_there(&anew, 50..59, "half alive").await;
}

/// All functions with the same contents: each is carried under its own name.
#[tokio::test(start_paused = true)]
async fn functions_are_carried_apart() {
    let world = World::new();
    let storage = world.open().await;
    let puts = ALL.flat_map(|number| {
        let bytes = bytes_of(number, BLOB_BYTES + 500);
        let blob = move |function| blob::Blob::from_bytes(function, bytes.clone());
        DigestFunction::ALL.map(|function| storage.blobs.put(blob(function)))
    });
    for put in future::join_all(puts).await {
        put.unwrap();
    }
    let of = |function, number| Digest::of(function, &bytes_of(number, BLOB_BYTES + 500));
    // The n-th function has the n-th content in use.
    let used: DigestSet = (0..)
        .zip(DigestFunction::ALL)
        .map(|(number, function)| of(function, number))
        .collect();
    for _ in 0..5 {
        world.pass(KEEP / 4);
        assert_eq!(storage.blobs.find_missing(&used).await.unwrap().len(), 0);
    }
    world.pass(2 * HOUR);
    assert_eq!(world.collect(&storage).await.merged, 1);
    let anew = world.open().await;
    let all: DigestSet = ALL
        .flat_map(|number| DigestFunction::ALL.map(|function| of(function, number)))
        .collect();
    let missing = anew.blobs.find_missing(&all).await.unwrap();
    assert_eq!(missing, all.difference(&used));
    for (number, function) in (0..).zip(DigestFunction::ALL) {
        let bytes = read(&*anew.blobs, &of(function, number)).await.unwrap();
        assert!(
            bytes.as_deref() == Some(&bytes_of(number, BLOB_BYTES + 500)[..]),
            "{function:?}"
        );
    }
}

/// A damaged blob is not carried on under a new checksum.
#[tokio::test(start_paused = true)]
async fn damage_is_not_carried_on() {
    let (world, storage) = mostly_dead().await;
    let path = world.objects("segments").await.remove(0);
    let mut bytes = world
        .store
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec();
    let contents = bytes_of(LIVING.start, BLOB_BYTES);
    let at = bytes
        .windows(BLOB_BYTES)
        .position(|window| window == &contents[..])
        .unwrap();
    bytes[at + 100] ^= 1;
    world.store.put(&path, bytes.into()).await.unwrap();
    // The damage may be on the way to the collector, and others may read what is there.
    assert_eq!(world.collect(&storage).await.merged, 0);
    let anew = world.open().await;
    are_there(&anew, LIVING.start + 1..LIVING.end, "beside the damage").await;
    // Who reads the damage knows of it, and stores the blob again.
    let damaged = read(&*anew.blobs, &digest(LIVING.start)).await;
    assert!(!matches!(damaged, Ok(Some(_))));
    put(&anew, LIVING.start..LIVING.start + 1).await;
    are_there(&world.open().await, LIVING, "put again").await;
}

/// At each request of a collection that merges, a client asks for all, or puts what was dead again, and another reads.
#[tokio::test(start_paused = true)]
async fn no_promise_is_broken_at_any_point_of_a_merge() {
    let (mut points, mut merged, mut promised_dead) = (0, 0, 0);
    for put_again in [false, true] {
        for point in 0.. {
            let (world, client) = mostly_dead().await;
            let reader = world.open().await;
            let gate = Arc::new(Gated::over(world.store.clone() as Arc<dyn ObjectStore>));
            let collecting = world.open_over(gate.clone()).await;
            let collection = collecting.collector.collect(world.now(), KEEP);
            let question = async {
                if put_again {
                    put(&client, 20..23).await;
                }
                let missing = client.blobs.find_missing(&digests(ALL)).await.unwrap();
                are_there(&reader, LIVING, &format!("at point {point}")).await;
                missing
            };
            let (collected, missing) = gate.beside(point, collection, question, ANSWER_WITHIN).await;
            let Some(missing) = missing else {
                assert!(point > 10, "a merge makes more than {point} requests");
                break;
            };
            points += 1;
            merged += collected.unwrap().merged;
            for number in LIVING {
                assert!(!missing.contains(&digest(number)), "{number} at point {point}");
            }
            if put_again {
                assert!(
                    !missing.contains(&digest(21)),
                    "what was just put, at point {point}"
                );
            }
            promised_dead += u64::from(!missing.contains(&digest(30)));
            for storage in [&client, &reader, &world.open().await] {
                for number in ALL.filter(|number| !missing.contains(&digest(*number))) {
                    are_there(storage, number..number + 1, &format!("promised at point {point}")).await;
                }
            }
        }
    }
    assert!(points > 20, "{points} points");
    assert!(merged > 4, "{merged} merges came to their end");
    assert!(promised_dead > 4, "the dead came back {promised_dead} times");
}

/// The other way round: a whole merge between any two requests of a client.
#[tokio::test(start_paused = true)]
async fn no_promise_is_broken_by_a_merge_at_any_point_of_a_question() {
    let (mut points, mut merged) = (0, 0);
    for reads in [false, true] {
        for point in 0.. {
            let (world, collecting) = mostly_dead().await;
            let gate = Arc::new(Gated::over(world.store.clone() as Arc<dyn ObjectStore>));
            let client = world.open_over(gate.clone()).await;
            let question = async {
                if reads {
                    are_there(&client, LIVING, &format!("read at point {point}")).await;
                }
                client.blobs.find_missing(&digests(ALL)).await.unwrap()
            };
            let collection = world.collect(&collecting);
            let (missing, collected) = gate.beside(point, question, collection, Duration::MAX).await;
            let Some(collected) = collected else {
                assert!(point > 2, "a question makes more than {point} requests");
                break;
            };
            merged += collected.merged;
            points += 1;
            for number in LIVING {
                assert!(!missing.contains(&digest(number)), "{number} at point {point}");
            }
            for storage in [&client, &world.open().await] {
                for number in ALL.filter(|number| !missing.contains(&digest(*number))) {
                    are_there(storage, number..number + 1, &format!("promised at point {point}")).await;
                }
            }
        }
    }
    assert!(points > 5 && merged > 2, "{points} points, {merged} merges");
}

/// A collector that stops for ever at any request of a merge: nothing that lives is missing then or later, and the next
/// ones come to the same end.
#[tokio::test(start_paused = true)]
async fn the_next_collections_finish_a_merge_that_was_left_at_any_point() {
    let mut left_with_a_list = 0;
    for point in 0.. {
        let (world, client) = mostly_dead().await;
        let gate = Arc::new(Gated::over(world.store.clone() as Arc<dyn ObjectStore>));
        let dying = world.open_over(gate.clone()).await;
        let collection = dying.collector.collect(world.now(), KEEP);
        if !gate.leave(point, collection).await {
            assert!(left_with_a_list > 1, "{left_with_a_list} of {point} points");
            break;
        }
        left_with_a_list += usize::from(!world.objects("doomed").await.is_empty());
        for hour in 0..6 {
            let when = format!("point {point}, hour {hour}");
            for storage in [&client, &world.open().await] {
                let missing = storage.blobs.find_missing(&digests(LIVING)).await.unwrap();
                assert_eq!(missing.len(), 0, "{when}");
                are_there(storage, LIVING, &when).await;
            }
            world.pass(HOUR);
            world.collect(&client).await;
        }
        assert_eq!(world.objects("doomed").await, [], "point {point}");
        world.pass(2 * KEEP);
        for _ in 0..3 {
            world.pass(2 * HOUR);
            world.collect(&client).await;
        }
        assert_eq!(
            segment_bytes(&world).await,
            0,
            "point {point}: everything goes in the end"
        );
    }
}

/// A server whose last look at the whole bucket is long past, though of this very epoch, learns of a merge when it is asked.
#[tokio::test(start_paused = true)]
async fn who_has_not_looked_for_long_finds_what_was_merged_meanwhile() {
    let (world, collecting) = mostly_dead().await;
    world.pass_to_an_epoch();
    let quiet = world.open().await;
    // A miss, so that it has listed everything in this epoch.
    assert_eq!(
        quiet.blobs.find_missing(&digests(100..101)).await.unwrap().len(),
        1
    );
    world.pass(Duration::from_secs(60));
    assert_eq!(world.collect(&collecting).await.merged, 1);
    world.pass(LONG_AND_OF_THIS_EPOCH);
    assert_eq!(quiet.blobs.find_missing(&digests(LIVING)).await.unwrap().len(), 0);
    are_there(&quiet, LIVING, "long after the merge").await;
}
