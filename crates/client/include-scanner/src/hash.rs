//! A 64-bit hash of names and contents, the same in every run: directive lists are kept across runs.
//!
//! Not meant to withstand an attacker: where a collision would matter, the bytes are compared as well, and whoever can
//! write the sources needs no collision to make the build produce what he likes.

const MULTIPLIER: u64 = 0x9fb2_1c65_1e98_df25;
const SEED: u64 = 0x1bd1_1bda_a9fc_1a22;

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// The hash of `bytes`.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    hash_seeded(bytes, SEED)
}

/// The hash of `bytes` under another seed, independent of [`hash_bytes`].
pub(crate) fn hash_seeded(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        state = fold(state ^ u64::from_le_bytes(*chunk), MULTIPLIER);
    }
    state = fold(state ^ word(rest), MULTIPLIER);
    fold(state, SEED | 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_that_differ_little_differ_in_hash() {
        let mut seen = HashSet::new();
        for number in 0..100_000u32 {
            assert!(seen.insert(hash_bytes(format!("CONFIG_{number}").as_bytes())));
            assert!(seen.insert(hash_bytes(format!("{number}_H").as_bytes())));
        }
        assert_ne!(hash_bytes(b"a"), hash_bytes(b"a\0"));
        assert_ne!(hash_bytes(b""), hash_bytes(b"\0"));
    }
}
