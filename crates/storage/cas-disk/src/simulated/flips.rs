//! Bits rot anywhere: in records, footers, notes of promises, the file that says what the directory is. What is damaged
//! is missing, what is not is there, nothing is ever wrong, and a store opens all the same.

use std::sync::Arc;

use action::ActionDigest;
use action_cache::ActionCache;
use blob::{Digest, InstanceName};
use cas::BlobStore;
use reapi::execution::ActionResult;

use super::crash::{CAPACITY_BYTES, F, content, expected, live, open, read, runtime};
use super::{Dice, SimulatedVolume, rounds};
use crate::engine::Engine;
use crate::{DiskActionCache, DiskOptions, DiskResults};

/// Whose bits are flipped: segments mostly, and now and then one of the small files beside them.
fn file_of(flip: usize) -> &'static str {
    match flip % 50 {
        0 => "format",
        1 | 2 => "marks",
        _ => ".segment",
    }
}

/// Flips one bit of all files whose names end so.
fn flip(volume: &SimulatedVolume, suffix: &str, dice: &mut Dice) {
    volume.damage(suffix, |files| {
        let bytes = files.iter().map(|file| file.len()).sum();
        assert!(bytes > 0, "there is nothing in {suffix}");
        let mut at = dice.roll(bytes);
        for file in files {
            if at < file.len() {
                file[at] ^= 1 << dice.roll(8);
                return;
            }
            at -= file.len();
        }
    });
}

#[test]
fn flipped_bits_never_reach_a_reader() {
    let runtime = runtime();
    let volume = SimulatedVolume::new();
    runtime
        .block_on(live(&volume, 0, 60))
        .expect("nothing fails here");
    // Some are spliced of chunks that were still on their way, and so never were.
    let missing_before = runtime.block_on(async {
        let store = open(&volume.copy(), CAPACITY_BYTES);
        let all = (0..60)
            .map(|number| Digest::of(F, &expected(0, number)))
            .collect();
        store
            .find_missing(&all)
            .await
            .expect("nothing is damaged yet")
            .len()
    });
    let mut dice = Dice::new(3);
    let (mut noticed, flips) = (0, rounds(1500));
    for number_of_flip in 0..flips {
        let rotten = volume.copy();
        let file = file_of(number_of_flip);
        flip(&rotten, file, &mut dice);
        runtime.block_on(async {
            let store = open(&rotten, CAPACITY_BYTES);
            let mut missing = 0;
            for number in 0..60 {
                let bytes = expected(0, number);
                match read(&store, &Digest::of(F, &bytes)).await {
                    Ok(Some(read)) => assert!(
                        read == bytes,
                        "blob {number} after flip {number_of_flip} of {file}"
                    ),
                    Ok(None) => missing += 1,
                    Err(error) => {
                        assert!(
                            error.contains("damaged"),
                            "blob {number} after flip {number_of_flip} of {file}: {error}"
                        );
                        missing += 1;
                        assert_eq!(
                            read(&store, &Digest::of(F, &bytes)).await,
                            Ok(None),
                            "a damaged blob is missing then"
                        );
                    }
                }
            }
            // One record and what is made of it.
            let missing = missing - missing_before;
            let most = if file == ".segment" { 4 } else { 0 };
            assert!(
                missing <= most,
                "{missing} blobs are missing after one flip in {file}"
            );
            noticed += usize::from(missing > 0);
        });
    }
    // The rest hit padding, a footer that was made again, or a block of what is known in chunks anyway.
    assert!(
        noticed * 10 > flips * 7,
        "only {noticed} of {flips} flips were noticed"
    );
}

const INSTANCES: [&str; 2] = ["", "team"];
const ACTIONS: usize = 40;
/// Each result is written so often, each time as another one.
const VERSIONS: usize = 3;

fn action(number: usize) -> ActionDigest {
    ActionDigest::new(Digest::of(F, &number.to_le_bytes()))
}

/// What the instance was told of an action, the last word last.
fn versions(instance: usize, number: usize) -> [ActionResult; VERSIONS] {
    [0, 1, 2].map(|version| ActionResult {
        exit_code: version,
        stdout_raw: content(6 * number + instance),
        ..ActionResult::default()
    })
}

fn caches(volume: &SimulatedVolume) -> [Arc<DiskActionCache>; 2] {
    let options = DiskOptions::new("", CAPACITY_BYTES);
    let engine = Engine::open_volumes("results", options, vec![Arc::new(volume.clone())], Vec::new());
    let results = DiskResults::over(engine.expect("it opens whatever is damaged"));
    INSTANCES.map(|name| results.of(&InstanceName::new(name).expect("a good name")))
}

/// Puts the results of some actions; the volume as the death of the process would leave it.
async fn live_with_results(volume: &SimulatedVolume, actions: std::ops::Range<usize>) -> SimulatedVolume {
    let caches = caches(volume);
    for (instance, cache) in caches.iter().enumerate() {
        for number in actions.clone() {
            for version in versions(instance, number) {
                let put = cache.put(&action(number), version).await;
                put.expect("nothing fails here");
            }
        }
    }
    volume.copy()
}

#[test]
fn flipped_bits_never_make_a_wrong_result() {
    let runtime = runtime();
    let volume = SimulatedVolume::new();
    // A life that ended in order, and one that did not.
    let volume = runtime.block_on(async {
        live_with_results(&volume, 0..ACTIONS / 2).await;
        live_with_results(&volume, ACTIONS / 2..ACTIONS).await
    });
    let mut dice = Dice::new(9);
    let (mut noticed, flips) = (0, rounds(600));
    for number_of_flip in 0..flips {
        let rotten = volume.copy();
        let file = file_of(number_of_flip);
        flip(&rotten, file, &mut dice);
        let caches = caches(&rotten);
        let mut changed = 0;
        runtime.block_on(async {
            for (instance, cache) in caches.iter().enumerate() {
                for number in 0..ACTIONS {
                    let found = cache.get(&action(number)).await.expect("damage is a miss");
                    let versions = versions(instance, number);
                    // An earlier one may be back where nothing tells any more that there was a later one.
                    let is_right = found.as_ref().is_none_or(|found| versions.contains(found));
                    assert!(
                        is_right,
                        "result {number} of {instance} after flip {number_of_flip} of {file}"
                    );
                    changed += usize::from(found.as_ref() != versions.last());
                }
            }
        });
        let most = usize::from(file == ".segment");
        assert!(
            changed <= most,
            "{changed} results are others after one flip in {file}"
        );
        noticed += changed;
    }
    // The rest hit what had been replaced, or a footer that was made again.
    assert!(
        noticed * 10 > flips * 2,
        "only {noticed} of {flips} flips were noticed"
    );
}
