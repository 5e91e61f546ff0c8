//! Which segment holds which packed blob.

use std::collections::HashMap;

use blob::Digest;

use crate::keys::TimedId;
use crate::limits::GONE_SEGMENTS_MAX;
use crate::segment::Entry;

/// Where a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: TimedId,
    pub(crate) offset: u32,
    pub(crate) checksum: u64,
}

/// In memory, about 80 bytes a blob. A blob in several segments is found in the one that was made last: as a rule that
/// one goes last, and where it does not, the blob is missed until everything is listed again.
#[derive(Debug, Default)]
pub(crate) struct Index {
    blobs: HashMap<Digest, Slot>,
    /// By the number that slots have instead of the id. Numbers are not used again before the next sweep.
    segments: Vec<Option<TimedId>>,
    numbers: HashMap<TimedId, u32>,
    gone: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    segment: u32,
    offset: u32,
    checksum: u64,
}

impl Index {
    pub(crate) fn knows(&self, segment: TimedId) -> bool {
        self.numbers.contains_key(&segment)
    }

    pub(crate) fn segments(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn blobs(&self) -> usize {
        self.blobs.len()
    }

    /// Takes in what a segment holds. One that is known already changes nothing.
    pub(crate) fn add(&mut self, segment: TimedId, entries: &[Entry]) {
        if self.knows(segment) {
            return;
        }
        let number = u32::try_from(self.segments.len()).expect("sweeping keeps numbers few");
        self.segments.push(Some(segment));
        self.numbers.insert(segment, number);
        for entry in entries {
            let newer = self
                .place(&entry.digest)
                .is_some_and(|place| place.segment > segment);
            if !newer {
                let slot = Slot {
                    segment: number,
                    offset: entry.offset,
                    checksum: entry.checksum,
                };
                self.blobs.insert(entry.digest, slot);
            }
        }
    }

    pub(crate) fn place(&self, digest: &Digest) -> Option<Place> {
        let slot = self.blobs.get(digest)?;
        Some(Place {
            segment: self.segments[slot.segment as usize]?,
            offset: slot.offset,
            checksum: slot.checksum,
        })
    }

    /// A segment has gone, and with it everything that was found in it.
    pub(crate) fn remove_segment(&mut self, segment: TimedId) {
        let Some(number) = self.numbers.remove(&segment) else {
            return;
        };
        self.segments[number as usize] = None;
        self.gone += 1;
        // Entries go later, many segments at once: each sweep looks at every blob.
        if self.gone >= GONE_SEGMENTS_MAX.max(self.numbers.len() / 8) {
            self.sweep();
        }
    }

    /// A blob turned out to be damaged in this place.
    pub(crate) fn remove_blob(&mut self, digest: &Digest, segment: TimedId) {
        if self.place(digest).is_some_and(|place| place.segment == segment) {
            self.blobs.remove(digest);
        }
    }

    fn sweep(&mut self) {
        let mut renumbered = vec![None; self.segments.len()];
        let mut segments = Vec::with_capacity(self.numbers.len());
        for (old, segment) in self.segments.iter().enumerate() {
            if let Some(segment) = segment {
                renumbered[old] = Some(segments.len() as u32);
                self.numbers.insert(*segment, segments.len() as u32);
                segments.push(Some(*segment));
            }
        }
        self.blobs
            .retain(|_, slot| match renumbered[slot.segment as usize] {
                Some(number) => {
                    slot.segment = number;
                    true
                }
                None => false,
            });
        self.segments = segments;
        self.gone = 0;
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;
    use crate::clock::Moment;

    fn digest(number: u64) -> Digest {
        Digest::of(DigestFunction::Sha256, &number.to_le_bytes())
    }

    fn entry(number: u64, offset: u32) -> Entry {
        Entry {
            digest: digest(number),
            offset,
            checksum: 7,
        }
    }

    fn id(millis: u64) -> TimedId {
        TimedId::new(Moment(millis))
    }

    #[test]
    fn the_segment_that_was_made_last_counts() {
        let mut index = Index::default();
        let [early, late] = [id(1), id(2)];
        index.add(late, &[entry(1, 16)]);
        index.add(early, &[entry(1, 20), entry(2, 30)]);
        assert_eq!(
            index.place(&digest(1)).map(|place| (place.segment, place.offset)),
            Some((late, 16))
        );
        assert_eq!(index.place(&digest(2)).map(|place| place.segment), Some(early));
        index.remove_blob(&digest(1), early);
        assert!(
            index.place(&digest(1)).is_some(),
            "it is not there that it is damaged"
        );
        index.remove_blob(&digest(1), late);
        assert_eq!(index.place(&digest(1)), None);
    }

    #[test]
    fn what_was_in_a_segment_goes_with_it_and_is_swept() {
        let mut index = Index::default();
        let ids: Vec<TimedId> = (0..200).map(id).collect();
        for (number, segment) in ids.iter().enumerate() {
            index.add(
                *segment,
                &[entry(number as u64, 16), entry(1000 + number as u64, 24)],
            );
        }
        for (number, segment) in ids.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
            index.remove_segment(*segment);
            index.remove_segment(*segment);
            assert_eq!(index.place(&digest(number as u64)), None);
        }
        for (number, segment) in ids.iter().enumerate() {
            let place = index.place(&digest(number as u64)).map(|place| place.segment);
            assert_eq!(place, (number % 2 == 1).then_some(*segment));
        }
        assert_eq!(index.segments(), 100);
        assert!(
            index.blobs() < 400 - 2 * GONE_SEGMENTS_MAX + 1,
            "{} are left",
            index.blobs()
        );
    }
}
