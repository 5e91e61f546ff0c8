//! Directories from the tree that was collected, files from the cache.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use blob::Digest;
use cas::{BlobStore, Invocation};
use lazy_root::{Contents, InputFile};
use merkle::{Directory, InputTree};
use thiserror::Error;

use crate::build_directory::PrepareError;
use crate::file_cache::{FileCache, FileCacheError, FileId, HeldFiles};
use crate::limits::PLACEMENT_ATTEMPTS_MAX;

/// The contents of one action's input root.
#[derive(Clone)]
pub(crate) struct FromCache {
    pub(crate) tree: Arc<InputTree>,
    pub(crate) files: Arc<FileCache>,
    pub(crate) store: Arc<dyn BlobStore>,
    /// On whose behalf it is fetched.
    pub(crate) invocation: Option<Invocation>,
}

/// Why an input could not be had while the command ran.
#[derive(Debug, Error)]
pub(crate) enum LazyError {
    /// As before a command.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The tree has no such directory. It was complete when it was collected.
    #[error("input directory {0} is not in the tree that was collected")]
    Directory(Digest),
    /// The store takes too long.
    #[error(
        "the command waited for its inputs for {} s, all in all, and `{path}` is not there yet; the store is too slow",
        lazy_root::WAIT_MAX.as_secs()
    )]
    TooSlow { path: String },
}

impl FromCache {
    /// Makes `files` present, and keeps them so for as long as the answer lives.
    pub(crate) async fn hold(&self, files: &[FileId]) -> Result<HeldFiles, FileCacheError> {
        let hold = self.files.hold(&*self.store, files);
        Invocation::scope(self.invocation.clone(), hold).await
    }

    /// Opens one file. It stays what it is once it is open, whatever becomes of the cache.
    async fn open(&self, file: FileId) -> Result<OwnedFd, PrepareError> {
        for _ in 0..PLACEMENT_ATTEMPTS_MAX {
            let _held = self.hold(&[file]).await?;
            let opened = self.files.read(&file).map_err(|source| PrepareError::Disk {
                path: file.digest.to_string(),
                source,
            })?;
            // What was damaged has been forgotten, so the next round fetches it.
            if let Some(opened) = opened {
                return Ok(opened);
            }
        }
        Err(PrepareError::Unstable)
    }
}

impl Contents for FromCache {
    type Error = LazyError;

    fn directory(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Arc<Directory>, LazyError>> + Send + 'static {
        let found = self.tree.directories().get(&digest).cloned();
        std::future::ready(found.ok_or(LazyError::Directory(digest)))
    }

    fn file(&self, file: InputFile) -> impl Future<Output = Result<OwnedFd, LazyError>> + Send + 'static {
        let this = self.clone();
        let file = FileId {
            digest: file.digest,
            is_executable: file.is_executable,
        };
        async move { Ok(this.open(file).await?) }
    }

    fn too_slow(&self, path: &str) -> LazyError {
        LazyError::TooSlow {
            path: path.to_owned(),
        }
    }

    fn broken(&self, path: &str, source: io::Error) -> LazyError {
        let path = path.to_owned();
        LazyError::Prepare(PrepareError::Disk { path, source })
    }
}
