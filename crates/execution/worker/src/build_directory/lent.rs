//! An input root that is lent to a process which outlives it, and taken back.
//!
//! The process keeps a directory of its own with the tools it was started with. What a request needs beside them is
//! laid out elsewhere, where no process can reach it, and then *moved* in; afterwards everything that was not there
//! before is moved out again, outputs included. So nothing is ever written through a directory that a living stranger
//! can rename under our hands: each step opens one component, follows no symlink, and renames an entry.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::limits::{MOVES_MAX, MOVES_PER_ROUND_MAX, TOOL_DEPTH_MAX};

/// What stays in a process's directory from request to request, and how to tell that nobody has touched it.
pub(crate) struct Kept {
    seal: Seal,
    entries: BTreeMap<CString, Entry>,
}

enum Entry {
    Directory(Kept),
    /// A file or a symlink.
    Leaf(Seal),
}

/// What only somebody who may write the thing can change.
#[derive(Debug, PartialEq, Eq)]
struct Seal {
    device_and_inode: (u64, u64),
    owner: u32,
    mode: u32,
    /// Of what the process may write: no program can set it. Others share their inode with the file cache, where it
    /// changes whenever another action is given the file; their owner is proof enough.
    changed: Option<(i64, i64)>,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Kept {
    /// All that is in `root` now, before any process has seen it. Blocking.
    pub(crate) fn of(root: &OwnedFd) -> io::Result<Kept> {
        let stat = sys::fstat(root)?;
        Self::read(root, stat.st_uid, 0)
    }

    fn read(directory: &OwnedFd, action_uid: u32, depth: usize) -> io::Result<Kept> {
        if depth > TOOL_DEPTH_MAX {
            return Err(io::Error::other("tools lie too deep to be kept"));
        }
        let mut entries = BTreeMap::new();
        for entry in sys::Dir::read_from(directory)? {
            let name = entry?.file_name().to_owned();
            if is_dots(&name) {
                continue;
            }
            let stat = sys::statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
            let entry = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let below = sys::openat(directory, &*name, DIRECTORY, Mode::empty())?;
                    Entry::Directory(Self::read(&below, action_uid, depth + 1)?)
                }
                _ => Entry::Leaf(Seal::of(&stat, action_uid)),
            };
            entries.insert(name, entry);
        }
        let seal = Seal::of_directory(&sys::fstat(directory)?);
        Ok(Kept { seal, entries })
    }

    /// Moves everything from `from`, which no process reaches, to `to`, the process's directory. Blocking.
    ///
    /// An error means that the process has done something to its directory: it is of no use any more.
    pub(crate) fn lend(&self, from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
        for name in names(from, |_| true, usize::MAX)? {
            match self.entries.get(&name) {
                Some(Entry::Directory(below)) => {
                    let from = sys::openat(from, &*name, DIRECTORY, Mode::empty())?;
                    let to = sys::openat(to, &*name, DIRECTORY, Mode::empty())?;
                    below.lend(&from, &to)?;
                }
                // A tool is never laid out twice; if it were, the system would refuse to replace it.
                Some(Entry::Leaf(_)) | None => rename(from, to, &name)?,
            }
        }
        Ok(())
    }

    /// Moves everything that is not kept from `from`, the process's directory, back to `to`, and makes sure that what is
    /// kept is as it was. Blocking.
    ///
    /// An error means that it is not, or that more was left than is moved: the process is of no use any more.
    pub(crate) fn take_back(&self, from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
        let mut moves_left = MOVES_MAX;
        self.take_back_up_to(from, to, &mut moves_left)
    }

    fn take_back_up_to(&self, from: &OwnedFd, to: &OwnedFd, moves_left: &mut usize) -> io::Result<()> {
        let stat = sys::fstat(from)?;
        if Seal::of_directory(&stat) != self.seal {
            return Err(io::Error::other("a directory of the tools was changed"));
        }
        loop {
            let names = names(from, |name| !self.entries.contains_key(name), MOVES_PER_ROUND_MAX)?;
            if names.is_empty() {
                break;
            }
            *moves_left = moves_left
                .checked_sub(names.len())
                .ok_or_else(|| io::Error::other("too much was left behind"))?;
            for name in names {
                rename(from, to, &name)?;
            }
        }
        for (name, entry) in &self.entries {
            match entry {
                Entry::Directory(below) => {
                    let from = sys::openat(from, &**name, DIRECTORY, Mode::empty())?;
                    match sys::mkdirat(to, &**name, Mode::RWXU) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    let to = sys::openat(to, &**name, DIRECTORY, Mode::empty())?;
                    below.take_back_up_to(&from, &to, moves_left)?;
                }
                Entry::Leaf(seal) => {
                    let now = sys::statat(from, &**name, AtFlags::SYMLINK_NOFOLLOW)?;
                    if Seal::of(&now, stat.st_uid) != *seal {
                        return Err(io::Error::other(format!("the tool {name:?} was changed")));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Seal {
    fn of(stat: &Stat, action_uid: u32) -> Seal {
        let is_the_actions = stat.st_uid == action_uid;
        Seal {
            changed: is_the_actions.then_some((stat.st_ctime, stat.st_ctime_nsec as i64)),
            ..Seal::of_directory(stat)
        }
    }

    /// Its times change with what comes and goes in it.
    fn of_directory(stat: &Stat) -> Seal {
        Seal {
            device_and_inode: (stat.st_dev, stat.st_ino),
            owner: stat.st_uid,
            mode: stat.st_mode,
            changed: None,
        }
    }
}

fn rename(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
    let rename = || sys::renameat_with(from, name, to, name, RenameFlags::NOREPLACE);
    let renamed = match rename() {
        // Without rights over all files, a directory moves only if it is open to its owner.
        Err(Errno::ACCESS) => open_up(from, name).and_then(|()| rename()),
        renamed => renamed,
    };
    renamed.map_err(|errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("moving {name:?}: {error}"))
    })
}

fn open_up(at: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = sys::openat(at, name, flags, Mode::empty())?;
    // An O_PATH descriptor takes no fchmod; its entry in /proc leads to the very same directory.
    sys::chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU)
}

/// Up to `names_max` names in a directory.
fn names(directory: &OwnedFd, wanted: impl Fn(&CStr) -> bool, names_max: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in sys::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) || !wanted(name) {
            continue;
        }
        if names.len() == names_max {
            break;
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn is_dots(name: &CStr) -> bool {
    name == c"." || name == c".."
}

#[cfg(test)]
mod tests;
