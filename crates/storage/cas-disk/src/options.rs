//! What a store on disk is told, why it may not open, and what it tells.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::leases::LeaseUsage;
use crate::{Clock, Compression};

/// Where, how much, and how.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The data directories, usually one; created if they are not there. Segments go where there is most room left in
    /// proportion. The first one holds what describes the whole. Stores of different kinds may share them.
    pub directories: Vec<PathBuf>,
    /// Most bytes on disk, in all directories together. What was not asked for the longest makes room, unless it is
    /// promised to somebody.
    pub capacity_bytes: u64,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Whether blocks are compressed.
    pub compression: Compression,
    /// How long and how much is promised.
    pub leases: LeaseOptions,
    /// Time as the leases see it.
    pub clock: Clock,
}

impl DiskOptions {
    /// One directory, and everything else as it is best for most.
    pub fn new(directory: impl Into<PathBuf>, capacity_bytes: u64) -> Self {
        DiskOptions {
            directories: vec![directory.into()],
            capacity_bytes,
            durability: Durability::default(),
            compression: Compression::default(),
            leases: LeaseOptions::default(),
            clock: Clock::monotonic(),
        }
    }
}

/// What a write that has been acknowledged survives. `memory` and `replicated` are stores of another kind: one in
/// memory, and a mirrored pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process: the write is with the kernel.
    Process,
    /// The death of the machine: the write is on the disk. Writes that wait at the same time share one `fdatasync`.
    #[default]
    Disk,
}

/// How long and how much is promised to a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// A build that has not asked for anything for so long, and has no action queued or running, holds nothing more.
    /// Promises to clients that name no build hold for this long.
    pub quiet: Duration,
    /// No promise outlives this without being renewed, however active its build is.
    pub longest: Duration,
    /// Most of the capacity that is kept for one build, in percent; beyond it its oldest promises lapse.
    pub share_percent: u32,
    /// The same for all clients together that name no build.
    pub unnamed_share_percent: u32,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        LeaseOptions {
            quiet: Duration::from_secs(600),
            longest: Duration::from_secs(24 * 3600),
            share_percent: 60,
            unnamed_share_percent: 25,
        }
    }
}

/// What a file takes on disk is a multiple of this on the usual file systems.
const DISK_BLOCK_BYTES: u64 = 4096;

/// What a file of `length_bytes` takes on disk.
pub(crate) fn on_disk_bytes(length_bytes: u64) -> u64 {
    length_bytes.next_multiple_of(DISK_BLOCK_BYTES)
}

/// Less than this is a mistake in the options rather than a small store.
const CAPACITY_BYTES_MIN: u64 = 1 << 20;
/// More than this and the places in a segment no longer fit their 32 bits.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Segments in a store of ordinary size: making room drops this part of it at a time.
const SEGMENTS: u64 = 64;
/// Blobs above this are written to a segment of their own, piece by piece.
const BLOB_IN_MEMORY_BYTES_MAX: u64 = 2 << 20;
/// Segments kept free beyond what is held, so that what is carried forward always has a place.
const SPARE_SEGMENTS: u64 = 2;

/// What follows from the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Most bytes of all segments, the spare ones not counted.
    pub(crate) held_bytes_max: u64,
    /// Bytes of a segment that many share.
    pub(crate) segment_bytes: u64,
    /// Largest content that is written to a shared segment.
    pub(crate) shared_bytes_max: u64,
    /// Largest blob.
    pub(crate) blob_bytes_max: u64,
}

impl Sizes {
    pub(crate) fn of(capacity_bytes: u64) -> Self {
        let segment_bytes = (capacity_bytes / SEGMENTS).min(SEGMENT_BYTES_MAX) & !(DISK_BLOCK_BYTES - 1);
        let held_bytes_max = capacity_bytes - SPARE_SEGMENTS * segment_bytes;
        // Beside the largest blob there is the segment in use; and its blocks take 12 bytes each, 1/5461.
        let blob_bytes_max = held_bytes_max - 2 * segment_bytes;
        Sizes {
            held_bytes_max,
            segment_bytes,
            shared_bytes_max: (segment_bytes / 4).min(BLOB_IN_MEMORY_BYTES_MAX),
            blob_bytes_max: (blob_bytes_max - blob_bytes_max / 4096).min((1 << 36) - (1 << 26)),
        }
    }
}

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
    /// No directory was named.
    #[error("a store on disk needs at least one directory")]
    NoDirectory,
    /// What is in the directory was written by a version that this one does not understand.
    #[error("{} holds {what}; this version reads format {format}. Use another directory, or empty this one", directory.display())]
    OtherFormat {
        /// The directory.
        directory: PathBuf,
        /// What was found.
        what: String,
        /// The format of this version.
        format: u32,
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
    pub(crate) fn io(what: impl Into<String>) -> impl Fn(std::io::Error) -> Self {
        let what = what.into();
        move |source| OpenError::Io {
            what: what.clone(),
            source,
        }
    }
}

impl DiskOptions {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if self.directories.is_empty() {
            return Err(OpenError::NoDirectory);
        }
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries held.
    pub blobs: u64,
    /// Bytes of all segments, the room of those in use included.
    pub bytes: u64,
    /// The bound.
    pub capacity_bytes: u64,
    /// Segments held, those of single large blobs included.
    pub segments: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Entries dropped to make room.
    pub evicted: u64,
    /// Bytes carried forward because they were promised or in use when their segment had to go.
    pub carried_bytes: u64,
    /// Entries dropped because they were damaged or had vanished from the disk.
    pub corrupt: u64,
    /// Writes refused because everything was promised.
    pub refused: u64,
    /// For how long what nobody asks for is kept at present: since when the segment that goes next is there, or was last
    /// counted as young because somebody had asked for what is in it.
    pub retention: Duration,
    /// The segment that goes next; nothing where all is promised.
    pub next: NextEviction,
    /// What is promised to whom.
    pub leases: LeaseUsage,
}

/// What would make room next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextEviction {
    /// Bytes of the segment.
    pub bytes: u64,
    /// Since when it is there.
    pub age: Duration,
}
