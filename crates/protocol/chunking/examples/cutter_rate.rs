//! How fast bytes are cut. Run with `cargo run --release -p chunking --example cutter_rate`.

use std::time::Instant;

use bytes::Bytes;
use chunking::{Chunker, Chunking, FastCdc2020, RepMaxCdc};

const BLOB_BYTES: usize = 256 << 20;
const PIECE_BYTES: usize = 1 << 20;
const ROUNDS: usize = 7;

fn main() {
    let blob = noise(BLOB_BYTES);
    for (name, chunking) in [
        (
            "FastCDC 2020, average 512 KiB",
            Chunking::FastCdc2020(FastCdc2020::ADVISED),
        ),
        (
            "RepMaxCDC, at least 256 KiB",
            Chunking::RepMaxCdc(RepMaxCdc::ADVISED),
        ),
    ] {
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| rate(chunking, &blob)).collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "{name}: {:.2} GB/s (median of {ROUNDS}; {:.2} to {:.2}), in pieces of {} KiB",
            rates[ROUNDS / 2],
            rates[0],
            rates[ROUNDS - 1],
            PIECE_BYTES >> 10
        );
    }
    let mut rates: Vec<f64> = (0..ROUNDS).map(|_| reference_rate(&blob)).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "the crate fastcdc on the whole in memory: {:.2} GB/s",
        rates[ROUNDS / 2]
    );
}

fn rate(chunking: Chunking, blob: &Bytes) -> f64 {
    let (mut chunker, mut rest) = (Chunker::new(chunking), blob.clone());
    let mut cut_bytes = 0;
    let start = Instant::now();
    while !rest.is_empty() {
        chunker.push(rest.split_to(PIECE_BYTES.min(rest.len())));
        while let Some(chunk) = chunker.take() {
            cut_bytes += chunk.len();
        }
    }
    chunker.finish();
    while let Some(chunk) = chunker.take() {
        cut_bytes += chunk.len();
    }
    assert_eq!(cut_bytes, blob.len());
    blob.len() as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn reference_rate(blob: &Bytes) -> f64 {
    use fastcdc::v2020::{FastCDC, Normalization};
    let start = Instant::now();
    let cutter = FastCDC::with_level(blob, 128 << 10, 512 << 10, 2 << 20, Normalization::Level2);
    let cut_bytes: usize = cutter.map(|chunk| chunk.length).sum();
    assert_eq!(cut_bytes, blob.len());
    blob.len() as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn noise(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
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
