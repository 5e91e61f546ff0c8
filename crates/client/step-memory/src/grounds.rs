//! What a finding rests on.

use std::path::{Path, PathBuf};

use file_digests::FileDigest;

/// Everything on disk that a finding depends on. Paths are absolute, and otherwise as they were opened: `..` and links are
/// followed anew each time.
#[derive(Debug, Default)]
pub struct Grounds {
    /// With what they hold, where whoever read them knows.
    pub(crate) files: Vec<(PathBuf, Option<FileDigest>)>,
    pub(crate) absent: Vec<PathBuf>,
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) unknown: Option<&'static str>,
}

impl Grounds {
    /// The contents of this file, and whether it may be executed.
    pub fn file(&mut self, path: impl Into<PathBuf>) {
        self.files.push((path.into(), None));
    }

    /// The same for a file that was read a moment ago and held this.
    pub fn known_file(&mut self, path: impl Into<PathBuf>, holds: FileDigest) {
        self.files.push((path.into(), Some(holds)));
    }

    /// That no regular file is there.
    pub fn absent(&mut self, path: impl Into<PathBuf>) {
        self.absent.push(path.into());
    }

    /// Whether there is a directory, and with which of the others named here it is one.
    pub fn directory(&mut self, path: impl Into<PathBuf>) {
        self.directories.push(path.into());
    }

    /// That the finding also rests on something that nobody can look at again, so that it is not to be kept.
    pub fn unknown(&mut self, what: &'static str) {
        self.unknown.get_or_insert(what);
    }

    /// Takes over what `other` says.
    pub fn append(&mut self, other: Grounds) {
        self.files.extend(other.files);
        self.absent.extend(other.absent);
        self.directories.extend(other.directories);
        self.unknown = self.unknown.or(other.unknown);
    }

    /// The files named so far.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }
}
