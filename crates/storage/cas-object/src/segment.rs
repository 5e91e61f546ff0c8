//! The format of a segment: many small blobs in one object that says itself what is in it.
//!
//! ```text
//! header   16 bytes: magic, version, zero
//! blobs    back to back
//! index    for each blob: function (its number in REAPI, 1 byte), length of the hash (1), zero (2), size (4),
//!          offset in the object (4), XXH3-64 of the bytes, sealed with the digest (8), hash
//! footer   40 bytes: magic, version, entries, offset of the index (8), XXH3-64 of the index (8), XXH3-64 of these (8)
//! ```
//!
//! Numbers are little-endian. Everything needed to find a blob stands at the end, so that a reader of indices asks for
//! the tail only. A blob's checksum is in the index, where it was written together with the digest it belongs to.

use std::collections::HashMap;

use blob::{Digest, DigestFunction};
use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{SEGMENT_BLOBS_MAX, SEGMENT_BYTES_MAX};
use crate::sealed::Seal;

const HEAD_MAGIC: [u8; 8] = *b"farrierS";
const TAIL_MAGIC: [u8; 8] = *b"farrierX";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 20;
/// What a blob takes in the index, with the usual hash.
pub(crate) const INDEXED_BYTES: u64 = ENTRY_BYTES as u64 + 32;

/// Where a blob is in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) offset: u32,
    pub(crate) checksum: u64,
}

fn seal_of(digest: &Digest) -> Seal {
    Seal::of("packed 1", digest)
}

/// Whether `bytes` are the blob that was packed with this checksum.
pub(crate) fn is_intact(digest: &Digest, checksum: u64, bytes: &[u8]) -> bool {
    bytes.len() as u64 == digest.size_bytes() && seal_of(digest).checksum(0, bytes) == checksum
}

/// A segment that is being filled.
pub(crate) struct Builder {
    bytes: BytesMut,
    entries: Vec<Entry>,
    places: HashMap<Digest, usize>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&HEAD_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Builder {
            bytes,
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Adds a blob that is proven and small; once, however often it comes.
    pub(crate) fn add(&mut self, digest: Digest, blob: &[u8]) {
        if self.places.contains_key(&digest) {
            return;
        }
        self.places.insert(digest, self.entries.len());
        self.entries.push(Entry {
            digest,
            offset: self.bytes.len() as u32,
            checksum: seal_of(&digest).checksum(0, blob),
        });
        self.bytes.extend_from_slice(blob);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= SEGMENT_BYTES_MAX || self.entries.len() >= SEGMENT_BLOBS_MAX
    }

    /// The object and what is in it.
    pub(crate) fn finish(self) -> (Bytes, Vec<Entry>) {
        let (mut bytes, entries) = (self.bytes, self.entries);
        let index_at = bytes.len();
        for entry in &entries {
            let hash = entry.digest.hash_bytes();
            bytes.extend_from_slice(&[number_of(entry.digest.function()), hash.len() as u8, 0, 0]);
            bytes.extend_from_slice(&(entry.digest.size_bytes() as u32).to_le_bytes());
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
            bytes.extend_from_slice(&entry.checksum.to_le_bytes());
            bytes.extend_from_slice(hash);
        }
        let index_checksum = xxh3_64(&bytes[index_at..]);
        let footer_at = bytes.len();
        bytes.extend_from_slice(&TAIL_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(index_at as u64).to_le_bytes());
        bytes.extend_from_slice(&index_checksum.to_le_bytes());
        let footer_checksum = xxh3_64(&bytes[footer_at..]);
        bytes.extend_from_slice(&footer_checksum.to_le_bytes());
        (bytes.freeze(), entries)
    }
}

/// What the end of a segment says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    Index(Vec<Entry>),
    /// The index begins at this offset in the object, before the tail that was given.
    BeginsAt(u64),
}

/// Reads the last bytes of a segment that has `object_bytes` in all. An error says what does not fit.
pub(crate) fn read_tail(tail: &[u8], object_bytes: u64) -> Result<Tail, String> {
    let footer_at = tail.len().checked_sub(FOOTER_BYTES).ok_or("it is too short")?;
    let footer = &tail[footer_at..];
    if footer[..8] != TAIL_MAGIC {
        return Err("it does not end like a segment".into());
    }
    if xxh3_64(&footer[..32]) != number(footer, 32) {
        return Err("its footer has another checksum".into());
    }
    let version = number(footer, 8) as u32;
    if version != VERSION {
        return Err(format!("it has version {version}; this program reads {VERSION}"));
    }
    let (entries, index_at) = ((number(footer, 8) >> 32) as usize, number(footer, 16));
    let tail_at = object_bytes
        .checked_sub(tail.len() as u64)
        .ok_or("it is longer than it is")?;
    let index_end = tail_at + footer_at as u64;
    if index_at < HEADER_BYTES as u64 || index_at > index_end {
        return Err("its index lies outside".into());
    }
    if index_at < tail_at {
        return Ok(Tail::BeginsAt(index_at));
    }
    // Between two positions in `tail`.
    let index = &tail[(index_at - tail_at) as usize..footer_at];
    if xxh3_64(index) != number(footer, 24) {
        return Err("its index has another checksum".into());
    }
    read_index(index, entries, index_at).map(Tail::Index)
}

/// The checksum has been compared, so what does not fit here was written so.
fn read_index(mut index: &[u8], entries: usize, index_at: u64) -> Result<Vec<Entry>, String> {
    let mut read = Vec::with_capacity(entries.min(SEGMENT_BLOBS_MAX));
    while !index.is_empty() {
        let (fixed, rest) = index
            .split_at_checked(ENTRY_BYTES)
            .ok_or("its index is cut off")?;
        let (hash, rest) = rest
            .split_at_checked(fixed[1].into())
            .ok_or("its index is cut off")?;
        index = rest;
        let size_bytes = number(fixed, 0) >> 32;
        let offset = number(fixed, 4) >> 32;
        if offset < HEADER_BYTES as u64 || offset + size_bytes > index_at {
            return Err("an entry lies outside".into());
        }
        // Functions that a newer program knows: their blobs are not for us.
        let Some(function) = function_of(fixed[0]) else {
            continue;
        };
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = Digest::from_hex(function, &hash, size_bytes).map_err(|error| error.to_string())?;
        read.push(Entry {
            digest,
            offset: offset as u32,
            checksum: number(fixed, 12),
        });
    }
    Ok(read)
}

fn number_of(function: DigestFunction) -> u8 {
    // REAPI numbers them from 1, a handful.
    function.to_proto() as i32 as u8
}

fn function_of(number: u8) -> Option<DigestFunction> {
    DigestFunction::ALL
        .into_iter()
        .find(|function| number_of(*function) == number)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn built(blobs: &[Vec<u8>]) -> (Bytes, Vec<Entry>) {
        let mut builder = Builder::new();
        for (number, blob) in blobs.iter().enumerate() {
            let function = DigestFunction::ALL[number % DigestFunction::ALL.len()];
            builder.add(Digest::of(function, blob), blob);
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn an_index_round_trips_and_points_at_the_blobs(
            blobs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..40),
            tail in 40usize..5000,
        ) {
            let (bytes, entries) = built(&blobs);
            prop_assert_eq!(read_tail(&bytes, bytes.len() as u64), Ok(Tail::Index(entries.clone())));
            let tail = &bytes[bytes.len().saturating_sub(tail)..];
            match read_tail(tail, bytes.len() as u64) {
                Ok(Tail::Index(read)) => prop_assert_eq!(read, entries.clone()),
                Ok(Tail::BeginsAt(at)) => {
                    let tail = &bytes[at as usize..];
                    prop_assert_eq!(read_tail(tail, bytes.len() as u64), Ok(Tail::Index(entries.clone())));
                }
                Err(why) => prop_assert!(false, "{}", why),
            }
            for entry in &entries {
                let at = entry.offset as usize;
                let blob = &bytes[at..at + entry.digest.size_bytes() as usize];
                prop_assert!(is_intact(&entry.digest, entry.checksum, blob));
            }
        }

        #[test]
        fn foreign_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), more in 0u64..1000) {
            prop_assert!(read_tail(&bytes, bytes.len() as u64 + more).is_err());
        }
    }

    #[test]
    fn any_change_of_the_index_is_noticed_and_no_change_is_a_panic() {
        let blobs = [b"one".to_vec(), b"two".to_vec(), vec![3; 100]];
        let (bytes, entries) = built(&blobs);
        let index_at = HEADER_BYTES + 106;
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x40;
            let read = read_tail(&changed, bytes.len() as u64);
            if at >= index_at {
                assert!(read.is_err(), "byte {at}");
                continue;
            }
            assert_eq!(read, Ok(Tail::Index(entries.clone())));
            let damaged = entries.iter().filter(|entry| {
                let at = entry.offset as usize;
                !is_intact(
                    &entry.digest,
                    entry.checksum,
                    &changed[at..at + entry.digest.size_bytes() as usize],
                )
            });
            assert_eq!(damaged.count(), usize::from(at >= HEADER_BYTES), "byte {at}");
        }
        for cut in 0..bytes.len() {
            assert!(read_tail(&bytes[..cut], cut as u64).is_err());
        }
    }

    #[test]
    fn a_blob_that_comes_twice_is_packed_once() {
        let mut builder = Builder::new();
        for blob in [&b"same"[..], b"other", b"same"] {
            builder.add(Digest::of(DigestFunction::Sha256, blob), blob);
        }
        assert_eq!(builder.finish().1.len(), 2);
    }
}
