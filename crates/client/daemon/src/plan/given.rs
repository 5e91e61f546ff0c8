//! A source that is not on disk, seen by the scanner beside everything that is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use include_scanner::{Directories, File, Identity, Lookup, Source, SourceView, Unreadable};

/// The disk with one more file, at a path where nobody looks for headers.
pub(crate) struct GivenSource<'a> {
    disk: &'a dyn SourceView,
    file: Arc<File>,
}

impl<'a> GivenSource<'a> {
    pub(crate) fn new(disk: &'a dyn SourceView, path: PathBuf, text: &[u8]) -> Self {
        let file = Arc::new(File {
            path,
            source: Arc::new(Source::parse(text)),
            // No file on disk has inode 0.
            identity: Identity::default(),
        });
        GivenSource { disk, file }
    }
}

impl SourceView for GivenSource<'_> {
    fn file(&self, path: &Path) -> Result<Option<Arc<File>>, Unreadable> {
        match path == self.file.path {
            true => Ok(Some(self.file.clone())),
            false => self.disk.file(path),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool, Unreadable> {
        self.disk.exists(path)
    }

    fn find(&self, directories: &Directories, from: usize, name: &[u8]) -> Result<Lookup, Unreadable> {
        self.disk.find(directories, from, name)
    }
}
