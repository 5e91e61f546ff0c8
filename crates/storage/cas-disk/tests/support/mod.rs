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
    DiskBlobStore::open(DiskOptions::new(directory, capacity_bytes)).unwrap()
}

/// Bytes that depend on `seed` only and cannot be compressed.
pub(crate) fn bytes_of(seed: u64, size_bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes.into()
}

/// Bytes that depend on `seed` only and compress about as source text does.
pub(crate) fn text_of(seed: u64, size_bytes: usize) -> Bytes {
    let mut text = String::with_capacity(size_bytes + 40);
    let mut line = seed;
    while text.len() < size_bytes {
        line = line.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(&format!("static int value_{} = {};\n", line >> 52, line >> 44));
    }
    text.truncate(size_bytes);
    text.into()
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
    collect(store.get(digest, range).await).await
}

pub(crate) async fn collect(stream: Result<Option<blob::BlobStream>, StoreError>) -> Read {
    let mut stream = match stream {
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

/// The segments of the store of blobs, oldest first.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    segments.sort();
    segments
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
