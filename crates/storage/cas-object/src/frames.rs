//! The format of a large object: a blob with checksums close to what they cover.
//!
//! ```text
//! header   32 bytes: magic, version, zero, size of the blob, checksum of these
//! frame    up to 16 blocks of 64 KiB of the blob, then 8 bytes for each of them: XXH3-64
//! frame    …
//! ```
//!
//! Numbers are little-endian; checksums are sealed with the digest and the place. Because a frame carries its own
//! checksums, it can be written before the next one is known, and any range of the blob can be read and proven by one
//! request: from the block where it begins to the end of the frame where it ends, at most 1 MiB more than was asked for.

use std::ops::Range;

use blob::Digest;
use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::Xxh3;

use crate::limits::{BLOCK_BYTES, FRAME_BLOCKS, PIECE_FRAMES};
use crate::sealed::Seal;

const MAGIC: [u8; 8] = *b"farrierL";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 32;
const CHECKSUM_BYTES: u64 = 8;

/// Length of the object that holds a blob of `size_bytes`.
pub(crate) fn object_bytes(size_bytes: u64) -> u64 {
    HEADER_BYTES + size_bytes + size_bytes.div_ceil(BLOCK_BYTES) * CHECKSUM_BYTES
}

fn seal_of(digest: &Digest) -> Seal {
    Seal::of("large 1", digest)
}

fn header(digest: &Digest) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&digest.size_bytes().to_le_bytes());
    let checksum = seal_of(digest).checksum(0, &header[..24]);
    header[24..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Turns the bytes of a blob into those of its object.
pub(crate) struct Encoder {
    seal: Seal,
    /// Bytes of the blob so far.
    size_bytes: u64,
    /// The unfinished block, if there is one.
    block: Option<Box<Xxh3>>,
    /// Of the blocks of the unfinished frame.
    checksums: Vec<u8>,
}

impl Encoder {
    pub(crate) fn start(digest: &Digest, out: &mut BytesMut) -> Self {
        out.extend_from_slice(&header(digest));
        Encoder {
            seal: seal_of(digest),
            size_bytes: 0,
            block: None,
            checksums: Vec::new(),
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() {
            let number = self.size_bytes / BLOCK_BYTES;
            let room = BLOCK_BYTES - self.size_bytes % BLOCK_BYTES;
            let (now, rest) = bytes.split_at(bytes.len().min(room as usize));
            bytes = rest;
            let seal = self.seal;
            self.block
                .get_or_insert_with(|| seal.hasher(number + 1))
                .update(now);
            out.extend_from_slice(now);
            self.size_bytes += now.len() as u64;
            if now.len() as u64 == room {
                self.end_block();
                if (number + 1).is_multiple_of(FRAME_BLOCKS) {
                    self.end_frame(out);
                }
            }
        }
    }

    pub(crate) fn finish(mut self, out: &mut BytesMut) {
        self.end_block();
        self.end_frame(out);
    }

    fn end_block(&mut self) {
        if let Some(block) = self.block.take() {
            self.checksums.extend_from_slice(&block.digest().to_le_bytes());
        }
    }

    fn end_frame(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.checksums);
        self.checksums.clear();
    }
}

/// A part of a blob that is read by one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// What to read of the object.
    pub(crate) object_range: Range<u64>,
    first_block: u64,
    /// What was asked for, relative to the first block.
    wanted: Range<u64>,
}

/// The pieces that `range` of a blob consists of; `range` is not empty and lies inside.
pub(crate) fn pieces(size_bytes: u64, range: Range<u64>) -> impl Iterator<Item = Piece> + Send + 'static {
    let frames_end = (range.end - 1) / BLOCK_BYTES / FRAME_BLOCKS + 1;
    let mut block = range.start / BLOCK_BYTES;
    std::iter::from_fn(move || {
        let frame = block / FRAME_BLOCKS;
        if frame >= frames_end {
            return None;
        }
        let first_block = block;
        let next_frame = frames_end.min(frame + PIECE_FRAMES);
        block = next_frame * FRAME_BLOCKS;
        let at = first_block * BLOCK_BYTES;
        // The first piece of all has the header in front.
        let start = if first_block == 0 {
            0
        } else {
            offset_of(first_block)
        };
        Some(Piece {
            object_range: start..offset_of(block).min(object_bytes(size_bytes)),
            first_block,
            wanted: range.start.max(at) - at..range.end.min(block * BLOCK_BYTES) - at,
        })
    })
}

/// Where a block begins in the object.
fn offset_of(block: u64) -> u64 {
    HEADER_BYTES + block * BLOCK_BYTES + block / FRAME_BLOCKS * FRAME_BLOCKS * CHECKSUM_BYTES
}

impl Piece {
    /// What was asked for, proven, a frame at a time; `None` if these are not the bytes that were written.
    pub(crate) fn open(&self, digest: &Digest, mut bytes: Bytes) -> Option<Vec<Bytes>> {
        if bytes.len() as u64 != self.object_range.end - self.object_range.start {
            return None;
        }
        if self.first_block == 0 && bytes.split_to(HEADER_BYTES as usize)[..] != header(digest) {
            return None;
        }
        let seal = seal_of(digest);
        let blocks_end = digest.size_bytes().div_ceil(BLOCK_BYTES);
        let mut block = self.first_block;
        let mut opened = Vec::new();
        let mut at = 0;
        while !bytes.is_empty() {
            let frame_end = blocks_end.min((block / FRAME_BLOCKS + 1) * FRAME_BLOCKS);
            let payload_bytes = digest.size_bytes().min(frame_end * BLOCK_BYTES) - block * BLOCK_BYTES;
            let frame = bytes.split_to(payload_bytes as usize);
            // Of the whole frame, though reading may begin in the middle of it.
            let checksums = bytes.split_to(((frame_end - frame_start(block)) * CHECKSUM_BYTES) as usize);
            let checksums = &checksums[((block - frame_start(block)) * CHECKSUM_BYTES) as usize..];
            let expected = checksums.chunks_exact(CHECKSUM_BYTES as usize);
            for (bytes, expected) in frame.chunks(BLOCK_BYTES as usize).zip(expected) {
                block += 1;
                if seal.checksum(block, bytes).to_le_bytes() != expected {
                    return None;
                }
            }
            let from = self.wanted.start.saturating_sub(at).min(payload_bytes);
            let to = self.wanted.end.saturating_sub(at).min(payload_bytes);
            if from < to {
                opened.push(frame.slice(from as usize..to as usize));
            }
            at += payload_bytes;
        }
        Some(opened)
    }
}

fn frame_start(block: u64) -> u64 {
    block / FRAME_BLOCKS * FRAME_BLOCKS
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use proptest::prelude::*;

    use super::*;

    fn blob(size_bytes: usize) -> (Digest, Bytes) {
        let bytes: Vec<u8> = (0..size_bytes).map(|at| (at * 7 + at / 251) as u8).collect();
        (Digest::of(DigestFunction::Sha256, &bytes), bytes.into())
    }

    fn encode(digest: &Digest, bytes: &[u8], cut: usize) -> Bytes {
        let mut out = BytesMut::new();
        let mut encoder = Encoder::start(digest, &mut out);
        for piece in bytes.chunks(cut) {
            encoder.update(piece, &mut out);
        }
        encoder.finish(&mut out);
        out.freeze()
    }

    fn read(digest: &Digest, object: &Bytes, range: Range<u64>) -> Option<Vec<u8>> {
        let mut read = Vec::new();
        for piece in pieces(digest.size_bytes(), range) {
            let bytes = object.slice(piece.object_range.start as usize..piece.object_range.end as usize);
            read.extend(piece.open(digest, bytes)?.concat());
        }
        Some(read)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_range_of_every_size_is_exact(
            blocks in 0usize..70,
            odd in prop_oneof![Just(0usize), Just(1), Just(65_535), 0usize..65_536],
            cut in prop_oneof![Just(65_536usize), Just(1 << 20), 1000usize..200_000],
            start in 0.0f64..1.0,
            length in 0.0f64..1.0,
        ) {
            let size = (blocks * BLOCK_BYTES as usize + odd).max(1);
            let (digest, bytes) = blob(size);
            let object = encode(&digest, &bytes, cut);
            prop_assert_eq!(object.len() as u64, object_bytes(size as u64));
            let start = (start * size as f64) as usize;
            let end = (start + 1 + (length * (size - start) as f64) as usize).min(size);
            prop_assert!(read(&digest, &object, start as u64..end as u64).as_deref() == Some(&bytes[start..end]));
            prop_assert!(read(&digest, &object, 0..size as u64).as_deref() == Some(&bytes[..]));
        }
    }

    #[test]
    fn any_change_is_noticed_by_whoever_reads_it() {
        let (digest, bytes) = blob(1_200_000);
        let object = encode(&digest, &bytes, 1 << 20);
        for at in (0..object.len())
            .step_by(997)
            .chain(0..32)
            .chain(object.len() - 40..object.len())
        {
            let mut changed = object.to_vec();
            changed[at] ^= 1;
            assert_eq!(read(&digest, &changed.into(), 0..1_200_000), None, "byte {at}");
        }
        let (other, _) = blob(1_199_999);
        let other = Digest::from_hex(DigestFunction::Sha256, &other.hash_hex(), 1_200_000).unwrap();
        assert_eq!(read(&other, &object, 0..1), None, "the object of another digest");
    }

    #[test]
    fn a_small_range_costs_one_request_and_at_most_a_frame() {
        let size = 100 << 20;
        let pieces: Vec<Piece> = pieces(size, 50_000_000..50_000_001).collect();
        assert_eq!(pieces.len(), 1);
        let bytes = pieces[0].object_range.end - pieces[0].object_range.start;
        assert!(
            bytes <= FRAME_BLOCKS * (BLOCK_BYTES + CHECKSUM_BYTES),
            "{bytes} bytes are read for one"
        );
    }
}
