//! What every rule has in common.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashSet;

use bytes::Bytes;
use chunking::{Chunker, Chunking, FastCdc2020, RepMaxCdc};
use proptest::prelude::*;

fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// Cuts `bytes`, which arrive in pieces whose lengths repeat.
fn cut(chunking: Chunking, bytes: &Bytes, pieces: &[usize]) -> Vec<Bytes> {
    let (mut chunker, mut chunks, mut rest) = (Chunker::new(chunking), Vec::new(), bytes.clone());
    for length in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunker.push(rest.split_to((*length).min(rest.len())));
        chunks.extend(std::iter::from_fn(|| chunker.take()));
        assert!(chunker.held_bytes() <= chunking.held_bytes_max() + length);
    }
    chunker.finish();
    chunks.extend(std::iter::from_fn(|| chunker.take()));
    assert_eq!(chunker.held_bytes(), 0);
    chunks
}

fn rules() -> impl Strategy<Value = Chunking> {
    let fast = (10u32..=14, prop::sample::select(vec![0, 1, 666, u32::MAX]))
        .prop_map(|(log2, seed)| Chunking::FastCdc2020(FastCdc2020::new(1 << log2, seed).unwrap()));
    let rep_max = (64u64..5000, 0u64..=12)
        .prop_map(|(min, times)| Chunking::RepMaxCdc(RepMaxCdc::new(min, min * times).unwrap()));
    prop_oneof![fast, rep_max]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn chunks_joined_are_the_blob_and_keep_their_bounds(
        chunking in rules(),
        seed: u64,
        len in 0usize..400_000,
        pieces in prop::collection::vec(1usize..100_000, 1..5),
    ) {
        let bytes = noise(seed, len);
        let chunks = cut(chunking, &bytes, &pieces);
        prop_assert!(chunks.concat() == bytes);
        prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= chunking.chunk_bytes_max()));
        let but_last = &chunks[..chunks.len().saturating_sub(1)];
        prop_assert!(but_last.iter().all(|chunk| chunk.len() >= chunking.chunk_bytes_min()));
    }

    #[test]
    fn how_the_bytes_arrive_does_not_matter(
        chunking in rules(),
        seed: u64,
        len in 0usize..200_000,
        pieces in prop::collection::vec(1usize..50_000, 1..5),
    ) {
        let bytes = noise(seed, len);
        let lengths = |pieces: &[usize]| cut(chunking, &bytes, pieces).iter().map(Bytes::len).collect::<Vec<_>>();
        prop_assert_eq!(lengths(&pieces), lengths(&[usize::MAX / 2]));
    }
}

#[test]
fn byte_by_byte_is_as_good() {
    let bytes = noise(1, 50_000);
    for chunking in [
        Chunking::FastCdc2020(FastCdc2020::new(1024, 0).unwrap()),
        Chunking::RepMaxCdc(RepMaxCdc::new(512, 4096).unwrap()),
    ] {
        assert!(cut(chunking, &bytes, &[1]) == cut(chunking, &bytes, &[50_000]));
    }
}

#[test]
fn an_insertion_changes_only_the_chunks_around_it() {
    for chunking in [
        Chunking::FastCdc2020(FastCdc2020::new(16 << 10, 0).unwrap()),
        Chunking::RepMaxCdc(RepMaxCdc::new(8 << 10, 64 << 10).unwrap()),
    ] {
        for seed in 0..20 {
            let old = noise(seed, 4 << 20);
            let at = (seed as usize * 200_003) % old.len();
            let new: Bytes = [&old[..at], &b"inserted"[..], &old[at..]].concat().into();
            let known: HashSet<Bytes> = cut(chunking, &old, &[1 << 20]).into_iter().collect();
            let chunks = cut(chunking, &new, &[1 << 20]);
            let unknown = chunks.iter().filter(|chunk| !known.contains(*chunk)).count();
            assert!(
                (1..=8).contains(&unknown),
                "{unknown} of {} chunks changed with seed {seed}",
                chunks.len()
            );
        }
    }
}

/// What chunking is for: a second version of a 200 MiB binary, one percent of it changed in a few places.
#[test]
fn one_percent_changed_costs_at_most_five() {
    let old = noise(1, 200 << 20);
    let mut new = old.to_vec();
    for place in 0..4 {
        let start = place * (50 << 20) + (7 << 20);
        new[start..start + (512 << 10)].copy_from_slice(&noise(2 + place as u64, 512 << 10));
    }
    let new = Bytes::from(new);
    for chunking in [
        Chunking::FastCdc2020(FastCdc2020::ADVISED),
        Chunking::RepMaxCdc(RepMaxCdc::ADVISED),
    ] {
        let known: HashSet<Bytes> = cut(chunking, &old, &[1 << 20]).into_iter().collect();
        let chunks = cut(chunking, &new, &[1 << 20]);
        let cost: usize = chunks
            .iter()
            .filter(|chunk| !known.contains(*chunk))
            .map(Bytes::len)
            .sum();
        assert!(
            cost >= 2 << 20 && cost <= new.len() / 20,
            "{chunking:?}: {cost} bytes for two million changed"
        );
    }
}

#[test]
fn chunks_are_about_as_long_as_is_said() {
    let bytes = noise(1, 128 << 20);
    for chunking in [
        Chunking::FastCdc2020(FastCdc2020::ADVISED),
        Chunking::RepMaxCdc(RepMaxCdc::ADVISED),
    ] {
        let mean = bytes.len() / cut(chunking, &bytes, &[1 << 20]).len();
        let said = chunking.chunk_bytes_mean();
        assert!(
            mean * 10 >= said * 9 && mean * 10 <= said * 15,
            "{chunking:?}: {mean} bytes, not {said}"
        );
    }
}
