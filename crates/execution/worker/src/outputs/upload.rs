//! Getting outputs into the store.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use blob::{Blob, BlobError, Digest};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use rustix::fs::OFlags;

use super::open_beneath;
use crate::blocking::blocking;
use crate::limits::{
    FILE_PIECE_BYTES, OUTPUT_BYTES_IN_MEMORY_MAX, UPLOAD_UNASKED_BLOBS_MAX, UPLOAD_UNASKED_BYTES_MAX,
    UPLOADS_IN_FLIGHT_MAX,
};

/// What is to be uploaded, each digest once. Small blobs are kept in memory, up to a bound.
#[derive(Default)]
pub(crate) struct Uploads {
    blobs: BTreeMap<Digest, Pending>,
    in_memory_bytes: u64,
    bytes: u64,
}

enum Pending {
    Memory(Blob),
    File(Source),
}

/// Where the bytes can be read again.
pub(super) enum Source {
    /// Below an input root, resolved as safely as when it was found.
    Beneath { root: Arc<OwnedFd>, path: String },
    /// A file of the worker's own.
    Path(PathBuf),
}

impl Uploads {
    pub(super) fn has_memory_for(&self, size_bytes: u64) -> bool {
        self.in_memory_bytes + size_bytes <= OUTPUT_BYTES_IN_MEMORY_MAX
    }

    pub(crate) fn add_blob(&mut self, blob: Blob) {
        let digest = blob.digest();
        if self.is_new(digest) {
            self.in_memory_bytes += digest.size_bytes();
            self.blobs.insert(digest, Pending::Memory(blob));
        }
    }

    pub(super) fn add_file(&mut self, digest: Digest, source: Source) {
        if self.is_new(digest) {
            self.blobs.insert(digest, Pending::File(source));
        }
    }

    /// The empty blob is everywhere (checklist G6) and never uploaded.
    fn is_new(&mut self, digest: Digest) -> bool {
        let is_new = !digest.is_empty() && !self.blobs.contains_key(&digest);
        if is_new {
            self.bytes += digest.size_bytes();
        }
        is_new
    }
}

/// Uploads what the store does not have yet. All of it is there when this returns.
pub(crate) async fn upload(store: &dyn BlobStore, uploads: Uploads) -> Result<(), StoreError> {
    let Uploads { blobs, bytes, .. } = uploads;
    if blobs.is_empty() {
        return Ok(());
    }
    let is_little = bytes <= UPLOAD_UNASKED_BYTES_MAX && blobs.len() <= UPLOAD_UNASKED_BLOBS_MAX;
    let missing: Option<HashSet<Digest>> = match is_little {
        true => None,
        false => Some(
            store
                .find_missing(&blobs.keys().copied().collect())
                .await?
                .into_iter()
                .collect(),
        ),
    };
    let wanted = blobs
        .into_iter()
        .filter(|(digest, _)| missing.as_ref().is_none_or(|set| set.contains(digest)));
    stream::iter(wanted)
        .map(|(digest, pending)| async move {
            match pending {
                Pending::Memory(blob) => store.put(blob).await,
                // Hashed once more as it flows: what was hashed before is not what is sent until it is proven.
                Pending::File(source) => store.put(Blob::checked(digest, read(source))).await,
            }
        })
        .buffer_unordered(UPLOADS_IN_FLIGHT_MAX)
        .try_collect()
        .await
}

/// The bytes of a file: pulled piece by piece, each in a hop to a thread that may block.
fn read(source: Source) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::try_unfold(Reading::Closed(source), |reading| async move {
        match blocking(move || reading.next()).await {
            Ok(Some((bytes, file))) => Ok(Some((bytes, Reading::Open(file)))),
            Ok(None) => Ok(None),
            Err(error) => Err(BlobError::from(error)),
        }
    })
}

enum Reading {
    Closed(Source),
    Open(File),
}

impl Reading {
    fn next(self) -> io::Result<Option<(Bytes, File)>> {
        let mut file = match self {
            Reading::Closed(source) => source.open()?,
            Reading::Open(file) => file,
        };
        let mut bytes = Vec::with_capacity(FILE_PIECE_BYTES);
        let count = file
            .by_ref()
            .take(FILE_PIECE_BYTES as u64)
            .read_to_end(&mut bytes)?;
        Ok((count > 0).then(|| (Bytes::from(bytes), file)))
    }
}

impl Source {
    fn open(&self) -> io::Result<File> {
        match self {
            Source::Path(path) => File::open(path),
            Source::Beneath { root, path } => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                let opened = open_beneath(root, path, flags).map_err(io::Error::other)?;
                Ok(opened
                    .ok_or_else(|| io::Error::other(format!("output `{path}` vanished")))?
                    .into())
            }
        }
    }
}
