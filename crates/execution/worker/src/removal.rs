//! Removing a tree that strangers have filled.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self as sys, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::limits::REMOVAL_NAMES_PER_LEVEL_MAX;

/// Removes the directory `name` in `parent` with all that is in it, whatever that is: hundred thousand levels deep,
/// a million entries wide, directories of mode 000. Takes two descriptors at a time and never follows a symlink.
///
/// Nothing may be moved about below it meanwhile; if something is, that is an error and nothing outside is touched.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match sys::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Not empty, or not a directory at all.
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(Errno::NOTDIR) => return Ok(sys::unlinkat(parent, name, AtFlags::empty())?),
        Err(error) => return Err(error.into()),
    }
    let mut levels = vec![Level::enter(parent, name)?];
    let mut current = open_directory(parent, name)?;
    // Ends: every round removes something, goes up, or fails.
    while let Some(level) = levels.last_mut() {
        if level.subdirectories.is_empty() {
            level.subdirectories = empty_of_files(&current)?;
        }
        if let Some(subdirectory) = level.subdirectories.pop() {
            match sys::unlinkat(&current, &*subdirectory, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => {
                    levels.push(Level::enter(current.as_fd(), &subdirectory)?);
                    current = open_directory(current.as_fd(), &subdirectory)?;
                }
            }
            continue;
        }
        let done = levels.pop().expect("the loop runs while there is a level");
        if levels.is_empty() {
            return Ok(sys::unlinkat(parent, &*done.name, AtFlags::REMOVEDIR)?);
        }
        current = done.leave(&current)?;
        sys::unlinkat(&current, &*done.name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// A directory on the way down.
struct Level {
    name: CString,
    /// Device and inode of the directory above, to notice when `..` is no longer where we came from.
    above: (u64, u64),
    /// Still to be removed.
    subdirectories: Vec<CString>,
}

impl Level {
    fn enter(above: BorrowedFd<'_>, name: &CStr) -> io::Result<Self> {
        Ok(Level {
            name: name.to_owned(),
            above: identity(above)?,
            subdirectories: Vec::new(),
        })
    }

    /// The directory above `current`, which is this level's own.
    fn leave(&self, current: &OwnedFd) -> io::Result<OwnedFd> {
        let above = sys::openat(current, "..", FLAGS, Mode::empty())?;
        if identity(above.as_fd())? != self.above {
            return Err(io::Error::other(
                "a directory was moved while its tree was being removed",
            ));
        }
        Ok(above)
    }
}

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn identity(directory: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = sys::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Opens a directory that its owner may have made inaccessible to himself.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    match sys::openat(parent, name, FLAGS, Mode::empty()) {
        Err(Errno::ACCESS) => {
            sys::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            Ok(sys::openat(parent, name, FLAGS, Mode::empty())?)
        }
        Err(error) => Err(error.into()),
        Ok(directory) => {
            // Without leave to write and search it could be read but not emptied. Root needs no leave.
            let mode = Mode::from_raw_mode(sys::fstat(&directory)?.st_mode);
            if !mode.contains(Mode::RWXU) && !rustix::process::geteuid().is_root() {
                sys::fchmod(&directory, Mode::RWXU)?;
            }
            Ok(directory)
        }
    }
}

/// Removes everything in `directory` but directories; returns those, up to a bound. If there are more, they are
/// found when these are gone.
fn empty_of_files(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut subdirectories = Vec::new();
    for entry in sys::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entry.file_type() != sys::FileType::Directory {
            match sys::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                // The file system does not tell types, and it is a directory.
                Err(Errno::ISDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if subdirectories.len() < REMOVAL_NAMES_PER_LEVEL_MAX {
            subdirectories.push(name.to_owned());
        }
    }
    Ok(subdirectories)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn remove(directory: &Path) -> io::Result<()> {
        let parent = sys::open(directory.parent().unwrap(), FLAGS, Mode::empty()).unwrap();
        let name = CString::new(directory.file_name().unwrap().to_str().unwrap()).unwrap();
        remove_tree(parent.as_fd(), &name)
    }

    #[test]
    fn files_links_pipes_and_closed_directories_go_and_what_links_point_to_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        let doomed = scratch.path().join("doomed");
        std::fs::create_dir_all(doomed.join("a/b/c")).unwrap();
        std::fs::write(doomed.join("a/b/file"), "x").unwrap();
        symlink(&outside, doomed.join("a/link")).unwrap();
        symlink("nowhere", doomed.join("a/b/dangling")).unwrap();
        sys::mknodat(sys::CWD, doomed.join("pipe"), sys::FileType::Fifo, Mode::RWXU, 0).unwrap();
        for closed in ["a/b/c", "a/b", "a"] {
            std::fs::set_permissions(doomed.join(closed), PermissionsExt::from_mode(0o000)).unwrap();
        }
        remove(&doomed).unwrap();
        assert!(!doomed.exists());
        assert!(outside.join("kept").exists());
        remove(&doomed).unwrap();
    }

    #[test]
    fn a_file_and_a_symlink_are_trees_too() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("file"), "x").unwrap();
        symlink("/", scratch.path().join("link")).unwrap();
        remove(&scratch.path().join("file")).unwrap();
        remove(&scratch.path().join("link")).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn more_subdirectories_than_are_remembered() {
        let scratch = tempfile::tempdir().unwrap();
        let doomed = scratch.path().join("doomed");
        for number in 0..REMOVAL_NAMES_PER_LEVEL_MAX * 2 + 3 {
            std::fs::create_dir_all(doomed.join(format!("{number}/x"))).unwrap();
        }
        remove(&doomed).unwrap();
        assert!(!doomed.exists());
    }

    /// Deeper than any path the system takes, and than any stack takes by recursion.
    #[test]
    fn a_hundred_thousand_levels() {
        // In memory where possible: some disks take a millisecond for each directory.
        let scratch = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let doomed = scratch.path().join("doomed");
        std::fs::create_dir(&doomed).unwrap();
        let mut current = sys::open(&doomed, FLAGS, Mode::empty()).unwrap();
        for _ in 0..100_000 {
            sys::mkdirat(&current, "d", Mode::RWXU).unwrap();
            current = sys::openat(&current, "d", FLAGS, Mode::empty()).unwrap();
        }
        drop(current);
        remove(&doomed).unwrap();
        assert!(!doomed.exists());
    }
}
