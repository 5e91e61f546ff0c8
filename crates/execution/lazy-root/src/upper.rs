//! What an action has written, by what its overlay has kept.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use crate::limits::{OBSERVED_BYTES_MAX, OBSERVED_PATHS_MAX, WRITTEN_DEPTH_MAX};
use crate::nodes::join;

/// Paths relative to the root. Names that are not UTF-8 are written with replacement characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files, symlinks and the like that were made, changed or replaced. Directories are not among them.
    pub made: BTreeSet<String>,
    /// What was there and was removed. What was below a removed or replaced directory is not named.
    pub removed: BTreeSet<String>,
    /// There is more than is named.
    pub truncated: bool,
}

struct Level {
    directory: OwnedFd,
    entries: Dir,
    path: String,
}

/// Everything in the directory `upper` of an overlay but what `is_wanted` refuses by its path; what is below a refused
/// directory is not looked at. Blocking. No process of the action may be alive; no symlink is followed.
pub fn written(upper: &OwnedFd, is_wanted: impl Fn(&str) -> bool) -> io::Result<Written> {
    let mut written = Written::default();
    let mut bytes = 0;
    let mut levels = vec![Level::open(upper, ".", String::new())?];
    // Ends: what is on the disk is finite, and nobody adds to it.
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.next() else {
            levels.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let path = join(&level.path, &name.to_string_lossy());
        if !is_wanted(&path) {
            continue;
        }
        let stat = rustix::fs::statat(&level.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let names = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if levels.len() < WRITTEN_DEPTH_MAX => {
                let above = levels.last().expect("it was just looked at");
                let inner = Level::open(&above.directory, name, path)?;
                levels.push(inner);
                continue;
            }
            FileType::Directory => {
                written.truncated = true;
                continue;
            }
            // How an overlay says that something is gone.
            FileType::CharacterDevice if stat.st_rdev == 0 => &mut written.removed,
            _ => &mut written.made,
        };
        bytes += path.len();
        names.insert(path);
        if written.made.len() + written.removed.len() >= OBSERVED_PATHS_MAX || bytes > OBSERVED_BYTES_MAX {
            written.truncated = true;
            break;
        }
    }
    Ok(written)
}

impl Level {
    fn open(at: &OwnedFd, name: impl rustix::path::Arg, path: String) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(at, name, flags, Mode::empty())?;
        let entries = Dir::read_from(&directory)?;
        Ok(Level {
            directory,
            entries,
            path,
        })
    }
}
