//! What a store on disk is told, why it may not open, and what it tells.

use std::path::PathBuf;

use thiserror::Error;

/// Where and how much.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The data directory; created if it is not there. Stores of different kinds may share one.
    pub directory: PathBuf,
    /// Most bytes on disk, each file counted with its checksums and rounded up to 4 KiB as file systems do. What was used longest ago makes room.
    pub capacity_bytes: u64,
}

/// What a file takes on disk is a multiple of this on the usual file systems.
const DISK_BLOCK_BYTES: u64 = 4096;

/// What a file of `length_bytes` takes on disk.
pub(crate) fn on_disk_bytes(length_bytes: u64) -> u64 {
    length_bytes.next_multiple_of(DISK_BLOCK_BYTES)
}

/// Less than this is a mistake in the options rather than a small store.
const CAPACITY_BYTES_MIN: u64 = 64 << 10;

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another store of this one, works in the directory.
    #[error("{} is in use by process {holder}; stop that one or choose another data directory", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The process id its holder wrote down.
        holder: String,
    },
    /// The capacity makes no sense.
    #[error(
        "a capacity of {capacity_bytes} bytes is too small for a store on disk; give it at least {capacity_bytes_min}"
    )]
    TooSmall {
        /// What was asked for.
        capacity_bytes: u64,
        /// The least that is taken.
        capacity_bytes_min: u64,
    },
    /// The disk or the system failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was being done, on what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| OpenError::Io { what, source }
    }
}

impl DiskOptions {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if self.capacity_bytes < CAPACITY_BYTES_MIN {
            let capacity_bytes = self.capacity_bytes;
            return Err(OpenError::TooSmall {
                capacity_bytes,
                capacity_bytes_min: CAPACITY_BYTES_MIN,
            });
        }
        Ok(())
    }
}

/// What a store holds and what has happened to it since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Entries held.
    pub blobs: u64,
    /// Bytes on disk, as `capacity_bytes` counts them, what is being written included.
    pub bytes: u64,
    /// The bound.
    pub capacity_bytes: u64,
    /// Entries dropped to make room.
    pub evicted: u64,
    /// Entries dropped because they were damaged or had vanished from the disk.
    pub corrupt: u64,
}
