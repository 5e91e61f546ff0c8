//! Files that are not what they were: cut short, overwritten, exchanged, gone. A store opens or says why it does not,
//! and what it then serves is right.

use std::sync::Arc;

use blob::Digest;

use super::crash::{CAPACITY_BYTES, F, content, live, read, runtime};
use super::{Dice, SimulatedVolume, rounds};
use crate::engine::Engine;
use crate::{DiskBlobStore, DiskOptions};

const BLOBS: usize = 60;

/// What may happen to files.
fn spoil(files: &mut [&mut Vec<u8>], dice: &mut Dice) {
    let file = dice.roll(files.len());
    let length = files[file].len();
    let (start, end) = (dice.roll(length + 1), dice.roll(length + 1));
    let (start, end) = (start.min(end), start.max(end));
    match dice.roll(8) {
        0 => files[file].truncate(start),
        1 => files[file].clear(),
        2 => files[file][start..end].fill(0),
        3 => files[file][start..end]
            .iter_mut()
            .for_each(|byte| *byte = dice.roll(256) as u8),
        4 => files[file].extend((0..end - start).map(|_| dice.roll(256) as u8)),
        // As a file system that lost some blocks, or a copy that went wrong, may leave it.
        5 => drop(files[file].drain(start..end)),
        6 => {
            let piece = files[file][start..end].to_vec();
            files[file].extend(piece);
        }
        _ => {
            let other = dice.roll(files.len());
            let (theirs, ours) = (files[other].clone(), files[file].clone());
            files[file].clone_from(&theirs);
            files[other].clone_from(&ours);
        }
    }
}

#[test]
fn whatever_the_files_hold_nothing_wrong_is_served() {
    let runtime = runtime();
    let volume = SimulatedVolume::new();
    runtime
        .block_on(live(&volume, 0, BLOBS))
        .expect("nothing fails here");
    let mut dice = Dice::new(11);
    let (mut opened, mut refused, mut served, mut missing) = (0, 0, 0, 0);
    for mutation in 0..rounds(300) {
        let spoilt = volume.copy();
        // The file that says what the directory is stands for itself most of the time.
        let suffix = if mutation % 10 == 0 { "" } else { ".segment" };
        for _ in 0..1 + dice.roll(3) {
            spoilt.damage(suffix, |files| spoil(files, &mut dice));
        }
        let options = DiskOptions::new("", CAPACITY_BYTES);
        let engine = Engine::open_volumes("blobs", options, vec![Arc::new(spoilt)], Vec::new());
        let Ok(engine) = engine else {
            refused += 1;
            continue;
        };
        opened += 1;
        let store = DiskBlobStore::over(engine);
        runtime.block_on(async {
            for number in (0..BLOBS).filter(|number| !number.is_multiple_of(7)) {
                let bytes = content(number);
                match read(&store, &Digest::of(F, &bytes)).await {
                    Ok(Some(read)) => {
                        assert!(read == bytes, "blob {number} after mutation {mutation}");
                        served += 1;
                    }
                    Ok(None) => missing += 1,
                    Err(error) => {
                        assert!(
                            error.contains("damaged"),
                            "blob {number} after {mutation}: {error}"
                        );
                        missing += 1;
                    }
                }
            }
            // And it goes on.
            let again = blob::Blob::from_bytes(F, content(1_000_000));
            cas::BlobStore::put(&*store, again)
                .await
                .expect("it takes new blobs");
        });
    }
    assert!(opened > refused * 5, "{opened} opened, {refused} refused");
    assert!(
        served > missing && missing > 100,
        "{served} served, {missing} missing"
    );
}
