//! Content into blocks: compressed where that saves something, left alone where it does not.

use std::cell::RefCell;

use crate::record::{BLOCK_BYTES, Header, TableBuilder};

/// Whether blocks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Each block is a zstd frame of its own unless it would not become smaller by a tenth.
    #[default]
    Zstd,
    /// Stored as it is.
    None,
}

/// The fastest level: storage must keep up with the network, and most of what can be saved is saved by it.
const LEVEL: i32 = 1;
/// Content below this is not worth a frame.
const CONTENT_BYTES_MIN: usize = 256;
/// After a block that did not become smaller, so many are not tried.
const BLOCKS_NOT_TRIED: u32 = 63;
/// What a compressed block may take of its content, in tenths, to be worth decompressing later.
const TENTHS_MAX: usize = 9;

thread_local! {
    /// A compressor's tables are several hundred kilobytes: one a thread, kept.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// Cuts content into stored blocks, one call after the other.
pub(crate) struct BlockEncoder {
    compression: Compression,
    table: TableBuilder,
    not_tried: u32,
    stored_bytes: u64,
}

impl BlockEncoder {
    pub(crate) fn new(compression: Compression, content_bytes: u64) -> Self {
        let worthwhile = content_bytes >= CONTENT_BYTES_MIN as u64;
        BlockEncoder {
            compression: if worthwhile {
                compression
            } else {
                Compression::None
            },
            table: TableBuilder::default(),
            not_tried: 0,
            stored_bytes: 0,
        }
    }

    /// Appends `content` as blocks to `out`. All but the last call bring a multiple of [`BLOCK_BYTES`].
    pub(crate) fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        for block in content.chunks(BLOCK_BYTES) {
            let start = out.len();
            let is_raw = !self.compressed(block, out);
            if is_raw {
                out.extend_from_slice(block);
            }
            self.table.push(&out[start..], is_raw);
            self.stored_bytes += (out.len() - start) as u64;
        }
    }

    /// Notes `content` as raw blocks, so that it can be written from where it is. False if compressing should be
    /// tried instead; then nothing has been noted.
    pub(crate) fn take_raw(&mut self, content: &[u8]) -> bool {
        let blocks = content.len().div_ceil(BLOCK_BYTES) as u32;
        if self.compression != Compression::None && self.not_tried < blocks {
            return false;
        }
        self.not_tried = self.not_tried.saturating_sub(blocks);
        for block in content.chunks(BLOCK_BYTES) {
            self.table.push(block, true);
        }
        self.stored_bytes += content.len() as u64;
        true
    }

    /// Payload so far.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// The table as it follows the payload.
    pub(crate) fn finish(self, header: &Header) -> Vec<u8> {
        debug_assert_eq!(header.stored_bytes, self.stored_bytes);
        self.table.finish(header)
    }

    fn compressed(&mut self, block: &[u8], out: &mut Vec<u8>) -> bool {
        if self.compression == Compression::None {
            return false;
        }
        if self.not_tried > 0 {
            self.not_tried -= 1;
            return false;
        }
        let start = out.len();
        let room = block.len() * TENTHS_MAX / 10;
        out.resize(start + room, 0);
        let written = COMPRESSOR.with_borrow_mut(|compressor| {
            let compressor = match compressor {
                Some(compressor) => compressor,
                none => none.insert(zstd::bulk::Compressor::new(LEVEL).ok()?),
            };
            // No room for more than what is worth it: "too long" is an answer, not a failure.
            compressor.compress_to_buffer(block, &mut out[start..]).ok()
        });
        out.truncate(start + written.unwrap_or(0));
        if written.is_none() {
            self.not_tried = BLOCKS_NOT_TRIED;
        }
        written.is_some()
    }
}

/// A whole record in memory. `header.stored_bytes` is filled in.
pub(crate) fn encode_record(header: &Header, content: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = BlockEncoder::new(compression, content.len() as u64);
    let length = header.length();
    let mut record = Vec::with_capacity(length + content.len() + header.table_bytes() as usize + 16);
    record.resize(length, 0);
    encoder.encode(content, &mut record);
    let header = Header {
        stored_bytes: encoder.stored_bytes(),
        ..*header
    };
    record[..length].copy_from_slice(&header.encode());
    record.extend_from_slice(&encoder.finish(&header));
    record
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};

    use super::*;
    use crate::record::{Kind, Table};

    fn blocks(content: &[u8], compression: Compression) -> (Header, Table) {
        let header = Header {
            kind: Kind::Blob,
            digest: Digest::of(DigestFunction::Sha256, content),
            content_bytes: content.len() as u64,
            stored_bytes: 0,
            scope: 0,
        };
        let record = encode_record(&header, content, compression);
        let header = Header::parse(&record).unwrap();
        let table = Table::parse(&header, &record[header.table_at() as usize..]).unwrap();
        (header, table)
    }

    #[test]
    fn what_gets_smaller_is_compressed_and_what_does_not_is_left_alone() {
        let text = b"int main(void) { return 0; }\n".repeat(10_000);
        let (header, table) = blocks(&text, Compression::Zstd);
        assert!(header.stored_bytes < text.len() as u64 / 10);
        assert!((0..table.blocks()).all(|block| !table.row(block).is_raw));
        let (header, table) = blocks(&text, Compression::None);
        assert_eq!(header.stored_bytes, text.len() as u64);
        assert!((0..table.blocks()).all(|block| table.row(block).is_raw));

        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(300_000)
        .collect();
        let (header, table) = blocks(&noise, Compression::Zstd);
        assert_eq!(header.stored_bytes, noise.len() as u64);
        assert!((0..table.blocks()).all(|block| table.row(block).is_raw));
        // What follows after a stretch of noise is tried again.
        let mixed = [noise, text.repeat(20)].concat();
        let (_, table) = blocks(&mixed, Compression::Zstd);
        assert!(!table.row(table.blocks() - 1).is_raw);
        assert!(blocks(b"short", Compression::Zstd).1.row(0).is_raw);
    }
}
