//! The form of an entry on disk. A record says what it is, so that everything else can be made again from records.
//!
//! ```text
//! header   "FRR1"  kind  function  hash length  0          8 bytes
//!          size of the digest, content bytes, stored bytes, scope    4 × 8
//!          hash, in 32 bytes or 64                          32 or 64
//!          XXH3 of all that                                 8
//! payload  the content in blocks of 64 KiB, each raw or a zstd frame
//! table    for each block: stored length (top bit: raw), XXH3 of its stored bytes   4 + 8
//!          XXH3 of the table, seeded with the header's      8
//! padding  to a multiple of 16 bytes
//! ```
//!
//! The table stands behind the payload because a large blob is written while it arrives, and only its end tells what
//! its blocks came to.

use blob::{Digest, DigestFunction};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of content in a block: the unit of checking, of compressing, and of reading a part.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// Records begin at multiples of this, so that 32 bits tell a place in 64 GiB.
pub(crate) const ALIGNMENT: u64 = 16;
/// Longest header.
pub(crate) const HEADER_BYTES_MAX: usize = 40 + 64 + 8;
/// One row of the table.
pub(crate) const ROW_BYTES: usize = 12;
/// Checksum of the table.
const TABLE_SUM_BYTES: usize = 8;

pub(crate) const MAGIC: [u8; 4] = *b"FRR1";
const RAW: u32 = 1 << 31;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bytes of a blob.
    Blob = 1,
    /// The digests of the chunks that make a blob.
    Recipe = 2,
    /// A result of an action.
    Result = 3,
    /// Nothing: what was there before has been dropped. `tombstone.rs` says how it names that.
    Tombstone = 4,
}

/// The first part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) digest: Digest,
    /// Bytes of content: of a blob, the size of its digest.
    pub(crate) content_bytes: u64,
    /// Bytes of payload.
    pub(crate) stored_bytes: u64,
    /// 0 for blobs; what tells instances apart for results.
    pub(crate) scope: u64,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) String);

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Damage(what.into())
    }
}

impl Header {
    /// Bytes of this header.
    pub(crate) fn length(&self) -> usize {
        header_length(self.digest.hash_bytes().len())
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> u64 {
        self.content_bytes.div_ceil(BLOCK_BYTES as u64)
    }

    /// Bytes of the table, its checksum included.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.blocks() * ROW_BYTES as u64 + TABLE_SUM_BYTES as u64
    }

    /// Where the table begins, from the beginning of the record.
    pub(crate) fn table_at(&self) -> u64 {
        self.length() as u64 + self.stored_bytes
    }

    /// Bytes of the whole record with its padding.
    pub(crate) fn record_bytes(&self) -> u64 {
        (self.table_at() + self.table_bytes()).next_multiple_of(ALIGNMENT)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let hash = self.digest.hash_bytes();
        let length = self.length();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[
            self.kind as u8,
            function_number(self.digest.function()),
            hash.len() as u8,
            0,
        ]);
        for number in [
            self.digest.size_bytes(),
            self.content_bytes,
            self.stored_bytes,
            self.scope,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(hash);
        bytes.resize(length - 8, 0);
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header from the beginning of `bytes`, which may go on.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let fixed = bytes
            .get(..40)
            .ok_or_else(|| Damage::new("it ends within its header"))?;
        if fixed[..4] != MAGIC {
            return Err(Damage::new("it does not begin as a record"));
        }
        let hash_len = usize::from(fixed[6]);
        if !(1..=64).contains(&hash_len) {
            return Err(Damage::new(format!("its hash has {hash_len} bytes")));
        }
        let length = header_length(hash_len);
        let header = bytes
            .get(..length)
            .ok_or_else(|| Damage::new("it ends within its header"))?;
        if u64_at(header, length - 8) != xxh3_64(&header[..length - 8]) {
            return Err(Damage::new("its header does not match its checksum"));
        }
        let kind = match header[4] {
            1 => Kind::Blob,
            2 => Kind::Recipe,
            3 => Kind::Result,
            4 => Kind::Tombstone,
            other => return Err(Damage::new(format!("{other} is no kind of entry"))),
        };
        let digest = digest(header[5], &header[40..40 + hash_len], u64_at(header, 8))?;
        let [content_bytes, stored_bytes, scope] = [16, 24, 32].map(|at| u64_at(header, at));
        // Bounded so that no sum of lengths can overflow, whatever a header claims.
        if content_bytes.max(stored_bytes) >= 1 << 62 {
            return Err(Damage::new("it is longer than anything can be"));
        }
        if kind == Kind::Blob && content_bytes != digest.size_bytes() {
            return Err(Damage::new("its content is not as long as its digest says"));
        }
        Ok(Header {
            kind,
            digest,
            content_bytes,
            stored_bytes,
            scope,
        })
    }

    fn checksum(&self) -> u64 {
        let bytes = self.encode();
        u64_at(&bytes, bytes.len() - 8)
    }
}

fn header_length(hash_len: usize) -> usize {
    40 + if hash_len <= 32 { 32 } else { 64 } + 8
}

fn function_number(function: DigestFunction) -> u8 {
    function.to_proto() as u8
}

fn digest(function: u8, hash: &[u8], size_bytes: u64) -> Result<Digest, Damage> {
    let function = DigestFunction::ALL
        .into_iter()
        .find(|known| function_number(*known) == function)
        .ok_or_else(|| Damage::new(format!("{function} is no digest function of this version")))?;
    digest_of(function, hash, size_bytes)
}

/// A digest from what is on disk.
pub(crate) fn digest_of(function: DigestFunction, hash: &[u8], size_bytes: u64) -> Result<Digest, Damage> {
    Digest::from_hash(function, hash, size_bytes).map_err(|error| Damage::new(error.to_string()))
}

/// How one block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) stored_bytes: u32,
    pub(crate) is_raw: bool,
    pub(crate) sum: u64,
}

impl Row {
    /// Whether `stored` are the bytes of this block.
    pub(crate) fn matches(&self, stored: &[u8]) -> bool {
        stored.len() == self.stored_bytes as usize && xxh3_64(stored) == self.sum
    }

    fn parse(bytes: &[u8]) -> Self {
        let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Row {
            stored_bytes: length & !RAW,
            is_raw: length & RAW != 0,
            sum: u64_at(bytes, 4),
        }
    }
}

/// The table of a record under construction.
#[derive(Default)]
pub(crate) struct TableBuilder {
    bytes: Vec<u8>,
}

impl TableBuilder {
    /// Appends a block stored as `stored`.
    pub(crate) fn push(&mut self, stored: &[u8], is_raw: bool) {
        let length = stored.len() as u32 | if is_raw { RAW } else { 0 };
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&xxh3_64(stored).to_le_bytes());
    }

    /// The table as it is written behind the payload of `header`, padding included.
    pub(crate) fn finish(mut self, header: &Header) -> Vec<u8> {
        let sum = xxh3_64_with_seed(&self.bytes, header.checksum());
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        let padding = header.record_bytes() - header.table_at() - self.bytes.len() as u64;
        self.bytes.resize(self.bytes.len() + padding as usize, 0);
        self.bytes
    }
}

/// Where each block of a record is, proven to be what was written.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<u8>,
    /// Where each block begins, from the beginning of the record, and where the last one ends.
    starts: Vec<u64>,
}

impl Table {
    /// Reads the table of `header` from its bytes, checksum included.
    pub(crate) fn parse(header: &Header, bytes: &[u8]) -> Result<Self, Damage> {
        let rows_len = header.table_bytes() as usize - TABLE_SUM_BYTES;
        let (rows, sum) = bytes
            .get(..rows_len + TABLE_SUM_BYTES)
            .ok_or_else(|| Damage::new("it ends within its table"))?
            .split_at(rows_len);
        if u64_at(sum, 0) != xxh3_64_with_seed(rows, header.checksum()) {
            return Err(Damage::new("its table does not match its checksum"));
        }
        let mut at = header.length() as u64;
        let mut starts = Vec::with_capacity(rows_len / ROW_BYTES + 1);
        starts.push(at);
        for row in rows.chunks_exact(ROW_BYTES).map(Row::parse) {
            at += u64::from(row.stored_bytes);
            starts.push(at);
        }
        if at != header.table_at() {
            return Err(Damage::new("its blocks are not as long as its header says"));
        }
        Ok(Table {
            rows: rows.to_vec(),
            starts,
        })
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn row(&self, block: usize) -> Row {
        Row::parse(&self.rows[block * ROW_BYTES..])
    }

    /// Where `block` begins in the record; `blocks()` is where the payload ends.
    pub(crate) fn start(&self, block: usize) -> u64 {
        self.starts[block]
    }
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Compression, encode_record};

    fn header_of(bytes: &[u8]) -> Header {
        Header {
            kind: Kind::Blob,
            digest: Digest::of(DigestFunction::Sha256, bytes),
            content_bytes: bytes.len() as u64,
            stored_bytes: 0,
            scope: 0,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_other_way() {
        for kind in [Kind::Blob, Kind::Recipe, Kind::Result, Kind::Tombstone] {
            let header = Header {
                kind,
                scope: 77,
                stored_bytes: 3,
                ..header_of(b"some bytes")
            };
            let bytes = header.encode();
            assert_eq!(bytes.len(), header.length());
            assert_eq!(Header::parse(&bytes), Ok(header));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Header::parse(&flipped).is_err(), "bit {bit}");
            }
            for length in 0..bytes.len() {
                assert!(Header::parse(&bytes[..length]).is_err(), "{length} bytes");
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_record_is_noticed() {
        let content: Vec<u8> = (0..150_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
        let record = encode_record(&header_of(&content), &content, Compression::Zstd);
        let check = |record: &[u8]| -> Result<(), Damage> {
            let header = Header::parse(record)?;
            let table = Table::parse(&header, &record[header.table_at() as usize..])?;
            for block in 0..table.blocks() {
                let stored = &record[table.start(block) as usize..table.start(block + 1) as usize];
                if !table.row(block).matches(stored) {
                    return Err(Damage::new("a block"));
                }
            }
            Ok(())
        };
        assert_eq!(check(&record), Ok(()));
        let header = Header::parse(&record).unwrap();
        assert_eq!(header.record_bytes(), record.len() as u64);
        let covered = (header.table_at() + header.table_bytes()) as usize;
        for bit in (0..covered * 8).step_by(7) {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped).is_err(), "bit {bit}");
        }
    }
}
