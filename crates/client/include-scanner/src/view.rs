//! What a scan may ask of the file system. Implementations cache; the scan itself does no I/O.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::source::Source;
use crate::unit::{Directories, join_bytes};

/// Which file a path led to. Two paths with one device and inode are one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
    /// `st_size`
    pub size_bytes: u64,
    /// `st_mtime`, in seconds: GCC compares no more of it.
    pub modified_s: i64,
}

/// A regular file that was found and parsed.
#[derive(Debug)]
pub struct File {
    /// Absolute, otherwise as the compiler spells it.
    pub path: PathBuf,
    /// Its directives.
    pub source: Arc<Source>,
    /// Which file it is.
    pub identity: Identity,
}

/// Something is there and cannot be read, or the file system failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub kind: io::ErrorKind,
}

/// What a search along directories led to.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// No directory has it.
    Absent,
    /// This directory, by its index in the whole list, is the first that has it.
    Found {
        /// Index into [`Directories::paths`].
        directory: usize,
        /// What it has there.
        file: Arc<File>,
    },
    /// This precompiled header would be read in its place.
    Precompiled(PathBuf),
}

/// The file system as scans see it. Within one scan the answers may not contradict each other.
pub trait SourceView {
    /// The regular file at an absolute path; None if there is none, which a directory is too.
    fn file(&self, path: &Path) -> Result<Option<Arc<File>>, Unreadable>;

    /// Whether anything is at an absolute path.
    fn exists(&self, path: &Path) -> Result<bool, Unreadable>;

    /// The first of `directories`, from index `from` on, that has `name`.
    fn find(&self, directories: &Directories, from: usize, name: &[u8]) -> Result<Lookup, Unreadable> {
        for (index, directory) in directories.paths().iter().enumerate().skip(from) {
            let path = join_bytes(directory.as_os_str().as_bytes(), name);
            if directories.precompiled() {
                let precompiled = precompiled(&path);
                if self.exists(&precompiled)? {
                    return Ok(Lookup::Precompiled(precompiled));
                }
            }
            if let Some(file) = self.file(&path)? {
                return Ok(Lookup::Found {
                    directory: index,
                    file,
                });
            }
        }
        Ok(Lookup::Absent)
    }
}

/// Where GCC looks for the precompiled form of a header.
pub(crate) fn precompiled(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gch");
    PathBuf::from(name)
}
