//! A directory for what is on its way; removed when dropped.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blob::{Digest, DigestFunction, DigestHasher};
use image::Contents;
use tempfile::TempDir;

/// Bytes copied at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Files by names of our own.
pub(super) struct Spool {
    directory: TempDir,
    next: u64,
}

impl Spool {
    /// An empty one, where temporary files are kept.
    pub(super) fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-image-").tempdir();
        Ok(Spool {
            directory: directory.context("cannot make a temporary directory (TMPDIR says where)")?,
            next: 0,
        })
    }

    /// A path where nothing is.
    pub(super) fn new_path(&mut self) -> PathBuf {
        self.next += 1;
        self.directory.path().join(self.next.to_string())
    }

    /// Copies all of `content` to a new file.
    pub(super) fn take_in(&mut self, content: &mut dyn Read) -> io::Result<PathBuf> {
        let path = self.new_path();
        let mut file = File::create_new(&path)?;
        io::copy(content, &mut file)?;
        Ok(path)
    }
}

/// The content of files, each once, under the names of their digests.
pub(super) struct SpooledContents {
    spool: Spool,
    function: DigestFunction,
}

impl SpooledContents {
    pub(super) fn new(spool: Spool, function: DigestFunction) -> Self {
        SpooledContents { spool, function }
    }

    /// Where a content is.
    pub(super) fn path_of(&self, digest: &Digest) -> PathBuf {
        path_of(self.spool.directory.path(), digest)
    }
}

impl Contents for SpooledContents {
    fn store(&mut self, size_bytes: u64, content: &mut dyn Read) -> io::Result<Digest> {
        let temporary = self.spool.new_path();
        let mut file = File::create_new(&temporary)?;
        let mut hasher = DigestHasher::new(self.function, size_bytes);
        let mut piece = vec![
            0;
            PIECE_BYTES
                .min(usize::try_from(size_bytes).unwrap_or(PIECE_BYTES))
                .max(1)
        ];
        loop {
            match content.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(&piece[..read]);
                    file.write_all(&piece[..read])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let digest = hasher.finish();
        std::fs::rename(&temporary, self.path_of(&digest))?;
        Ok(digest)
    }
}

fn path_of(directory: &Path, digest: &Digest) -> PathBuf {
    directory.join(format!("{}-{}", digest.hash_hex(), digest.size_bytes()))
}
