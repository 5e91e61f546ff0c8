//! Reading a segment record by record: for one that has no footer, or whose footer is damaged.

use std::io;

use crate::footer::Row;
use crate::frames::decompress;
use crate::key::Keys;
use crate::record::{ALIGNMENT, BLOCK_BYTES, Damage, HEADER_BYTES_MAX, Header, Table};
use crate::tombstone::key_of;
use crate::volume::VolumeFile;

/// How much is looked through at once for the beginning of the next record.
const WINDOW_BYTES: usize = 1 << 20;
/// How much of a payload is read at once to be checked.
const PIECE_BYTES: u64 = 1 << 20;

/// What a segment holds.
pub(crate) struct Scanned {
    pub(crate) rows: Vec<Row>,
    /// Where the last good record ends.
    pub(crate) end: u64,
    /// Stretches that are no records: what was being written when the machine died, or damage.
    pub(crate) gaps: u64,
}

/// Reads a segment's records. Where one is damaged the search goes on behind it: writes are acknowledged in order, but
/// a disk may rot anywhere. `thorough` checks every block and not only headers and tables.
pub(crate) fn scan(file: &dyn VolumeFile, keys: Keys, thorough: bool) -> io::Result<Scanned> {
    let length = file.length()?;
    let mut scanned = Scanned {
        rows: Vec::new(),
        end: 0,
        gaps: 0,
    };
    let mut at = 0;
    let mut in_gap = false;
    while at < length {
        match record_at(file, at, length, thorough)? {
            Ok(header) => {
                let record_bytes = header.record_bytes();
                scanned.rows.push(Row {
                    key: key_of(keys, &header),
                    offset: (at / ALIGNMENT) as u32,
                    length: (record_bytes / ALIGNMENT) as u32,
                    kind: header.kind,
                });
                at += record_bytes;
                scanned.end = at;
                in_gap = false;
            }
            Err(_) => {
                if !in_gap {
                    scanned.gaps += 1;
                }
                in_gap = true;
                at = match next_magic(file, at + ALIGNMENT, length)? {
                    Some(at) => at,
                    None => break,
                };
            }
        }
    }
    Ok(scanned)
}

/// The record that begins at `at`, if one does.
pub(crate) fn record_at(
    file: &dyn VolumeFile,
    at: u64,
    length: u64,
    thorough: bool,
) -> io::Result<Result<Header, Damage>> {
    let header = match Header::parse(&file.read_at(at, HEADER_BYTES_MAX)?) {
        Ok(header) => header,
        Err(damage) => return Ok(Err(damage)),
    };
    if header.record_bytes() > length - at {
        return Ok(Err(Damage::new("it ends behind its segment")));
    }
    let bytes = file.read_at(at + header.table_at(), header.table_bytes() as usize)?;
    let table = match Table::parse(&header, &bytes) {
        Ok(table) => table,
        Err(damage) => return Ok(Err(damage)),
    };
    if thorough && let Err(damage) = check_blocks(file, at, &table)? {
        return Ok(Err(damage));
    }
    Ok(Ok(header))
}

/// Compares every block of a record with its checksum.
fn check_blocks(file: &dyn VolumeFile, record_at: u64, table: &Table) -> io::Result<Result<(), Damage>> {
    let mut first = 0;
    while first < table.blocks() {
        let mut last = first + 1;
        while last < table.blocks() && table.start(last + 1) - table.start(first) <= PIECE_BYTES {
            last += 1;
        }
        let start = table.start(first);
        let bytes = file.read_at(record_at + start, (table.start(last) - start) as usize)?;
        for block in first..last {
            let range = (table.start(block) - start) as usize..(table.start(block + 1) - start) as usize;
            let matches = bytes
                .get(range)
                .is_some_and(|stored| table.row(block).matches(stored));
            if !matches {
                return Ok(Err(Damage::new(format!(
                    "block {block} does not match its checksum"
                ))));
            }
        }
        first = last;
    }
    Ok(Ok(()))
}

/// What cannot be read, twice in a row, is lost: one sector that has gone bad must not hold up everything that comes after
/// it. Any other failure is the disk's, and may pass.
pub(crate) fn unless_unreadable<T>(
    mut read: impl FnMut() -> io::Result<Result<T, Damage>>,
) -> io::Result<Result<T, Damage>> {
    let is_unreadable =
        |error: &io::Error| error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    match read() {
        Err(error) if is_unreadable(&error) => match read() {
            Err(error) if is_unreadable(&error) => {
                Ok(Err(Damage::new(format!("it cannot be read: {error}"))))
            }
            again => again,
        },
        first => first,
    }
}

/// Hands the content of the record at `at` to `take`, piece by piece, checked against its checksums; `take` gets the
/// header with each. What was taken before damage shows counts for nothing.
pub(crate) fn read_record(
    file: &dyn VolumeFile,
    at: u64,
    mut take: impl FnMut(&Header, &[u8]),
) -> io::Result<Result<Header, Damage>> {
    let header = match record_at(file, at, file.length()?, false)? {
        Ok(header) => header,
        Err(damage) => return Ok(Err(damage)),
    };
    let bytes = file.read_at(at + header.table_at(), header.table_bytes() as usize)?;
    let table = match Table::parse(&header, &bytes) {
        Ok(table) => table,
        Err(damage) => return Ok(Err(damage)),
    };
    let mut content = Vec::new();
    for block in 0..table.blocks() {
        let (start, end) = (table.start(block), table.start(block + 1));
        let stored = file.read_at(at + start, (end - start) as usize)?;
        let row = table.row(block);
        if !row.matches(&stored) {
            return Ok(Err(Damage::new(format!(
                "block {block} does not match its checksum"
            ))));
        }
        if row.is_raw {
            take(&header, &stored);
            continue;
        }
        content.clear();
        let left = header.content_bytes - (block * BLOCK_BYTES) as u64;
        if let Err(damage) = decompress(&stored, left.min(BLOCK_BYTES as u64) as usize, &mut content) {
            return Ok(Err(damage));
        }
        take(&header, &content);
    }
    Ok(Ok(header))
}

fn next_magic(file: &dyn VolumeFile, from: u64, length: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while at < length {
        let window = file.read_at(at, WINDOW_BYTES)?;
        if window.is_empty() {
            break;
        }
        let found = window
            .chunks(ALIGNMENT as usize)
            .position(|chunk| chunk.starts_with(crate::record::MAGIC.as_slice()));
        if let Some(found) = found {
            return Ok(Some(at + found as u64 * ALIGNMENT));
        }
        at += WINDOW_BYTES as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_twice_is_lost_and_what_fails_otherwise_is_an_error() {
        let unreadable = || io::Error::from(rustix::io::Errno::IO);
        let full = || io::Error::from(rustix::io::Errno::NOSPC);
        let after = |answers: Vec<io::Result<u8>>| {
            let mut answers = answers.into_iter();
            let read = unless_unreadable(|| answers.next().expect("twice at most").map(Ok));
            read.map(|read| read.map_err(|damage| damage.0))
                .map_err(|error| error.kind())
        };
        assert_eq!(after(vec![Ok(1)]), Ok(Ok(1)));
        assert_eq!(after(vec![Err(unreadable()), Ok(1)]), Ok(Ok(1)));
        let lost = after(vec![Err(unreadable()), Err(unreadable())]);
        assert!(lost.is_ok_and(|read| read.is_err_and(|why| why.contains("cannot be read"))));
        assert!(after(vec![Err(full())]).is_err());
        assert!(after(vec![Err(unreadable()), Err(full())]).is_err());
    }
}
