//! Reads a file and makes sure that what was read is one state of it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use crate::limits::{FILE_BYTES_MAX, READ_ATTEMPTS_MAX};
use crate::stamp::Stamp;

/// Do not wait for the other end where the path became a pipe after it was looked at.
const O_NONBLOCK: i32 = 0o4000;

/// A file's contents, and whether a later look may trust its stamp.
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stamp: Stamp,
    pub(crate) is_trusted: bool,
}

/// What a regular file contains. None if it is gone or something else by now.
pub(crate) fn read(path: &Path) -> io::Result<Option<Contents>> {
    for _ in 0..READ_ATTEMPTS_MAX {
        let mut file = match OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(before) = stamp(&file)? else {
            return Ok(None);
        };
        if before.size_bytes > FILE_BYTES_MAX {
            return Err(io::Error::from(ErrorKind::FileTooLarge));
        }
        let mut bytes = Vec::with_capacity(before.size_bytes as usize + 1);
        file.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        let now = SystemTime::now();
        if stamp(&file)? == Some(before) && bytes.len() as u64 == before.size_bytes {
            return Ok(Some(Contents {
                bytes,
                stamp: before,
                is_trusted: !before.is_too_new(now),
            }));
        }
    }
    // It is being written all the time.
    Err(io::Error::from(ErrorKind::ResourceBusy))
}

fn stamp(file: &File) -> io::Result<Option<Stamp>> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then(|| Stamp::of(&metadata)))
}

/// Whether an error says that nothing is there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
