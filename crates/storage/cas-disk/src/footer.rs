//! What a finished segment says about itself at its end, so that a start reads no records.
//!
//! ```text
//! for each record: key 16, offset 4, length 4, kind 4
//! "FRRF", number of rows 4, where they begin 8, created 8 (ms since 1970), seed of the keys 8, XXH3 of all that 8
//! ```

use xxhash_rust::xxh3::xxh3_64;

use crate::key::Key;
use crate::record::{Damage, Kind, u32_at, u64_at};

const MAGIC: [u8; 4] = *b"FRRF";
const ROW_BYTES: usize = 28;
/// Bytes of the last part, from which the rest is found.
pub(crate) const TRAILER_BYTES: usize = 40;

/// One record of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    /// In units of 16 bytes, as in the index.
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) kind: Kind,
}

/// A footer, or the end of one that says where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) rows: Vec<Row>,
    pub(crate) created_ms: u64,
    pub(crate) seed: u64,
}

/// The last bytes of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trailer {
    pub(crate) rows: usize,
    pub(crate) rows_at: u64,
}

/// Bytes of a footer of so many rows.
pub(crate) fn footer_bytes(rows: usize) -> u64 {
    (rows * ROW_BYTES + TRAILER_BYTES) as u64
}

impl Trailer {
    /// Reads the end of a segment of `length` bytes.
    pub(crate) fn parse(bytes: &[u8], length: u64) -> Result<Self, Damage> {
        if bytes.len() != TRAILER_BYTES || bytes[..4] != MAGIC {
            return Err(Damage::new("it has no footer"));
        }
        let trailer = Trailer {
            rows: u32_at(bytes, 4) as usize,
            rows_at: u64_at(bytes, 8),
        };
        if trailer.rows_at.checked_add(footer_bytes(trailer.rows)) != Some(length) {
            return Err(Damage::new("its footer is not as long as it says"));
        }
        Ok(trailer)
    }
}

impl Footer {
    /// As it is written at `at`, the end of the records.
    pub(crate) fn encode(&self, at: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(footer_bytes(self.rows.len()) as usize);
        for row in &self.rows {
            bytes.extend_from_slice(&row.key.to_bytes());
            for number in [row.offset, row.length, row.kind as u32] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        for number in [at, self.created_ms, self.seed] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a footer from all of its bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let rows_len = bytes
            .len()
            .checked_sub(TRAILER_BYTES)
            .ok_or_else(|| Damage::new("it ends within its footer"))?;
        if u64_at(bytes, bytes.len() - 8) != xxh3_64(&bytes[..bytes.len() - 8]) {
            return Err(Damage::new("its footer does not match its checksum"));
        }
        let rows = bytes[..rows_len].chunks_exact(ROW_BYTES).map(|row| {
            let mut key = [0; 16];
            key.copy_from_slice(&row[..16]);
            let kind = match u32_at(row, 24) {
                1 => Kind::Blob,
                2 => Kind::Recipe,
                3 => Kind::Result,
                4 => Kind::Tombstone,
                other => return Err(Damage::new(format!("its footer names the kind {other}"))),
            };
            Ok(Row {
                key: Key::from_bytes(key),
                offset: u32_at(row, 16),
                length: u32_at(row, 20),
                kind,
            })
        });
        Ok(Footer {
            rows: rows.collect::<Result<_, _>>()?,
            created_ms: u64_at(bytes, rows_len + 16),
            seed: u64_at(bytes, rows_len + 24),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_footer_is_read_as_it_was_written(
            rows in prop::collection::vec((any::<u128>(), any::<u32>(), any::<u32>(), 0usize..4), 0..20),
            at in 0u64..1 << 40, created_ms: u64, seed: u64, flip: prop::sample::Index, bit in 0u8..8,
        ) {
            let kinds = [Kind::Blob, Kind::Recipe, Kind::Result, Kind::Tombstone];
            let rows = rows.into_iter().map(|(key, offset, length, kind)| Row {
                key: Key(key), offset, length, kind: kinds[kind],
            });
            let footer = Footer { rows: rows.collect(), created_ms, seed };
            let mut bytes = footer.encode(at);
            prop_assert_eq!(bytes.len() as u64, footer_bytes(footer.rows.len()));
            let length = at + bytes.len() as u64;
            let trailer = Trailer::parse(&bytes[bytes.len() - TRAILER_BYTES..], length).unwrap();
            prop_assert_eq!((trailer.rows, trailer.rows_at), (footer.rows.len(), at));
            prop_assert_eq!(Footer::parse(&bytes), Ok(footer));
            let flip = flip.index(bytes.len());
            bytes[flip] ^= 1 << bit;
            prop_assert!(Footer::parse(&bytes).is_err());
        }
    }
}
