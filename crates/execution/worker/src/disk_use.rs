//! How much of the disk an action uses, by looking: quotas take file systems that were made for them.
//!
//! What is looked at may change meanwhile, and is a stranger's: no symlink is followed, nothing is opened but directories,
//! and no other file system is entered. What was deleted and is still open is not seen; it is gone with the action.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::limits::{DISK_LOOK_DEPTH_MAX, DISK_LOOK_ENTRIES_MAX};

/// Each file and directory counts as so much, beside what is in it: a disk has only so many.
const ENTRY_BYTES: u64 = 512;

/// What a stranger writes below a directory.
pub(crate) struct DiskUse {
    directory: OwnedFd,
    /// Whose files count; `None`: everybody's.
    owner: Option<u32>,
    /// What was there before.
    before: u64,
}

impl DiskUse {
    /// From now on, what is written below `directory` counts. Blocking.
    pub(crate) fn since_now(directory: &Path, owner: Option<u32>) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = sys::open(directory, flags, Mode::empty())?;
        let before = measure(&directory, owner)?;
        Ok(DiskUse {
            directory,
            owner,
            before,
        })
    }

    /// Bytes that are there and were not. Blocking.
    pub(crate) fn written(&self) -> io::Result<u64> {
        Ok(measure(&self.directory, self.owner)?.saturating_sub(self.before))
    }
}

/// What is below a directory. Names that vanish or cannot be looked into while this looks count for nothing.
fn measure(directory: &OwnedFd, owner: Option<u32>) -> io::Result<u64> {
    let device = sys::fstat(directory)?.st_dev;
    let mut levels = vec![Dir::read_from(directory)?];
    let mut several_names = HashSet::new();
    let (mut bytes, mut entries) = (0_u64, 0_u32);
    while let Some(level) = levels.last_mut() {
        let Some(Ok(entry)) = level.next() else {
            levels.pop();
            continue;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        entries += 1;
        if entries > DISK_LOOK_ENTRIES_MAX {
            // More than this is no use of a disk that anybody has allowed for.
            return Ok(u64::MAX);
        }
        let at = level.fd()?;
        let Ok(found) = sys::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if found.st_dev != device {
            continue;
        }
        let is_new = found.st_nlink == 1 || several_names.insert(found.st_ino);
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        if owner.is_none_or(|owner| owner == found.st_uid) && (is_new || is_directory) {
            let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
            bytes = bytes.saturating_add(ENTRY_BYTES + blocks * 512);
        }
        if is_directory && levels.len() < DISK_LOOK_DEPTH_MAX {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let at = levels.last().map(|level| level.fd()).transpose()?;
            let below = at.map(|at| sys::openat(at.as_fd(), name, flags, Mode::empty()));
            match below {
                Some(Ok(below)) => levels.push(Dir::new(below)?),
                Some(Err(Errno::MFILE | Errno::NFILE)) => return Err(Errno::MFILE.into()),
                _ => {}
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_written_counts_once_and_what_was_there_does_not() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("input"), vec![1; 100 << 10]).unwrap();
        let used = DiskUse::since_now(scratch.path(), None).unwrap();
        assert_eq!(used.written().unwrap(), 0);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/output"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(at("a/b/output"), at("again")).unwrap();
        symlink("/usr", at("elsewhere")).unwrap();
        let written = used.written().unwrap();
        assert!(
            ((1 << 20)..(1 << 20) + (64 << 10)).contains(&written),
            "{written}"
        );
        for n in 0..1_000 {
            fs::write(at(&format!("a/{n}")), "").unwrap();
        }
        assert!(used.written().unwrap() - written >= 1_000 * ENTRY_BYTES);
        fs::remove_dir_all(at("a")).unwrap();
        fs::remove_file(at("again")).unwrap();
        assert!(used.written().unwrap() <= 2 * ENTRY_BYTES + 8192);
    }

    #[test]
    fn only_the_action_s_files_count() {
        let scratch = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid().as_raw();
        let used = DiskUse::since_now(scratch.path(), Some(us + 1)).unwrap();
        fs::write(scratch.path().join("ours"), vec![1; 1 << 20]).unwrap();
        assert_eq!(used.written().unwrap(), 0);
    }
}
