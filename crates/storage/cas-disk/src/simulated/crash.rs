//! Power cuts at every moment of a busy life: what was acknowledged is there afterwards, and nothing is wrong.

use std::sync::Arc;

use blob::{Blob, ByteRange, Digest, DigestFunction};
use bytes::Bytes;
use cas::{BlobStore, ChunkingFunction, Recipe, Recipes, StoreError};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Dice, SimulatedVolume, Step, rounds};
use crate::engine::Engine;
use crate::{DiskBlobStore, DiskOptions};

pub(crate) const F: DigestFunction = DigestFunction::Sha256;
pub(crate) const CAPACITY_BYTES: u64 = 4 << 20;

pub(crate) fn open(volume: &SimulatedVolume, capacity_bytes: u64) -> Arc<DiskBlobStore> {
    let options = DiskOptions::new("", capacity_bytes);
    let engine = Engine::open_volumes("blobs", options, vec![Arc::new(volume.clone())], Vec::new());
    DiskBlobStore::over(engine.expect("a store opens whatever a power cut leaves"))
}

/// Bytes of blob `number`: several sizes, some of which compress, some of which have a segment of their own.
pub(crate) fn content(number: usize) -> Bytes {
    let size = [10, 300, 5_000, 70_000, 17_000, 400][number % 6] + number % 10_000;
    let mut dice = Dice::new(number as u64);
    let range = if number.is_multiple_of(2) { 256 } else { 3 };
    (0..size)
        .map(|_| dice.roll(range) as u8)
        .collect::<Vec<u8>>()
        .into()
}

pub(crate) async fn read(store: &DiskBlobStore, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
    let stream = store
        .get(digest, ByteRange::FULL)
        .await
        .map_err(|error| error.to_string())?;
    let Some(mut stream) = stream else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| error.to_string())?);
    }
    Ok(Some(bytes))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .build()
        .expect("a runtime can be made")
}

/// Puts blobs, several at a time, and notes each acknowledgement in the volume's trace. Some recipes too.
pub(crate) async fn live(volume: &SimulatedVolume, first: usize, last: usize) -> Result<(), StoreError> {
    let store = open(volume, CAPACITY_BYTES);
    stream::iter(first..last)
        .map(Ok)
        .try_for_each_concurrent(4, |number| {
            let (store, volume) = (store.clone(), volume.clone());
            async move {
                if number.is_multiple_of(7) && number >= first + 14 {
                    let parts = [number - 6, number - 5].map(content);
                    let whole = parts.concat();
                    let chunks = parts.iter().map(|part| Digest::of(F, part)).collect();
                    let recipe = Recipe {
                        chunks,
                        chunking_function: ChunkingFunction::Unknown,
                    };
                    // Those it is made of may still be on their way.
                    if store.splice(&Digest::of(F, &whole), recipe).await.is_ok() {
                        volume.said(number);
                    }
                    return Ok(());
                }
                store.put(Blob::from_bytes(F, content(number))).await?;
                volume.said(number);
                Ok::<_, StoreError>(())
            }
        })
        .await
}

/// What blob `number` is: some are spliced out of two earlier ones.
pub(crate) fn expected(first: usize, number: usize) -> Bytes {
    if number.is_multiple_of(7) && number >= first + 14 {
        return [content(number - 6), content(number - 5)].concat().into();
    }
    content(number)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    let runtime = runtime();
    let lives = rounds(25);
    let cuts_each = 400;
    let (mut states, mut acknowledged) = (0, 0);
    for seed in 0..lives {
        let volume = SimulatedVolume::new();
        let (first, last) = (seed * 100, seed * 100 + 60);
        runtime
            .block_on(live(&volume, first, last))
            .expect("nothing fails here");
        let trace = volume.trace();
        let mut dice = Dice::new(seed as u64);
        for _ in 0..cuts_each {
            let cut = &trace[..dice.roll(trace.len() + 1)];
            let said: Vec<usize> = cut
                .iter()
                .filter_map(|step| match step {
                    Step::Said(number) => Some(*number),
                    _ => None,
                })
                .collect();
            let left = SimulatedVolume::after_power_cut(cut, |sides| dice.roll(sides));
            states += 1;
            acknowledged += said.len();
            runtime.block_on(async {
                let store = open(&left, CAPACITY_BYTES);
                // A few of those that were said, and a few that may or may not be there.
                for _ in 0..6 {
                    let (number, must) = match said.get(dice.roll(said.len() * 2)) {
                        Some(number) => (*number, true),
                        None => (first + dice.roll(60), false),
                    };
                    let bytes = expected(first, number);
                    let digest = Digest::of(F, &bytes);
                    let missing = store.find_missing(&[digest].into_iter().collect()).await;
                    let is_there = missing.is_ok_and(|missing| missing.is_empty());
                    let read = read(&store, &digest).await;
                    // Whoever is told that it is there will not send it again.
                    assert_eq!(
                        is_there,
                        matches!(read, Ok(Some(_))),
                        "blob {number} of life {seed}: {read:?}"
                    );
                    match read {
                        Ok(Some(read)) => assert!(read == bytes, "blob {number} of life {seed} is wrong"),
                        other => assert!(!must, "blob {number} of life {seed} was acknowledged: {other:?}"),
                    }
                }
            });
        }
    }
    assert!(states >= 10_000, "{states} states");
    assert!(
        acknowledged > states,
        "{acknowledged} acknowledgements in {states} states"
    );
}

/// The same store goes through many power cuts, one after the other, and goes on each time. It is written several
/// times over, so it evicts; what is newest is there all the same. (A power cut ends promises, so of what is old
/// nothing is said.)
#[test]
fn a_store_goes_on_after_every_power_cut() {
    let runtime = runtime();
    let mut dice = Dice::new(7);
    let mut volume = SimulatedVolume::new();
    let mut acknowledged: Vec<usize> = Vec::new();
    for life in 0..rounds(60) {
        let first = 100_000 + life * 45;
        let before = volume.copy();
        runtime
            .block_on(live(&before, first, first + 40))
            .expect("nothing fails here");
        let trace = before.trace();
        // The state that this life began with is on the disk for good; its own steps may be lost.
        let cut = &trace[..dice.roll(trace.len() + 1)];
        let said = cut.iter().filter_map(|step| match step {
            Step::Said(number) => Some(*number),
            _ => None,
        });
        acknowledged.extend(said.filter(|number| !(number.is_multiple_of(7) && *number >= first + 14)));
        volume = volume.continued(cut, |sides| dice.roll(sides));
        runtime.block_on(async {
            let store = open(&volume, CAPACITY_BYTES);
            for number in acknowledged.iter().rev().take(30) {
                let bytes = content(*number);
                let found = read(&store, &Digest::of(F, &bytes)).await;
                let found = found.map(|found| found.map(|found| found == bytes));
                assert_eq!(found, Ok(Some(true)), "blob {number} after life {life}");
            }
        });
    }
    assert!(acknowledged.len() > 100);
    let gone = runtime.block_on(async {
        let store = open(&volume, CAPACITY_BYTES);
        let all = acknowledged.iter().map(|number| Digest::of(F, &content(*number)));
        store.find_missing(&all.collect()).await
    });
    let gone = gone.expect("nothing fails here").len();
    assert!(
        gone > 50,
        "only {gone} of {} were evicted: the store is too large for this test",
        acknowledged.len()
    );
}
