//! A small upload that decodes to gigabytes is stopped at the announced size, in little memory. Alone in its
//! program and one test after another, so that the memory seen is this test's.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compression::{DecodeError, Decoder};

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::new(());

/// A frame of `blocks` blocks of 128 KiB of one repeated byte: four bytes each.
fn bomb(blocks: usize) -> Bytes {
    // Magic, no size, no checksum, window 2^27.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3];
    let size: u32 = 128 * 1024;
    for block in 0..blocks {
        let last = u32::from(block + 1 == blocks);
        frame.extend_from_slice(&(size << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        frame.push(b'x');
    }
    frame.into()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn ten_gibibytes_from_a_few_kilobytes_stop_at_the_announced_size() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let ten_gibibytes = bomb(10 * 8 * 1024);
    assert!(ten_gibibytes.len() < 400 * 1024);
    for size_bytes_max in [0, 1, 1000, 1 << 20, 5 << 20] {
        let before = resident_bytes();
        let start = Instant::now();
        let mut decoder = Decoder::new(size_bytes_max).unwrap();
        decoder.push(ten_gibibytes.clone()).unwrap_or_else(|error| {
            // With little announced, even this much input is too much.
            assert!(matches!(error, DecodeError::TooMuchInput { .. }));
        });
        let mut yielded = 0;
        let error = loop {
            match decoder.next_output() {
                Ok(Some(piece)) => yielded += piece.len() as u64,
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(yielded <= size_bytes_max);
        if size_bytes_max >= 1 << 20 {
            assert_eq!(error, Some(DecodeError::TooLong { size_bytes_max }));
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(
            grown <= 16 << 20,
            "resident memory grew by {grown} bytes for {size_bytes_max} announced"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn thirty_mebibytes_from_one_kilobyte_stop_at_the_announced_size() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let kilobyte = bomb(250);
    assert!(kilobyte.len() < 1024 + 8);
    for size_bytes_max in [0, 1, 1000, 1 << 20] {
        let refused = compression::decompress_all(kilobyte.clone(), size_bytes_max);
        assert_eq!(refused, Err(DecodeError::TooLong { size_bytes_max }));
    }
    let whole = compression::decompress_all(kilobyte, 250 * 128 * 1024).unwrap();
    assert_eq!(whole.len(), 250 * 128 * 1024);
}
