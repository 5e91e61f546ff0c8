//! Blobs on a disk.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, Body, ByteRange, Digest, DigestSet};
use bytes::{Bytes, BytesMut};
use cas::{BlobStore, StoreError};
use futures::stream::{self, StreamExt};
use tokio::task::JoinHandle;

use crate::checked_file::{CheckedFile, ReadError};
use crate::file_store::{Existing, FileStore, Generation, Kind, finished};
use crate::incoming::Incoming;
use crate::{DiskOptions, OpenError, Usage};

/// Blobs of at most this many bytes are collected in memory and written by one operation; longer ones in pieces
/// of about this size, of which two are in memory: one being written, one arriving.
const WRITE_PIECE_BYTES: usize = 1 << 20;
/// A chunk of at least this size is written as it came rather than copied together with others.
const CHUNK_BYTES_WRITTEN_ALONE: usize = 256 << 10;

const KIND: Kind = Kind {
    name: "blob",
    has_size_of_digest: true,
};

/// A [`BlobStore`] of checked files below `DIR/blobs`. See the crate's introduction for what survives what.
pub struct DiskBlobStore {
    files: Arc<FileStore>,
}

impl DiskBlobStore {
    /// Opens the store in a directory, or makes one there. Lists the directory, so it takes a few seconds for
    /// each million blobs; blocks meanwhile.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, OpenError> {
        let files = FileStore::open(&options.directory.join("blobs"), &options, KIND)?;
        let usage = files.usage();
        tracing::info!(directory = %files.root().display(), ?usage, "blobs opened");
        Ok(Arc::new(DiskBlobStore { files }))
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        self.files.usage()
    }

    /// Bytes of the largest blob that it can hold: less than its capacity, by the room that checksums take.
    pub fn size_bytes_max(&self) -> u64 {
        self.files.payload_bytes_max()
    }
}

#[async_trait]
impl BlobStore for DiskBlobStore {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let digest = *digest;
        let Some(generation) = self.files.touch(&digest) else {
            return Ok(None);
        };
        let Some(within) = range.within(digest.size_bytes()) else {
            return Err(StoreError::OutOfRange {
                digest,
                offset: range.offset,
            });
        };
        let wanted = within.clone();
        let opened = self.files.run(move |files| {
            files.read(&digest, generation, |file| {
                file.read_piece(wanted).map(|first| (file, first))
            })
        });
        let Some((file, first)) = opened.await? else {
            return Ok(None);
        };
        let rest = within.start + first.len() as u64..within.end;
        let first = stream::iter((!first.is_empty()).then_some(Ok(first)));
        if rest.is_empty() {
            return Ok(Some(first.boxed()));
        }
        let reading = Reading {
            files: self.files.clone(),
            file: Arc::new(file),
            digest,
            generation,
            rest,
        };
        Ok(Some(
            first.chain(stream::try_unfold(reading, Reading::next)).boxed(),
        ))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let size_bytes_max = self.size_bytes_max();
        if digest.size_bytes() > size_bytes_max {
            return Err(StoreError::TooLarge {
                digest,
                size_bytes_max,
            });
        }
        if self.files.touch(&digest).is_some() {
            return Ok(());
        }
        let bytes = if digest.size_bytes() <= WRITE_PIECE_BYTES as u64 {
            blob.into_bytes(WRITE_PIECE_BYTES as u64).await?
        } else {
            match blob.into_body() {
                Body::Stream(stream) => return self.put_stream(digest, stream).await,
                Body::Bytes(bytes) => bytes,
            }
        };
        self.files
            .run(move |files| files.write(&digest, &bytes, Existing::Keep))
            .await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(self.files.touch_all(digests))
    }
}

impl DiskBlobStore {
    /// Writes a piece while the next one arrives.
    async fn put_stream(&self, digest: Digest, stream: BlobStream) -> Result<(), StoreError> {
        let mut pieces = Pieces {
            stream,
            buffer: BytesMut::new(),
        };
        let mut writing = self
            .files
            .start(move |files| files.create_incoming(&digest))
            .await;
        while let Some(piece) = pieces.next().await? {
            let incoming = finished(writing).await?;
            writing = self.write(incoming, piece).await;
        }
        let incoming = finished(writing).await?;
        self.files
            .run(move |files| files.commit(&digest, incoming.seal()?, Existing::Keep))
            .await
    }

    async fn write(&self, mut incoming: Incoming, piece: Bytes) -> JoinHandle<Result<Incoming, StoreError>> {
        self.files
            .start(move |_| incoming.write(&piece).map(|()| incoming))
            .await
    }
}

/// The rest of a blob that is being read. The open file stays readable when the blob is evicted meanwhile.
struct Reading {
    files: Arc<FileStore>,
    file: Arc<CheckedFile>,
    digest: Digest,
    generation: Generation,
    rest: Range<u64>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BlobError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (file, rest, digest, generation) =
            (self.file.clone(), self.rest.clone(), self.digest, self.generation);
        let read = self.files.start(move |files| match file.read_piece(rest) {
            Ok(piece) => Ok(piece),
            Err(ReadError::Damaged(reason)) => {
                files.drop_damaged(&digest, generation, &reason);
                Err(BlobError::Corrupt { digest, reason })
            }
            Err(ReadError::Failed(error)) => Err(error.into()),
            Err(ReadError::Gone) => Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()),
        });
        let piece = match read.await.await {
            Ok(piece) => piece?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return Err(std::io::Error::other("the server is shutting down").into()),
        };
        self.rest.start += piece.len() as u64;
        Ok(Some((piece, self)))
    }
}

/// A stream's bytes in pieces worth a disk operation each.
struct Pieces {
    stream: BlobStream,
    buffer: BytesMut,
}

impl Pieces {
    /// `None` at the end, which for a blob is the proof that it is whole.
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        while let Some(chunk) = self.stream.next().await.transpose()? {
            if self.buffer.is_empty() && chunk.len() >= CHUNK_BYTES_WRITTEN_ALONE {
                return Ok(Some(chunk));
            }
            // Room for the whole piece at once, and for the chunk that ends it.
            self.buffer.reserve(
                WRITE_PIECE_BYTES
                    .saturating_sub(self.buffer.len())
                    .max(chunk.len()),
            );
            self.buffer.extend_from_slice(&chunk);
            if self.buffer.len() >= WRITE_PIECE_BYTES {
                break;
            }
        }
        Ok((!self.buffer.is_empty()).then(|| self.buffer.split().freeze()))
    }
}
