//! What a cached file is called, and what it looks like when nobody has touched it.

use blob::{Digest, DigestFunction};
use rustix::fs::{self as sys, Mode, Timespec, Timestamps};

/// Every input file has this time of modification, in seconds since 1970: 2000-01-01. One constant makes actions
/// that look at it deterministic, and any later write to a cached file visible.
pub(crate) const INPUT_MTIME_S: i64 = 946_684_800;

/// One input file as it appears on disk: content and executable bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// Its content.
    pub(crate) digest: Digest,
    /// Whether it may be executed.
    pub(crate) is_executable: bool,
}

impl FileId {
    /// Read-only for everybody: an action must never change another's input through a shared inode (E27).
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_raw_mode(if self.is_executable { 0o555 } else { 0o444 })
    }
}

/// The times of every input file.
pub(crate) fn input_times() -> Timestamps {
    let time = Timespec {
        tv_sec: INPUT_MTIME_S,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Whoever wrote to the file changed its time. That finds accidents; against intent stands that the file belongs to
/// another user than any action, or else that actions get copies.
pub(super) fn is_intact(file: &FileId, stat: &sys::Stat) -> bool {
    stat.st_size as u64 == file.digest.size_bytes()
        && stat.st_mtime == INPUT_MTIME_S
        && stat.st_mtime_nsec as i64 == 0
        && sys::FileType::from_raw_mode(stat.st_mode) == sys::FileType::RegularFile
        && Mode::from_raw_mode(stat.st_mode) == file.mode()
}

/// `ab/abcdef…-123-sha256` or, if executable, `ab/abcdef…-123-sha256-x`.
pub(super) fn name_of(file: &FileId) -> String {
    let FileId {
        digest,
        is_executable,
    } = file;
    let hash = digest.hash_hex();
    let suffix = if *is_executable { "-x" } else { "" };
    format!(
        "{}/{hash}-{}-{}{suffix}",
        &hash[..2],
        digest.size_bytes(),
        digest.function().name()
    )
}

pub(super) fn parse_name(name: &str) -> Option<FileId> {
    let mut fields = name.split('-');
    let (hash, size_bytes, function) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?);
    let is_executable = match fields.next() {
        None => false,
        Some("x") => fields.next().is_none(),
        Some(_) => return None,
    };
    let digest = Digest::from_hex(DigestFunction::from_name(function)?, hash, size_bytes).ok()?;
    Some(FileId {
        digest,
        is_executable,
    })
}
