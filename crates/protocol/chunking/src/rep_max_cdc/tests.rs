//! The same cuts as the rule in its plainest form, which hashes everything again for each look.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// The rule, word by word.
fn plainly(mut bytes: &[u8], min: usize, horizon: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !bytes.is_empty() {
        let seen = &bytes[..bytes.len().min(2 * min + horizon)];
        if seen.len() < 2 * min {
            lengths.push(seen.len());
            break;
        }
        let hash_at = |place: usize| {
            bytes[place - 64..place]
                .iter()
                .fold(0u64, |hash, byte| roll(&GEAR, hash, *byte))
        };
        let mut last = seen.len() - min;
        let length = loop {
            let mut best = (min, hash_at(min));
            let mut hash = best.1;
            for place in min + 1..=last {
                hash = roll(&GEAR, hash, bytes[place - 1]);
                if hash > best.1 {
                    best = (place, hash);
                }
            }
            assert_eq!(best.1, hash_at(best.0));
            if best.0 < 2 * min {
                break best.0;
            }
            last = best.0 - min;
        };
        lengths.push(length);
        bytes = &bytes[length..];
    }
    lengths
}

fn ours(rule: RepMaxCdc, bytes: &[u8], piece: usize) -> Vec<usize> {
    let (mut cutter, mut held, mut lengths) = (Cutter::new(rule), Held::default(), Vec::new());
    let mut pieces = bytes.chunks(piece);
    loop {
        let next = pieces.next();
        if let Some(piece) = next {
            held.push(Bytes::copy_from_slice(piece));
        }
        while let Some(length) = cutter.next(&held, next.is_none()) {
            held.take(length);
            lengths.push(length);
        }
        if next.is_none() {
            assert_eq!(held.len(), 0);
            return lengths;
        }
        assert!(held.len() < 2 * rule.min_bytes() + rule.horizon_bytes() + piece);
    }
}

fn noise(seed: u64, len: usize, values: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 32) % values) as u8
        })
        .collect()
}

/// As the published vectors have it for a horizon of 0, whatever the bytes are.
#[test]
fn k4_without_a_horizon_all_chunks_are_alike() {
    let rule = RepMaxCdc::new(8192, 0).unwrap();
    let mut expected = vec![8192; 12];
    expected.push(11_162);
    assert_eq!(ours(rule, &noise(1, 109_466, 256), 5000), expected);
}

#[test]
fn places_of_equal_hash_are_cut_at_the_first() {
    let rule = RepMaxCdc::new(100, 800).unwrap();
    let zeros = vec![0; 1234];
    assert_eq!(ours(rule, &zeros, 77), plainly(&zeros, 100, 800));
}

#[test]
fn k4_the_advised_numbers_cut_as_the_rule_says() {
    let bytes = noise(3, 9_000_001, 256);
    let rule = RepMaxCdc::ADVISED;
    let lengths = ours(rule, &bytes, 1 << 20);
    assert!(lengths.len() > 20);
    assert_eq!(lengths, plainly(&bytes, rule.min_bytes(), rule.horizon_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn k4_cuts_as_the_rule_says(
        min in 64usize..300,
        times in 0usize..20,
        seed: u64,
        len in 0usize..20_000,
        piece in 1usize..3000,
        values in prop::sample::select(vec![1u64, 2, 3, 256]),
    ) {
        let horizon = min * times / 2;
        let bytes = noise(seed, len, values);
        let rule = RepMaxCdc::new(min as u64, horizon as u64).unwrap();
        prop_assert_eq!(ours(rule, &bytes, piece), plainly(&bytes, min, horizon));
    }
}
