//! What the tests share.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod flaky;
pub(crate) mod gate;
pub(crate) mod s3;
pub(crate) mod world;

use blob::{Blob, ByteRange, Digest, DigestFunction};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use futures::StreamExt;

pub(crate) const F: DigestFunction = DigestFunction::Sha256;

/// Bytes that look random and depend on `seed` only.
pub(crate) fn bytes_of(seed: u64, size_bytes: usize) -> Bytes {
    let mut random = Random(seed ^ 0x5851_f42d_4c95_7f2d);
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes.into()
}

pub(crate) fn blob_of(seed: u64, size_bytes: usize) -> Blob {
    Blob::from_bytes(F, bytes_of(seed, size_bytes))
}

/// SplitMix64: reproducible, and good enough to choose what happens.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// All of a blob, `None` for a miss. An error of the stream is one of the call here.
pub(crate) async fn read(store: &dyn BlobStore, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(mut stream) = store.get(digest, ByteRange::FULL).await? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(Some(bytes))
}
