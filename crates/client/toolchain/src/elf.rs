//! What an ELF program loads when it starts: its interpreter and the libraries it names. Reads headers and the dynamic
//! section only, and trusts no number in them.

use std::io::{self, Read, Seek, SeekFrom};

use crate::limits::{ELF_NEEDED_MAX, ELF_TABLE_BYTES_MAX};

/// What a program or library needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The program interpreter, by path.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// Libraries, by name.
    pub(crate) libraries: Vec<Vec<u8>>,
    /// Where they are searched first: `DT_RUNPATH`, or `DT_RPATH` without one.
    pub(crate) run_path: Vec<u8>,
    /// 64 or 32 bits: a library for the other is no match.
    pub(crate) class: u8,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size_bytes: u64,
}

/// Numbers of one ELF file: their size and order are the file's own.
struct Numbers {
    wide: bool,
    big: bool,
}

impl Numbers {
    fn at(&self, bytes: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(length)?)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        })
    }

    /// A word: 8 bytes at `wide_at` of a 64-bit structure, or 4 at `narrow_at` of a 32-bit one.
    fn word(&self, bytes: &[u8], wide_at: usize, narrow_at: usize) -> Option<u64> {
        if self.wide {
            self.at(bytes, wide_at, 8)
        } else {
            self.at(bytes, narrow_at, 4)
        }
    }
}

/// What `file` needs; None if it is no ELF file (a script, for instance) or a damaged one.
pub(crate) fn needs(file: &mut (impl Read + Seek)) -> io::Result<Option<Needs>> {
    let header = piece(file, 0, 64)?;
    if header.len() < 52 || !header.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let numbers = Numbers {
        wide: header[4] == 2,
        big: header[5] == 2,
    };
    let Some(segments) = segments(file, &header, &numbers)? else {
        return Ok(None);
    };
    let mut needs = Needs {
        class: header[4],
        ..Needs::default()
    };
    for segment in &segments {
        if segment.kind == PT_INTERP {
            let mut name = piece(file, segment.offset, segment.size_bytes.min(4096))?;
            name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
            needs.interpreter = Some(name);
        }
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Ok(Some(needs));
    };
    let table = piece(file, dynamic.offset, dynamic.size_bytes.min(ELF_TABLE_BYTES_MAX))?;
    let entry_bytes = if numbers.wide { 16 } else { 8 };
    let entries: Vec<(u64, u64)> = table
        .chunks_exact(entry_bytes)
        .filter_map(|entry| Some((numbers.word(entry, 0, 0)?, numbers.word(entry, 8, 4)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let value = |wanted: u64| {
        entries
            .iter()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| *value)
    };
    let strings = match (
        value(DT_STRTAB).and_then(|address| offset_of(&segments, address)),
        value(DT_STRSZ),
    ) {
        (Some(offset), Some(size_bytes)) => piece(file, offset, size_bytes.min(ELF_TABLE_BYTES_MAX))?,
        _ => return Ok(Some(needs)),
    };
    let string = |at: u64| {
        let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..))?;
        Some(rest[..rest.iter().position(|byte| *byte == 0)?].to_vec())
    };
    needs.libraries = entries
        .iter()
        .filter(|(tag, _)| *tag == DT_NEEDED)
        .take(ELF_NEEDED_MAX)
        .filter_map(|(_, value)| string(*value))
        .collect();
    needs.run_path = value(DT_RUNPATH)
        .or(value(DT_RPATH))
        .and_then(string)
        .unwrap_or_default();
    Ok(Some(needs))
}

fn segments(
    file: &mut (impl Read + Seek),
    header: &[u8],
    numbers: &Numbers,
) -> io::Result<Option<Vec<Segment>>> {
    let (entry_at, count_at) = if numbers.wide { (54, 56) } else { (42, 44) };
    let (Some(offset), Some(entry_bytes), Some(count)) = (
        numbers.word(header, 32, 28),
        numbers.at(header, entry_at, 2),
        numbers.at(header, count_at, 2),
    ) else {
        return Ok(None);
    };
    let least = if numbers.wide { 56 } else { 32 };
    if entry_bytes < least {
        return Ok(None);
    }
    let table = piece(file, offset, (entry_bytes * count).min(ELF_TABLE_BYTES_MAX))?;
    Ok(table
        .chunks_exact(entry_bytes as usize)
        .map(|entry| {
            Some(Segment {
                kind: numbers.at(entry, 0, 4)?,
                offset: numbers.word(entry, 8, 4)?,
                address: numbers.word(entry, 16, 8)?,
                size_bytes: numbers.word(entry, 32, 16)?,
            })
        })
        .collect())
}

/// Where in the file the memory at `address` comes from.
fn offset_of(segments: &[Segment], address: u64) -> Option<u64> {
    let segment = segments.iter().find(|segment| {
        segment.kind == PT_LOAD
            && address >= segment.address
            && address - segment.address < segment.size_bytes
    })?;
    segment.offset.checked_add(address - segment.address)
}

/// Up to `length` bytes at `offset`: fewer where the file ends.
fn piece(file: &mut (impl Read + Seek), offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Seeking behind the end is allowed and reads nothing; further than a signed number goes it is not.
    if i64::try_from(offset).is_ok() {
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn this_program_needs_libc() {
        let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&mut file).unwrap().unwrap();
        assert!(needs.libraries.iter().any(|name| name.starts_with(b"libc.so")));
        assert!(needs.interpreter.is_some());
    }

    #[test]
    fn damage_is_no_harm() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(needs(&mut Cursor::new(b"#!/bin/sh\n")).unwrap(), None);
        for length in [0, 4, 20, 51, 52, 63, 64, 100, 300, 1000] {
            needs(&mut Cursor::new(&whole[..length])).unwrap();
        }
        let mut seed = 7u32;
        for _ in 0..2000 {
            let mut bytes = whole[..4096.min(whole.len())].to_vec();
            for _ in 0..8 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = 5 + (seed >> 8) as usize % 600;
                bytes[at] = seed as u8;
            }
            needs(&mut Cursor::new(&bytes)).unwrap();
        }
    }
}
