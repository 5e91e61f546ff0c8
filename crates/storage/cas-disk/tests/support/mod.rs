//! What the tests of the store on disk share.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::{Blob, ByteRange, Digest, DigestFunction};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use cas_disk::{DiskBlobStore, DiskOptions};
use futures::StreamExt;

pub(crate) const F: DigestFunction = DigestFunction::Sha256;

pub(crate) fn open(directory: &Path, capacity_bytes: u64) -> Arc<DiskBlobStore> {
    DiskBlobStore::open(DiskOptions {
        directory: directory.to_owned(),
        capacity_bytes,
    })
    .unwrap()
}

/// Bytes that depend on `seed` only.
pub(crate) fn bytes_of(seed: u64, size_bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes.into()
}

pub(crate) fn blob_of(seed: u64, size_bytes: usize) -> Blob {
    Blob::from_bytes(F, bytes_of(seed, size_bytes))
}

/// What reading a blob to its end came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    Miss,
    Bytes(Vec<u8>),
    /// An error of the call or of the stream, after this many bytes.
    Error(usize, String),
}

pub(crate) async fn read(store: &dyn BlobStore, digest: &Digest) -> Read {
    read_range(store, digest, ByteRange::FULL).await
}

pub(crate) async fn read_range(store: &dyn BlobStore, digest: &Digest, range: ByteRange) -> Read {
    let mut stream = match store.get(digest, range).await {
        Ok(Some(stream)) => stream,
        Ok(None) => return Read::Miss,
        Err(error) => return Read::Error(0, error.to_string()),
    };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return Read::Error(bytes.len(), error.to_string()),
        }
    }
    Read::Bytes(bytes)
}

/// Every regular file below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path)
            } else {
                files.push(path)
            }
        }
    }
    files.sort();
    files
}

/// The files that hold entries.
pub(crate) fn entry_files(directory: &Path) -> Vec<PathBuf> {
    let is_entry = |path: &PathBuf| {
        !path.ends_with("lock")
            && path
                .parent()
                .and_then(Path::file_name)
                .is_none_or(|name| name != "incoming")
    };
    files_below(directory).into_iter().filter(is_entry).collect()
}

/// Waits for what an upload that was dropped is still tidying away.
pub(crate) async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("waited ten seconds in vain: {what}");
}

pub(crate) fn is_no_space(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::NoSpace { .. }))
}
