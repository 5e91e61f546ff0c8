//! The same cuts as the implementation that the specification names as its reference: the crate `fastcdc` 3.2.1.

use bytes::Bytes;
use fastcdc::v2020::{FastCDC, Normalization};
use proptest::prelude::*;

use super::*;

/// Random bytes with runs of one value in between, as in real files.
fn mixed(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state.is_multiple_of(997) {
            let value = (state >> 20) as u8;
            bytes.extend(std::iter::repeat_n(value, (state >> 40) as usize % 5000));
        }
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn ours(mut cutter: Cutter, bytes: &[u8], piece: usize) -> Vec<usize> {
    let (mut held, mut lengths) = (Held::default(), Vec::new());
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
    }
}

fn theirs(bytes: &[u8], min: usize, average: usize, max: usize, seed: u32) -> Vec<usize> {
    let [min, average, max] = [min, average, max].map(|size| u32::try_from(size).unwrap());
    FastCDC::with_level_and_seed(bytes, min, average, max, Normalization::Level2, seed.into())
        .map(|chunk| chunk.length)
        .collect()
}

/// The sizes of the specification's test vectors, with its odd maximum; the picture they cut is not at hand.
#[test]
fn k4_the_sizes_of_the_published_vectors_cut_as_the_reference_does() {
    for seed in [0, 666] {
        for len in [
            0, 1, 4095, 4096, 4097, 16_384, 65_534, 65_535, 65_536, 109_466, 3_000_001,
        ] {
            let bytes = mixed(len as u64, len);
            let cutter = || Cutter::with_bounds(4096, 16_384, 65_535, seed);
            let expected = theirs(&bytes, 4096, 16_384, 65_535, seed);
            assert_eq!(
                ours(cutter(), &bytes, 1 << 20),
                expected,
                "{len} bytes, seed {seed}"
            );
            assert_eq!(ours(cutter(), &bytes, 333), expected, "{len} bytes, seed {seed}");
        }
        // Nowhere a place for a cut.
        let zeros = vec![0; 200_000];
        assert_eq!(
            ours(Cutter::with_bounds(4096, 16_384, 65_535, seed), &zeros, 7777),
            theirs(&zeros, 4096, 16_384, 65_535, seed)
        );
    }
}

#[test]
fn k4_the_advised_numbers_cut_as_the_reference_does() {
    let bytes = mixed(5, 20_000_003);
    let expected = theirs(&bytes, 128 << 10, 512 << 10, 2 << 20, 0);
    assert!(expected.len() > 20);
    let cutter = Cutter::new(FastCdc2020::ADVISED);
    assert_eq!(ours(cutter, &bytes, 1 << 20), expected);
}

proptest! {
    #[test]
    fn k4_every_average_and_seed_cuts_as_the_reference_does(
        average_log2 in 10u32..=14,
        seed: u32,
        data_seed: u64,
        len in 0usize..300_000,
        piece in 1usize..70_000,
    ) {
        let average = 1usize << average_log2;
        let bytes = mixed(data_seed, len);
        let rule = FastCdc2020::new(average as u64, seed).unwrap();
        let expected = theirs(&bytes, average / 4, average, average * 4, seed);
        prop_assert_eq!(ours(Cutter::new(rule), &bytes, piece), expected);
    }
}
