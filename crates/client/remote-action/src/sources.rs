//! Where the bytes of blobs are, and their upload.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use blob::{Blob, BlobError, Body, Digest, DigestSet};
use bytes::{Bytes, BytesMut};
use cas::{BlobStore, StoreError};
use futures::FutureExt;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;

/// Blobs that are here, by digest.
#[derive(Debug, Default)]
pub struct Sources {
    by_digest: HashMap<Digest, Source>,
}

/// Where one blob's bytes are.
#[derive(Clone, Debug)]
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

/// What an upload had to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many.
    pub blobs: u64,
    /// How large they are together.
    pub bytes: u64,
}

/// Uploads at the same time.
const UPLOADS_IN_FLIGHT: usize = 64;
/// A file up to this size is read as a whole: it can then be sent again without being read again.
const WHOLE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a larger file that are read at a time.
const PIECE_BYTES: usize = 1024 * 1024;
/// How often a large file is sent; each time it is read anew.
const FILE_TRIES: u32 = 4;
/// Wait before a large file is sent again, times the tries made.
const FILE_RETRY_DELAY: Duration = Duration::from_millis(500);

impl Sources {
    /// Remembers a blob that is in memory.
    pub fn add(&mut self, blob: Blob) -> Digest {
        let digest = blob.digest();
        if let Body::Bytes(bytes) = blob.into_body() {
            self.by_digest.insert(digest, Source::Bytes(bytes));
        }
        digest
    }

    /// Remembers a blob that is in a file.
    pub fn add_file(&mut self, digest: Digest, path: PathBuf) {
        self.by_digest.entry(digest).or_insert(Source::File(path));
    }

    /// Those that are in memory.
    pub fn in_memory(&self) -> impl Iterator<Item = Blob> {
        self.by_digest.iter().filter_map(|(digest, source)| match source {
            Source::Bytes(bytes) => Blob::verified(*digest, bytes.clone()).ok(),
            Source::File(_) => None,
        })
    }

    /// All of them.
    pub fn digests(&self) -> DigestSet {
        self.by_digest.keys().copied().collect()
    }

    /// Whether this one is among them.
    pub fn has(&self, digest: &Digest) -> bool {
        self.by_digest.contains_key(digest)
    }

    /// Uploads whatever the store lacks.
    pub async fn upload_missing(&self, store: &dyn BlobStore) -> Result<Sent> {
        let missing = store
            .find_missing(&self.digests())
            .await
            .context("asking the server what it lacks")?;
        self.upload(store, &missing).await
    }

    /// Uploads these blobs.
    pub async fn upload(&self, store: &dyn BlobStore, digests: &DigestSet) -> Result<Sent> {
        // Boxed, so that whoever calls this can be a task: the compiler does not see through the closure otherwise.
        let uploads: Vec<_> = digests
            .iter()
            .map(|digest| self.upload_one(store, *digest).boxed())
            .collect();
        stream::iter(uploads)
            .buffer_unordered(UPLOADS_IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        Ok(Sent {
            blobs: digests.len() as u64,
            bytes: digests.iter().map(Digest::size_bytes).sum(),
        })
    }
}

impl Sources {
    async fn upload_one(&self, store: &dyn BlobStore, digest: Digest) -> Result<()> {
        let source = self.by_digest.get(&digest).ok_or_else(|| {
            anyhow!("the server lacks blob {digest}, which is no part of what is uploaded here")
        })?;
        source.put(store, digest).await
    }
}

impl Source {
    async fn put(&self, store: &dyn BlobStore, digest: Digest) -> Result<()> {
        match self {
            Source::Bytes(bytes) => {
                let blob = Blob::verified(digest, bytes.clone())?;
                store
                    .put(blob)
                    .await
                    .with_context(|| format!("uploading blob {digest}"))
            }
            Source::File(path) => put_file(store, digest, path)
                .await
                .with_context(|| format!("uploading {}", path.display())),
        }
    }
}

async fn put_file(store: &dyn BlobStore, digest: Digest, path: &Path) -> Result<()> {
    if digest.size_bytes() <= WHOLE_FILE_BYTES_MAX {
        let bytes = tokio::fs::read(path).await?;
        let blob = Blob::verified(digest, bytes.into()).map_err(|error| changed(error.into()))?;
        return Ok(store.put(blob).await?);
    }
    let mut tries = 1;
    loop {
        let file = tokio::fs::File::open(path).await?;
        match store.put(Blob::checked(digest, pieces(file))).await {
            // A stream cannot be sent twice by the store; the file can be read twice by us.
            Err(StoreError::Unavailable { reason }) if tries < FILE_TRIES => {
                tracing::debug!(path = %path.display(), reason, tries, "uploading again");
                tokio::time::sleep(FILE_RETRY_DELAY * tries).await;
                tries += 1;
            }
            result => return result.map_err(changed),
        }
    }
}

/// Wrong bytes from a file mean that somebody writes to it.
fn changed(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Blob(BlobError::WrongSize { .. } | BlobError::WrongHash { .. }) => {
            anyhow!("the file changed while it was being uploaded; try again when nobody writes to it")
        }
        other => other.into(),
    }
}

fn pieces(file: tokio::fs::File) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    })
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    #[tokio::test]
    async fn only_what_is_missing_is_sent() {
        let store = cas::memory(64 << 20);
        let directory = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        for (name, size_bytes) in [("small", 10), ("large", 3_000_000)] {
            let path = directory.path().join(name);
            std::fs::write(&path, vec![7; size_bytes]).unwrap();
            sources.add_file(Digest::of(F, &vec![7; size_bytes]), path);
        }
        sources.add(Blob::from_bytes(F, "in memory"));
        let sent = sources.upload_missing(&*store).await.unwrap();
        assert_eq!(
            sent,
            Sent {
                blobs: 3,
                bytes: 3_000_019
            }
        );
        assert!(store.find_missing(&sources.digests()).await.unwrap().is_empty());
        assert_eq!(sources.upload_missing(&*store).await.unwrap(), Sent::default());
        let stranger = Digest::of(F, b"stranger");
        let error = sources
            .upload(&*store, &DigestSet::from(stranger))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no part"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_changes_is_named() {
        let store = cas::memory(64 << 20);
        let directory = tempfile::tempdir().unwrap();
        for size_bytes in [10, 3_000_000] {
            let path = directory.path().join("changing");
            std::fs::write(&path, vec![8; size_bytes]).unwrap();
            let mut sources = Sources::default();
            sources.add_file(Digest::of(F, &vec![7; size_bytes]), path);
            let error = format!("{:#}", sources.upload_missing(&*store).await.unwrap_err());
            assert!(
                error.contains("changing") && error.contains("changed while"),
                "{error}"
            );
        }
    }
}
