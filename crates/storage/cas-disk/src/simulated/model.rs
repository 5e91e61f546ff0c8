//! Long lives of random steps beside a model that cannot be wrong: a map. Stores are closed, killed and opened again in
//! between; nothing is evicted, so whatever was put is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use action::ActionDigest;
use action_cache::ActionCache;
use blob::{Blob, ByteRange, Digest, DigestSet, InstanceName};
use cas::BlobStore;
use futures::TryStreamExt;
use reapi::execution::ActionResult;

use super::crash::{F, content, open, read, runtime};
use super::{Dice, SimulatedVolume, rounds};
use crate::engine::Engine;
use crate::{DiskActionCache, DiskBlobStore, DiskOptions, DiskResults};

/// More than everything together.
const CAPACITY_BYTES: u64 = 64 << 20;
const STEPS: usize = 4000;
const BLOBS: usize = 60;
const ACTIONS: usize = 30;

/// What should be there.
#[derive(Default)]
struct Model {
    blobs: BTreeSet<usize>,
    results: BTreeMap<(usize, usize), i32>,
}

/// What is there.
struct Stores {
    blobs: Arc<DiskBlobStore>,
    results: Arc<DiskResults>,
}

impl Stores {
    fn open(volumes: &[SimulatedVolume; 2]) -> Self {
        let options = DiskOptions::new("", CAPACITY_BYTES);
        let engine = Engine::open_volumes("results", options, vec![Arc::new(volumes[1].clone())], Vec::new());
        Stores {
            blobs: open(&volumes[0], CAPACITY_BYTES),
            results: DiskResults::over(engine.expect("it opens")),
        }
    }

    fn close(&self) {
        self.blobs.close();
        self.results.close();
    }

    fn results_of(&self, instance: usize) -> Arc<DiskActionCache> {
        let name = InstanceName::new(&format!("instance/{instance}")).expect("a good name");
        self.results.of(&name)
    }
}

fn digest(number: usize) -> Digest {
    Digest::of(F, &content(number))
}

fn action(number: usize) -> ActionDigest {
    ActionDigest::new(Digest::of(F, &number.to_le_bytes()))
}

/// One step of a client; both sides have to agree.
async fn step(stores: &Stores, model: &mut Model, dice: &mut Dice) {
    let number = dice.roll(BLOBS);
    let place = (dice.roll(2), dice.roll(ACTIONS));
    match dice.roll(6) {
        0 => {
            let blob = Blob::from_bytes(F, content(number));
            stores.blobs.put(blob).await.expect("there is room");
            model.blobs.insert(number);
        }
        1 => {
            let found = read(&stores.blobs, &digest(number)).await.expect("nothing fails");
            let expected = model.blobs.contains(&number).then(|| content(number));
            assert!(found.as_deref() == expected.as_deref(), "blob {number}");
        }
        2 => {
            let bytes = content(number);
            let offset = dice.roll(bytes.len() + 1);
            let limit = dice.roll(bytes.len() + 1);
            let range = ByteRange {
                offset: offset as u64,
                limit: Some(limit as u64),
            };
            let found = stores
                .blobs
                .get(&digest(number), range)
                .await
                .expect("nothing fails");
            assert_eq!(found.is_some(), model.blobs.contains(&number), "blob {number}");
            if let Some(stream) = found {
                let pieces: Vec<_> = stream.try_collect().await.expect("nothing fails");
                let end = bytes.len().min(offset + limit);
                assert!(
                    pieces.concat() == bytes[offset..end],
                    "blob {number} from {offset} to {end}"
                );
            }
        }
        3 => {
            let asked: BTreeSet<usize> = (0..dice.roll(20)).map(|_| dice.roll(BLOBS)).collect();
            let digests: DigestSet = asked.iter().map(|number| digest(*number)).collect();
            let expected: DigestSet = asked
                .difference(&model.blobs)
                .map(|number| digest(*number))
                .collect();
            let missing = stores.blobs.find_missing(&digests).await.expect("nothing fails");
            assert_eq!(missing, expected);
        }
        4 => {
            let exit_code = dice.roll(1000) as i32;
            let result = ActionResult {
                exit_code,
                ..ActionResult::default()
            };
            let cache = stores.results_of(place.0);
            cache.put(&action(place.1), result).await.expect("there is room");
            model.results.insert(place, exit_code);
        }
        _ => {
            let found = stores
                .results_of(place.0)
                .get(&action(place.1))
                .await
                .expect("nothing fails");
            let found = found.map(|result| result.exit_code);
            assert_eq!(found, model.results.get(&place).copied(), "result {place:?}");
        }
    }
}

#[test]
fn a_long_life_agrees_with_a_map() {
    let runtime = runtime();
    for life in 0..rounds(5) {
        let mut dice = Dice::new(1000 + life as u64);
        let mut model = Model::default();
        let mut volumes = [SimulatedVolume::new(), SimulatedVolume::new()];
        let mut stores = Stores::open(&volumes);
        for _ in 0..STEPS {
            match dice.roll(100) {
                0 => {
                    stores.close();
                    stores = Stores::open(&volumes);
                }
                1 => {
                    // As kill -9 leaves it: nothing is finished.
                    volumes = volumes.map(|volume| volume.copy());
                    stores = Stores::open(&volumes);
                }
                _ => runtime.block_on(step(&stores, &mut model, &mut dice)),
            }
        }
        assert!(model.blobs.len() > BLOBS / 2 && model.results.len() > ACTIONS);
    }
}
