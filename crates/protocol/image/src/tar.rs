//! Reading tar: the formats of POSIX (ustar, pax) and GNU, as far as layers use them.

use std::io::{self, Read};

use thiserror::Error;

use crate::limits::{EXTENDED_HEADER_BYTES_MAX, LAYER_BYTES_MAX, PATH_BYTES_MAX, TAR_ENTRIES_MAX};

const BLOCK_BYTES: usize = 512;

/// A tar, entry by entry. Nothing is kept but the present header.
pub struct Tar<R: Read> {
    reader: R,
    /// Content of the present entry that was not read yet, and what fills up its last block.
    left_bytes: u64,
    padding_bytes: u64,
    entries: u64,
}

/// What the header of an entry says. Content, if there is any, is read from the [`Tar`] itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    /// As it stands there: nothing about it can be trusted.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions.
    pub mode: u32,
    /// Bytes of content.
    pub size_bytes: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// Another name of an earlier file.
    HardLink {
        /// The other name.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
    /// A device, a pipe, or what else there is.
    Other,
}

/// Why bytes are not a tar that is understood.
#[derive(Debug, Error)]
pub enum TarError {
    /// The checksum of a header is wrong, or it is no header at all.
    #[error("entry {number} of the tar has no valid header")]
    Header {
        /// Which one, from 1.
        number: u64,
    },
    /// A field has no number, or one too large.
    #[error("entry {number} of the tar: its {field} is no number")]
    Number {
        /// Which one, from 1.
        number: u64,
        /// Which field.
        field: &'static str,
    },
    /// An extended header is not one.
    #[error("entry {number} of the tar: its extended header is malformed")]
    Extended {
        /// Which one, from 1.
        number: u64,
    },
    /// Too long, too many.
    #[error("entry {number} of the tar: {what} is beyond what is taken")]
    TooMuch {
        /// Which one, from 1.
        number: u64,
        /// What.
        what: &'static str,
    },
    /// A file with holes, in a format of its own.
    #[error("entry {number} of the tar is a sparse file, which layers must not have")]
    Sparse {
        /// Which one, from 1.
        number: u64,
    },
    /// Reading failed, or ended in the middle.
    #[error("reading the tar: {0}")]
    Io(#[from] io::Error),
}

/// What extended headers have said about the entry that follows.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size_bytes: Option<u64>,
}

impl<R: Read> Tar<R> {
    /// Begins with the first entry.
    pub fn new(reader: R) -> Self {
        Tar {
            reader,
            left_bytes: 0,
            padding_bytes: 0,
            entries: 0,
        }
    }

    /// The next entry, past whatever content of the present one was not read; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, TarError> {
        let mut extended = Extended::default();
        // Ends: each round reads a header, of which there are at most TAR_ENTRIES_MAX.
        loop {
            self.skip_rest()?;
            let Some(block) = self.read_block()? else {
                return Ok(None);
            };
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            self.entries += 1;
            if self.entries > TAR_ENTRIES_MAX {
                return Err(self.too_much("the number of entries"));
            }
            self.check_sum(&block)?;
            let header_size = self.number(&block[124..136], "size")?;
            let type_flag = block[156];
            let is_about_next = matches!(type_flag, b'x' | b'g' | b'L' | b'K');
            let size_bytes = match extended.size_bytes {
                Some(size_bytes) if !is_about_next => size_bytes,
                _ => header_size,
            };
            let has_content = !matches!(type_flag, b'1' | b'2' | b'3' | b'4' | b'5' | b'6');
            if size_bytes > LAYER_BYTES_MAX {
                return Err(self.too_much("the size"));
            }
            self.left_bytes = if has_content { size_bytes } else { 0 };
            self.padding_bytes = self.left_bytes.next_multiple_of(BLOCK_BYTES as u64) - self.left_bytes;
            match type_flag {
                b'L' => extended.path = Some(until_nul(&self.read_extended()?).to_vec()),
                b'K' => extended.target = Some(until_nul(&self.read_extended()?).to_vec()),
                b'x' => {
                    let records = self.read_extended()?;
                    self.read_records(&records, &mut extended)?;
                }
                // For all entries that follow: nothing in it is of interest.
                b'g' => {}
                b'S' => return Err(TarError::Sparse { number: self.entries }),
                _ => return self.entry(&block, type_flag, extended).map(Some),
            }
        }
    }

    fn entry(
        &self,
        block: &[u8; BLOCK_BYTES],
        type_flag: u8,
        extended: Extended,
    ) -> Result<TarEntry, TarError> {
        let path = extended.path.unwrap_or_else(|| name_of(block));
        let target = extended
            .target
            .unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        if path.len() > PATH_BYTES_MAX || target.len() > PATH_BYTES_MAX {
            return Err(self.too_much("the length of a path"));
        }
        let kind = match type_flag {
            // Before POSIX, a directory was a file whose name ends so.
            0 | b'0' | b'7' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink { target },
            b'2' => Kind::Symlink { target },
            b'5' => Kind::Directory,
            _ => Kind::Other,
        };
        Ok(TarEntry {
            path,
            kind,
            mode: (self.number(&block[100..108], "mode")? & 0o7777) as u32,
            size_bytes: self.left_bytes,
        })
    }

    /// What follows the end.
    pub fn into_inner(self) -> R {
        self.reader
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.reader.read(&mut block[filled..]) {
                // A tar without its last blocks is taken, one that ends in a header is not.
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(block))
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let wanted = self.left_bytes + self.padding_bytes;
        let skipped = io::copy(&mut self.reader.by_ref().take(wanted), &mut io::sink())?;
        (self.left_bytes, self.padding_bytes) = (0, 0);
        match skipped == wanted {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    fn read_extended(&mut self) -> Result<Vec<u8>, TarError> {
        if self.left_bytes > EXTENDED_HEADER_BYTES_MAX {
            return Err(self.too_much("the size of an extended header"));
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content)?;
        Ok(content)
    }

    /// `LENGTH KEY=VALUE\n`, one after the other.
    fn read_records(&self, mut records: &[u8], extended: &mut Extended) -> Result<(), TarError> {
        let malformed = || TarError::Extended { number: self.entries };
        // Ends: each record has at least one byte.
        while !records.is_empty() {
            let space = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(malformed)?;
            let length: usize = decimal(&records[..space]).ok_or_else(malformed)?;
            let record = records.get(space + 1..length).ok_or_else(malformed)?;
            records = &records[length..];
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.target = Some(value.to_vec()),
                b"size" => extended.size_bytes = Some(decimal(value).ok_or_else(malformed)? as u64),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(TarError::Sparse { number: self.entries });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The sum of all bytes, with the field of the sum itself as spaces.
    fn check_sum(&self, block: &[u8; BLOCK_BYTES]) -> Result<(), TarError> {
        let invalid = TarError::Header { number: self.entries };
        let Ok(expected) = self.number(&block[148..156], "checksum") else {
            return Err(invalid);
        };
        let bytes = || {
            block
                .iter()
                .enumerate()
                .map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte })
        };
        let sum: u64 = bytes().map(u64::from).sum();
        // Some old programs add signed bytes.
        let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
        match sum == expected || i64::try_from(expected) == Ok(signed) {
            true => Ok(()),
            false => Err(invalid),
        }
    }

    /// Octal digits with spaces or NUL around them; or, for large ones, big-endian after a byte of 0x80.
    fn number(&self, field: &[u8], name: &'static str) -> Result<u64, TarError> {
        let wrong = || TarError::Number {
            number: self.entries,
            field: name,
        };
        if field[0] & 0x80 != 0 {
            let (high, low) = field.split_at(field.len() - 8.min(field.len() - 1));
            let is_small = high[0] & 0x7f == 0 && high[1..].iter().all(|byte| *byte == 0);
            return match is_small {
                true => Ok(low.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
                false => Err(wrong()),
            };
        }
        let digits = field.iter().skip_while(|byte| **byte == b' ');
        let mut value: u64 = 0;
        for byte in digits.take_while(|byte| !matches!(byte, 0 | b' ')) {
            if !(b'0'..=b'7').contains(byte) {
                return Err(wrong());
            }
            value = value.checked_mul(8).ok_or_else(wrong)? + u64::from(byte - b'0');
        }
        Ok(value)
    }

    fn too_much(&self, what: &'static str) -> TarError {
        TarError::TooMuch {
            number: self.entries,
            what,
        }
    }
}

/// The content of the present entry.
impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (buffer.len() as u64).min(self.left_bytes) as usize;
        if length == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buffer[..length])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.left_bytes -= read as u64;
                Ok(read)
            }
        }
    }
}

fn name_of(block: &[u8; BLOCK_BYTES]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = match &block[257..263] {
        b"ustar\0" => until_nul(&block[345..500]),
        // GNU has times there.
        _ => &[],
    };
    match prefix.is_empty() {
        true => name.to_vec(),
        false => [prefix, b"/", name].concat(),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod writer;
