//! FastCDC 2020: a cut is where the rolling hash has zeros at certain places, more of them before the average length
//! than after it.

use crate::FastCdc2020;
use crate::gear::{GEAR, STEP_BYTES, roll, roll_step};
use crate::held::Held;

/// Places that must be zero, spread out: entry `n` is met once in about 2ⁿ⁺⁸ bytes. Taken over from the paper's own
/// implementation, because everybody has to use the same.
const MASKS: [u64; 15] = [
    0x0000_0018_0003_5300,
    0x0000_0190_0035_3000,
    0x0000_5900_0353_0000,
    0x0000_d900_0353_0000,
    0x0000_d901_0353_0000,
    0x0000_d903_0353_0000,
    0x0000_d903_1353_0000,
    0x0000_d90f_0353_0000,
    0x0000_d903_0353_7000,
    0x0000_d907_0353_7000,
    0x0000_d907_0753_7000,
    0x0000_d917_0753_7000,
    0x0000_d917_4753_7000,
    0x0000_d917_6753_7000,
    0x0000_d937_6753_7000,
];
/// The average whose mask would stand in the first entry.
const FIRST_MASK_AVERAGE_LOG2: u32 = 8;
/// REAPI's; other users of the algorithm have 1. Masks of this many more and fewer bits than the average asks for.
const NORMALIZATION: u32 = 2;

/// Finds the end of one chunk after the other.
#[derive(Debug)]
pub(crate) struct Cutter {
    min: usize,
    average: usize,
    max: usize,
    early: u64,
    late: u64,
    /// The table of the hash, mixed with the seed.
    table: Box<[u64; 256]>,
    /// How far the chunk that begins is hashed.
    at: usize,
    hash: u64,
}

impl Cutter {
    pub(crate) fn new(rule: FastCdc2020) -> Self {
        let average = rule.average_bytes();
        Self::with_bounds(average / 4, average, average * 4, rule.seed())
    }

    /// `average` is a power of two that has masks.
    fn with_bounds(min: usize, average: usize, max: usize, seed: u32) -> Self {
        let mask = |log2: u32| MASKS[(log2 - FIRST_MASK_AVERAGE_LOG2) as usize];
        Cutter {
            min,
            average,
            max,
            early: mask(average.ilog2() + NORMALIZATION),
            late: mask(average.ilog2() - NORMALIZATION),
            table: Box::new(GEAR.map(|entry| entry ^ u64::from(seed))),
            at: min,
            hash: 0,
        }
    }

    /// Length of the chunk at the front of `held`; `None` if more bytes are needed to tell.
    pub(crate) fn next(&mut self, held: &Held, is_all: bool) -> Option<usize> {
        let length = self.scan(held).or_else(|| {
            let is_whole = held.len() >= self.max || (is_all && held.len() > 0);
            is_whole.then(|| held.len().min(self.max))
        })?;
        (self.at, self.hash) = (self.min, 0);
        Some(length)
    }

    fn scan(&mut self, held: &Held) -> Option<usize> {
        // The paper's "two bytes each time" never asks about a byte that is not one of a pair, so neither do we: the
        // odd byte at the end of a blob, or before an odd maximum, is no place for a cut.
        let end = held.len().min(self.max) & !1;
        for (mask, end) in [(self.early, self.average.min(end)), (self.late, end)] {
            if self.at >= end {
                continue;
            }
            for slice in held.slices(self.at..end) {
                if let Some(found) = find(&self.table, &mut self.hash, slice, mask) {
                    return Some(self.at + found);
                }
                self.at += slice.len();
            }
        }
        None
    }
}

/// The first byte whose hash has zeros everywhere in the mask. The chunk ends before it.
fn find(table: &[u64; 256], hash: &mut u64, bytes: &[u8], mask: u64) -> Option<usize> {
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    let mut rolling = *hash;
    for (step, bytes) in steps.iter().enumerate() {
        let hashes = roll_step(table, rolling, bytes);
        if let Some(index) = hashes.iter().position(|hash| hash & mask == 0) {
            return Some(step * STEP_BYTES + index);
        }
        rolling = hashes[STEP_BYTES - 1];
    }
    for (index, byte) in rest.iter().enumerate() {
        rolling = roll(table, rolling, *byte);
        if rolling & mask == 0 {
            return Some(steps.len() * STEP_BYTES + index);
        }
    }
    *hash = rolling;
    None
}

#[cfg(test)]
mod tests;
