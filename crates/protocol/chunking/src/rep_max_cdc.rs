//! RepMaxCDC: a cut is where the rolling hash is greatest; what lies before is cut in the same way, until every chunk is
//! shorter than twice the minimum.
//!
//! In words: from the start of a chunk, take the greatest hash of all places from `min` to `min + horizon` (at least
//! `min` bytes must be left after it). If that place is `2·min` or more away, look again, this time only up to `min`
//! before it; repeat until it is not. There the chunk ends.
//!
//! Only places whose hash exceeds all before them can ever win, and there are few: these *records* are kept instead of
//! hashing everything again for each look.

use crate::RepMaxCdc;
use crate::gear::{GEAR, STEP_BYTES, WINDOW_BYTES, roll, roll_step};
use crate::held::Held;

/// A place where a chunk may end, counted from its start, and the hash of the 64 bytes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    at: usize,
    hash: u64,
}

/// Finds the end of one chunk after the other.
#[derive(Debug)]
pub(crate) struct Cutter {
    min: usize,
    horizon: usize,
    /// Ascending in both; the first is at `min`. Bounded by the horizon, and about its logarithm on real bytes.
    records: Vec<Record>,
    /// The last place looked at, and its hash. Means nothing while there are no records.
    at: usize,
    hash: u64,
    /// Lengths of chunks that are certain already, the next one last.
    certain: Vec<usize>,
}

impl Cutter {
    pub(crate) fn new(rule: RepMaxCdc) -> Self {
        Cutter {
            min: rule.min_bytes(),
            horizon: rule.horizon_bytes(),
            records: Vec::new(),
            at: 0,
            hash: 0,
            certain: Vec::new(),
        }
    }

    /// Length of the chunk at the front of `held`; `None` if more bytes are needed to tell.
    pub(crate) fn next(&mut self, held: &Held, is_all: bool) -> Option<usize> {
        if let Some(length) = self.certain.pop() {
            return Some(length);
        }
        if held.len() < 2 * self.min {
            self.records.clear();
            return (is_all && held.len() > 0).then(|| held.len());
        }
        if self.records.is_empty() {
            self.begin(held);
        }
        let horizon = self.min + self.horizon;
        let end = (held.len() - self.min).min(horizon);
        while self.at < end {
            let settled = self.last().at + self.min - 1;
            self.look(held, end.min(settled));
            // For `min` bytes nothing has exceeded the last record: whatever is found later, looking again before it
            // comes down to this place. So a chunk ends here, and those before follow.
            if self.at == self.last().at + self.min - 1 {
                return self.settle();
            }
        }
        if end < horizon && !is_all {
            return None;
        }
        let length = self.ends().last()?;
        self.rebase(held, length);
        Some(length)
    }

    fn last(&self) -> Record {
        *self.records.last().expect("the place at `min` is a record")
    }

    /// The first place of a chunk.
    fn begin(&mut self, held: &Held) {
        self.hash = hash_before(held, self.min);
        self.at = self.min;
        self.records.clear();
        self.records.push(Record {
            at: self.at,
            hash: self.hash,
        });
    }

    /// Looks at all places up to `end`.
    fn look(&mut self, held: &Held, end: usize) {
        let mut best = self.last().hash;
        let (mut hash, mut at) = (self.hash, self.at);
        for slice in held.slices(at..end) {
            let (steps, rest) = slice.as_chunks::<STEP_BYTES>();
            for bytes in steps {
                let hashes = roll_step(&GEAR, hash, bytes);
                if hashes.iter().any(|hash| *hash > best) {
                    best = note(&mut self.records, best, at, hashes);
                }
                (hash, at) = (hashes[STEP_BYTES - 1], at + STEP_BYTES);
            }
            for byte in rest {
                hash = roll(&GEAR, hash, *byte);
                best = note(&mut self.records, best, at, [hash]);
                at += 1;
            }
        }
        (self.hash, self.at) = (hash, at);
    }

    /// Ends of chunks, from the last record backwards, down to the first chunk's.
    fn ends(&self) -> impl Iterator<Item = usize> {
        let first = self.records.last().copied();
        std::iter::successors(first, move |later| {
            let limit = later.at - self.min;
            let before = self.records.partition_point(|record| record.at <= limit);
            before.checked_sub(1).map(|index| self.records[index])
        })
        .map(|record| record.at)
    }

    /// All chunks up to the last record are certain.
    fn settle(&mut self) -> Option<usize> {
        let ends: Vec<usize> = self.ends().collect();
        let starts = ends.iter().skip(1).chain(std::iter::once(&0));
        self.certain = ends.iter().zip(starts).map(|(end, start)| end - start).collect();
        self.records.clear();
        self.certain.pop()
    }

    /// Counts from the end of a chunk of `length`, keeping what is known of the places after it.
    fn rebase(&mut self, held: &Held, length: usize) {
        let kept = self
            .records
            .partition_point(|record| record.at < length + self.min);
        self.records.drain(..kept);
        let Some(first) = self.records.first().copied() else {
            // Records are less than `min` apart, so less than that is looked at again.
            return;
        };
        let (at, hash) = (self.at, self.hash);
        // Between the new chunk's first place and the first record kept there may be records that were none before.
        let mut records = Vec::new();
        let mut best = None;
        let mut gap = hash_before(held, length + self.min);
        let mut bytes = held.slices(length + self.min..first.at).flatten();
        for place in length + self.min..first.at {
            if best.is_none_or(|best| gap > best) {
                best = Some(gap);
                records.push(Record { at: place, hash: gap });
            }
            if let Some(byte) = bytes.next() {
                gap = roll(&GEAR, gap, *byte);
            }
        }
        records.append(&mut self.records);
        records.iter_mut().for_each(|record| record.at -= length);
        (self.records, self.at, self.hash) = (records, at - length, hash);
    }
}

/// Adds those of the hashes of the places after `at` that exceed all before them. Returns the greatest so far.
fn note<const PLACES: usize>(
    records: &mut Vec<Record>,
    mut best: u64,
    at: usize,
    hashes: [u64; PLACES],
) -> u64 {
    for (index, hash) in hashes.into_iter().enumerate() {
        if hash > best {
            best = hash;
            records.push(Record {
                at: at + index + 1,
                hash,
            });
        }
    }
    best
}

/// The hash at a place that has enough bytes before it.
fn hash_before(held: &Held, place: usize) -> u64 {
    held.slices(place - WINDOW_BYTES..place)
        .flatten()
        .fold(0, |hash, byte| roll(&GEAR, hash, *byte))
}

#[cfg(test)]
mod tests;
