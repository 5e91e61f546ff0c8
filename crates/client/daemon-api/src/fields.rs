//! Fields of a frame: numbers in little-endian, byte strings with their length before them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::frame::FrameError;
use crate::limits::FIELDS_MAX;

/// Appends fields.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Lengths are far below 4 GiB: a frame that long is refused when it is sent.
    pub(crate) fn string(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn strings(&mut self, strings: &[OsString]) {
        self.u32(u32::try_from(strings.len()).unwrap_or(u32::MAX));
        for string in strings {
            self.string(string.as_bytes());
        }
    }

    pub(crate) fn pairs(&mut self, pairs: &[(OsString, OsString)]) {
        self.u32(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        for (name, value) in pairs {
            self.string(name.as_bytes());
            self.string(value.as_bytes());
        }
    }
}

/// Takes fields off, checking that they are there.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        let (number, rest) = self.bytes.split_first_chunk().ok_or(FrameError::Truncated)?;
        self.bytes = rest;
        Ok(u32::from_le_bytes(*number))
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.u32()? as usize;
        let (string, rest) = self.bytes.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.bytes = rest;
        Ok(string)
    }

    pub(crate) fn os_string(&mut self) -> Result<OsString, FrameError> {
        Ok(OsString::from_vec(self.string()?.to_vec()))
    }

    pub(crate) fn strings(&mut self) -> Result<Vec<OsString>, FrameError> {
        let count = self.count()?;
        (0..count).map(|_| self.os_string()).collect()
    }

    pub(crate) fn pairs(&mut self) -> Result<Vec<(OsString, OsString)>, FrameError> {
        let count = self.count()?;
        (0..count)
            .map(|_| Ok((self.os_string()?, self.os_string()?)))
            .collect()
    }

    /// A number of fields, each at least four bytes long: a lie is found out before memory is taken for it.
    fn count(&mut self) -> Result<usize, FrameError> {
        let count = self.u32()? as usize;
        match count <= FIELDS_MAX && count <= self.bytes.len() / 4 {
            true => Ok(count),
            false => Err(FrameError::TooManyFields { count }),
        }
    }

    pub(crate) fn end(self) -> Result<(), FrameError> {
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(FrameError::Trailing { more }),
        }
    }
}
