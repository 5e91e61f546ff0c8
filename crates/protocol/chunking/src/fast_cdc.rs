//! FastCDC 2020: a cut is where the rolling hash has zeros at certain places, more of them before the average length
//! than after it.

use crate::FastCdc2020;
use crate::gear::GEAR;
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
    early: Mask,
    late: Mask,
    table: Box<Table>,
    /// How far the chunk that begins is hashed.
    at: usize,
    hash: u64,
}

/// A mask for the hash, and for the hash shifted by one more.
#[derive(Clone, Copy, Debug)]
struct Mask {
    plain: u64,
    shifted: u64,
}

/// What a byte adds, and what it adds when another follows in the same step.
#[derive(Debug)]
struct Table {
    plain: [u64; 256],
    shifted: [u64; 256],
}

impl Cutter {
    pub(crate) fn new(rule: FastCdc2020) -> Self {
        let average = rule.average_bytes();
        Self::with_bounds(average / 4, average, average * 4, rule.seed())
    }

    /// `average` is a power of two that has masks.
    fn with_bounds(min: usize, average: usize, max: usize, seed: u32) -> Self {
        let mask = |log2: u32| {
            let plain = MASKS[(log2 - FIRST_MASK_AVERAGE_LOG2) as usize];
            Mask {
                plain,
                shifted: plain << 1,
            }
        };
        let seeded = |byte: usize| GEAR[byte] ^ u64::from(seed);
        Cutter {
            min,
            average,
            max,
            early: mask(average.ilog2() + NORMALIZATION),
            late: mask(average.ilog2() - NORMALIZATION),
            table: Box::new(Table {
                plain: std::array::from_fn(seeded),
                shifted: std::array::from_fn(|byte| seeded(byte) << 1),
            }),
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
fn find(table: &Table, hash: &mut u64, bytes: &[u8], mask: Mask) -> Option<usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut rolling = *hash;
    for (pair, [first, second]) in pairs.iter().enumerate() {
        // One shift for two bytes shortens the chain of what waits for what, which is what bounds the speed.
        rolling = (rolling << 2).wrapping_add(table.shifted[*first as usize]);
        if rolling & mask.shifted == 0 {
            return Some(pair * 2);
        }
        rolling = rolling.wrapping_add(table.plain[*second as usize]);
        if rolling & mask.plain == 0 {
            return Some(pair * 2 + 1);
        }
    }
    if let [last] = rest {
        rolling = (rolling << 1).wrapping_add(table.plain[*last as usize]);
        if rolling & mask.plain == 0 {
            return Some(bytes.len() - 1);
        }
    }
    *hash = rolling;
    None
}

#[cfg(test)]
mod tests;
