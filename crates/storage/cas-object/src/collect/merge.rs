//! A segment that is mostly dead is stored again without the dead.
//!
//! Blobs of several such segments go into a new one, which is stored *before* the old ones are doomed. Then everything
//! is as for whatever is doomed ([`liveness`](crate::liveness)): the touches are read once more, and an old segment goes
//! only if all that lives in it was carried into the new one. Who is told that an old one is doomed or gone looks for new
//! segments, so a blob that was carried is never reported missing.
//!
//! A collector that dies leaves a new segment with copies, which goes like every segment, and perhaps a list that the
//! next collection takes away: it finds the old segments in use and spares them. What is carried counts as touched when
//! it was, so it stays up to twice as long as it would have, and is carried once in that time, unless
//! the old segment was spared.

use std::collections::{HashMap, HashSet};

use cas::StoreError;
use object_store::PutPayload;
use tokio::time::Instant;

use super::Collection;
use crate::clock::Epoch;
use crate::keys::{TimedId, Unit};
use crate::limits::{MERGED_AT_ONCE_MAX, MERGED_BYTES_MAX, MERGED_MAX, SEGMENT_BLOBS_MAX, SEGMENT_BYTES_MAX};
use crate::record;
use crate::segment::{Builder, Entry, INDEXED_BYTES, Tail, is_intact, read_tail};
use crate::statistics::Counters;

/// A segment, and how much of it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    id: TimedId,
    bytes: u64,
    /// With what each blob takes in an index.
    living_bytes: u64,
    living_blobs: usize,
}

/// By segment, the offsets of what was stored again.
type Carried = HashMap<TimedId, HashSet<u32>>;

impl Collection<'_> {
    /// Stores what lives of mostly dead segments again and removes these.
    pub(super) async fn merge(&mut self) -> Result<(), StoreError> {
        self.read_touches().await?;
        let collector = self.collector;
        let (requests, keys) = (&collector.requests, &collector.keys);
        let objects = requests.list(&keys.folder("segments"), None).await?;
        let held = objects.iter().filter_map(|object| {
            let Unit::Segment(id) = keys.unit_at(&object.location)? else {
                return None;
            };
            let living = self.touches.living(id)?;
            Some(Held {
                id,
                bytes: object.size,
                living_bytes: living
                    .values()
                    .map(|bytes| u64::from(*bytes) + INDEXED_BYTES)
                    .sum(),
                living_blobs: living.len(),
            })
        });
        for batch in batches(held) {
            self.merge_batch(&batch).await?;
        }
        Ok(())
    }

    async fn merge_batch(&mut self, batch: &[TimedId]) -> Result<(), StoreError> {
        let (mut builder, mut carried) = (Builder::new(), Carried::new());
        for id in batch {
            if let Some(offsets) = self.carry(*id, &mut builder).await? {
                carried.insert(*id, offsets);
            }
        }
        if carried.is_empty() {
            return Ok(());
        }
        let (requests, keys) = (&self.collector.requests, &self.collector.keys);
        let (bytes, entries) = builder.finish();
        let new = TimedId::new(self.now());
        // Its id is the only touch of what it carries.
        let epoch = Epoch::of(new.moment(), self.collector.epoch_length);
        if !entries.is_empty() {
            let path = keys.unit(Unit::Segment(new));
            requests.create(&path, &PutPayload::from(bytes)).await?;
        }

        let mut old: Vec<Unit> = carried.keys().map(|id| Unit::Segment(*id)).collect();
        old.sort_unstable();
        let list = keys.record("doomed", TimedId::new(self.now()));
        let doomed_at = Instant::now();
        requests
            .create(&list, &PutPayload::from(record::encode(&old)))
            .await?;
        let removed = self
            .remove_doomed(list, old, doomed_at, |touches, unit| {
                let Unit::Segment(id) = unit else {
                    return true;
                };
                match touches.living(id) {
                    // Who was promised something in an epoch that has begun since counts on that one.
                    Some(_) if touches.are_later(id, epoch) => true,
                    Some(living) => !living.keys().all(|offset| carried[&id].contains(offset)),
                    None => touches.keep(unit),
                }
            })
            .await?;
        self.done.merged += removed.removed;
        Ok(())
    }

    /// Adds what lives of a segment to the new one. `None` if the segment has to stay as it is, or has gone.
    async fn carry(&self, id: TimedId, builder: &mut Builder) -> Result<Option<HashSet<u32>>, StoreError> {
        let (requests, keys) = (&self.collector.requests, &self.collector.keys);
        let path = keys.unit(Unit::Segment(id));
        let (Some(living), Some(object)) = (self.touches.living(id), requests.get(&path, None).await?) else {
            return Ok(None);
        };
        let entries = match read_tail(&object.bytes, object.object_bytes) {
            Ok(Tail::Index(entries)) => entries,
            Ok(Tail::BeginsAt(_)) | Err(_) => {
                tracing::error!("segment `{path}` is damaged and stays as it is until nobody uses it");
                return Ok(None);
            }
        };
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| living.contains_key(&entry.offset))
            .collect();
        let offsets: HashSet<u32> = entries.iter().map(|entry| entry.offset).collect();
        if offsets.len() < living.len() {
            // Of a digest function that a newer program knows: theirs to carry.
            return Ok(None);
        }
        // The index has been proven to lie inside.
        let bytes_of = |entry: &Entry| {
            let start = entry.offset as usize;
            &object.bytes[start..start + entry.digest.size_bytes() as usize]
        };
        let is_damaged = |entry: &&Entry| !is_intact(&entry.digest, entry.checksum, bytes_of(entry));
        if let Some(entry) = entries.iter().find(is_damaged) {
            // It may be the way here that has damaged it: others may still read what is there.
            tracing::error!(digest = %entry.digest, "a packed blob is damaged in `{path}`, which stays as it is");
            Counters::add(&requests.counters.damaged, 1);
            return Ok(None);
        }
        for entry in &entries {
            builder.add(entry.digest, bytes_of(entry));
        }
        Ok(Some(offsets))
    }
}

/// Which segments to merge, those together that fit into a new one. Half of a segment has to be dead: then what is
/// written is paid for by what is freed. What is beyond [`MERGED_MAX`] waits for the next collection.
fn batches(held: impl Iterator<Item = Held>) -> Vec<Vec<TimedId>> {
    let mut batches: Vec<Vec<TimedId>> = Vec::new();
    let (mut bytes, mut blobs) = (0, 0);
    let mostly_dead =
        held.filter(|held| held.living_bytes * 2 <= held.bytes && held.bytes <= MERGED_BYTES_MAX);
    for held in mostly_dead.take(MERGED_MAX) {
        bytes += held.living_bytes;
        blobs += held.living_blobs;
        let fits = bytes <= SEGMENT_BYTES_MAX as u64 && blobs <= SEGMENT_BLOBS_MAX;
        match batches.last_mut() {
            Some(batch) if fits && batch.len() < MERGED_AT_ONCE_MAX => {
                batch.push(held.id);
            }
            _ => {
                batches.push(vec![held.id]);
                (bytes, blobs) = (held.living_bytes, held.living_blobs);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

    #[test]
    fn half_has_to_be_dead_and_what_fits_goes_together() {
        const MIB: u64 = 1 << 20;
        let held = |sizes: &[(u64, u64)]| -> Vec<usize> {
            let held = sizes.iter().map(|(bytes, living_bytes)| Held {
                id: TimedId::new(Moment(1)),
                bytes: *bytes,
                living_bytes: *living_bytes,
                living_blobs: 1,
            });
            batches(held).iter().map(Vec::len).collect()
        };
        assert_eq!(held(&[]), [0; 0]);
        assert_eq!(held(&[(8 * MIB, 4 * MIB + 1), (8 * MIB, 8 * MIB)]), [0; 0]);
        assert_eq!(held(&[(8 * MIB, 4 * MIB)]), [1]);
        assert_eq!(held(&[(9 * MIB, 4 * MIB); 5]), [2, 2, 1]);
        assert_eq!(held(&[(8 * MIB, 0); 3]), [3]);
        assert_eq!(held(&[(1 << 40, 10)]), [0; 0], "too large to be read as a whole");
        assert_eq!(held(&[(100, 10); 200]), [64, 64, 64, 8]);
        assert_eq!(held(&vec![(100, 10); 5000]).iter().sum::<usize>(), MERGED_MAX);
    }
}
