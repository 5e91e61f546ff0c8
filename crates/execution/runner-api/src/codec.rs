//! Writing and reading the fields of a frame. All integers are little-endian; bytes are a `u32` length and the bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::FrameError;

/// Appends fields to a frame's payload.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Writer {
            bytes: Vec::with_capacity(1024),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Whether there is one, and then it.
    pub(crate) fn optional<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A length or a count. One past `u32` is written as the largest; the frame is far too large by then, and
    /// whoever sends it refuses it for that.
    pub(crate) fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn path(&mut self, value: &Path) {
        self.bytes(value.as_os_str().as_bytes());
    }
}

/// Takes fields off a frame's payload. Every call checks; none panics, whatever the bytes.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// Whether everything was read; bytes left over are an error, they would be lost silently.
    pub(crate) fn finish(self) -> Result<(), FrameError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(FrameError::Trailing { left }),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(FrameError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[value]| value)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(FrameError::Value {
                what: "bool",
                value: value.into(),
            }),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, FrameError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, FrameError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| FrameError::Truncated)?)
            .map(<[u8]>::to_vec)
    }

    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Option<T>, FrameError> {
        match self.bool()? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }

    pub(crate) fn string(&mut self) -> Result<String, FrameError> {
        String::from_utf8(self.bytes()?).map_err(|_| FrameError::Text)
    }

    pub(crate) fn path(&mut self) -> Result<PathBuf, FrameError> {
        Ok(PathBuf::from(OsString::from_vec(self.bytes()?)))
    }

    /// A count and that many elements. Each takes at least one byte, so a large count in a short frame cannot make
    /// us reserve much.
    pub(crate) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = usize::try_from(self.u32()?).map_err(|_| FrameError::Truncated)?;
        if count > self.bytes.len() {
            return Err(FrameError::Truncated);
        }
        (0..count).map(|_| element(self)).collect()
    }
}
