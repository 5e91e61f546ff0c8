//! The format of a file, and the only way to read one.
//!
//! ```text
//! payload     n bytes, at offset 0
//! checksums   8 bytes for each 64 KiB block of the payload: XXH3-64, little-endian
//! footer      32 bytes: magic, version, zero, n, XXH3-64 of these under the file's own seed
//! ```
//!
//! Every checksum is seeded with what the file is supposed to be and, for a block, with its place. A block, or
//! a whole file, that is intact but stands in the wrong place therefore fails as well.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use blob::Digest;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// What one checksum covers, and so the least that is read.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;
/// Most payload that one call of [`CheckedFile::read_piece`] brings into memory, and what a reader that has stopped
/// reading holds. Files of at most this much are read whole by one system call. Smaller pieces spend more time on the
/// way between threads, larger ones gained little.
pub(crate) const PIECE_BYTES: u64 = 512 << 10;

const MAGIC: [u8; 8] = *b"farrierF";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: u64 = 8;
const FOOTER_BYTES: u64 = 32;

/// Length of the file for `payload_bytes`.
pub(crate) fn file_bytes(payload_bytes: u64) -> u64 {
    payload_bytes + payload_bytes.div_ceil(BLOCK_BYTES) * CHECKSUM_BYTES + FOOTER_BYTES
}

/// What a file is supposed to be, as the seed of its checksums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal(u64);

impl Seal {
    /// The seal of the entry that `kind` keeps under `digest`.
    pub(crate) fn of(kind: &str, digest: &Digest) -> Self {
        Seal(xxh3_64(
            format!("{kind}/{}/{digest}", digest.function().name()).as_bytes(),
        ))
    }

    fn block(self, index: u64) -> u64 {
        self.0.wrapping_add(index).wrapping_add(1)
    }
}

/// Computes what stands behind the payload while the payload is written.
pub(crate) struct Trailer {
    seal: Seal,
    payload_bytes: u64,
    checksums: Vec<u8>,
    /// The unfinished last block; `None` between blocks.
    block: Option<Box<Xxh3>>,
}

impl Trailer {
    pub(crate) fn new(seal: Seal) -> Self {
        Trailer {
            seal,
            payload_bytes: 0,
            checksums: Vec::new(),
            block: None,
        }
    }

    /// Takes the next bytes of the payload.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let seed = self.seal.block(self.payload_bytes / BLOCK_BYTES);
            let room = BLOCK_BYTES - self.payload_bytes % BLOCK_BYTES;
            let (now, rest) = bytes.split_at(bytes.len().min(room as usize));
            bytes = rest;
            self.payload_bytes += now.len() as u64;
            if now.len() as u64 == BLOCK_BYTES {
                self.checksums
                    .extend_from_slice(&xxh3_64_with_seed(now, seed).to_le_bytes());
                continue;
            }
            let block = self.block.get_or_insert_with(|| Box::new(Xxh3::with_seed(seed)));
            block.update(now);
            if now.len() as u64 == room {
                self.end_block();
            }
        }
    }

    /// Bytes of payload seen.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Checksums and footer.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end_block();
        let mut trailer = self.checksums;
        trailer.extend_from_slice(&footer(self.seal, self.payload_bytes));
        trailer
    }

    fn end_block(&mut self) {
        if let Some(block) = self.block.take() {
            self.checksums.extend_from_slice(&block.digest().to_le_bytes());
        }
    }
}

fn footer(seal: Seal, payload_bytes: u64) -> [u8; FOOTER_BYTES as usize] {
    let mut footer = [0; FOOTER_BYTES as usize];
    footer[..8].copy_from_slice(&MAGIC);
    footer[8..12].copy_from_slice(&VERSION.to_le_bytes());
    footer[16..24].copy_from_slice(&payload_bytes.to_le_bytes());
    let checksum = xxh3_64_with_seed(&footer[..24], seal.0);
    footer[24..].copy_from_slice(&checksum.to_le_bytes());
    footer
}

/// Why a file could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no such file.
    Gone,
    /// It is there and is not what was written.
    Damaged(String),
    /// The system could not; the file may be fine.
    Failed(io::Error),
}

/// A file whose length and footer have been checked; its blocks are checked as they are read.
pub(crate) struct CheckedFile {
    file: File,
    seal: Seal,
    payload_bytes: u64,
    /// All of a small file.
    whole: Option<Bytes>,
}

impl CheckedFile {
    /// Opens a file and checks that it is complete and the one that `seal` names.
    pub(crate) fn open(path: &Path, seal: Seal) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReadError::Gone,
            _ => ReadError::Failed(error),
        })?;
        let length = file.metadata().map_err(ReadError::Failed)?.len();
        if length < FOOTER_BYTES {
            return Err(ReadError::Damaged(format!(
                "{length} bytes are too few for a footer"
            )));
        }
        let is_small = length <= file_bytes(PIECE_BYTES);
        let start = if is_small { 0 } else { length - FOOTER_BYTES };
        let tail = read_exact_at(&file, start..length)?;
        let payload_bytes = check_footer(seal, length, &tail[tail.len() - FOOTER_BYTES as usize..])?;
        Ok(CheckedFile {
            file,
            seal,
            payload_bytes,
            whole: is_small.then_some(tail),
        })
    }

    /// Length of the payload.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The first bytes of `range`, which lies inside the payload: all of it, or a piece that ends between blocks.
    pub(crate) fn read_piece(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        let piece_end = (range.start / BLOCK_BYTES * BLOCK_BYTES).saturating_add(PIECE_BYTES);
        self.read(range.start..range.end.min(piece_end))
    }

    /// The bytes of `range`, which lies inside the payload, in memory.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let blocks = range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES);
        let start = blocks.start * BLOCK_BYTES;
        let bytes = self.bytes(start..(blocks.end * BLOCK_BYTES).min(self.payload_bytes))?;
        let table = self.payload_bytes + blocks.start * CHECKSUM_BYTES
            ..self.payload_bytes + blocks.end * CHECKSUM_BYTES;
        let checksums = self.bytes(table)?;
        let expected = checksums.chunks_exact(CHECKSUM_BYTES as usize);
        for ((index, block), expected) in blocks.zip(bytes.chunks(BLOCK_BYTES as usize)).zip(expected) {
            if xxh3_64_with_seed(block, self.seal.block(index)).to_le_bytes() != expected {
                return Err(ReadError::Damaged(format!(
                    "block {index} does not match its checksum"
                )));
            }
        }
        // Both ends lie inside `bytes`, which is in memory.
        Ok(bytes.slice((range.start - start) as usize..(range.end - start) as usize))
    }

    /// Bytes of the file, unchecked.
    fn bytes(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        match &self.whole {
            Some(whole) => Ok(whole.slice(range.start as usize..range.end as usize)),
            None => read_exact_at(&self.file, range),
        }
    }
}

fn check_footer(seal: Seal, length: u64, found: &[u8]) -> Result<u64, ReadError> {
    let payload_bytes = u64::from_le_bytes(found[16..24].try_into().expect("a footer has 32 bytes"));
    if found != footer(seal, payload_bytes) {
        return Err(ReadError::Damaged(
            "the footer is not the one that was written".into(),
        ));
    }
    if payload_bytes > length || file_bytes(payload_bytes) != length {
        return Err(ReadError::Damaged(format!(
            "{length} bytes on disk do not fit a payload of {payload_bytes}"
        )));
    }
    Ok(payload_bytes)
}

fn read_exact_at(file: &File, range: Range<u64>) -> Result<Bytes, ReadError> {
    let length = (range.end - range.start) as usize;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = range.start + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => {
                return Err(ReadError::Damaged(format!(
                    "it ends at byte {at} of {}",
                    range.end
                )));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // The medium cannot read it back: lost, as far as anybody who asks is concerned.
            Err(error @ (rustix::io::Errno::IO | rustix::io::Errno::NODATA)) => {
                return Err(ReadError::Damaged(format!(
                    "the disk cannot read it at byte {at}: {error}"
                )));
            }
            Err(error) => return Err(ReadError::Failed(error.into())),
        }
    }
    // The allocator may have given more room than was asked for.
    bytes.truncate(length);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
