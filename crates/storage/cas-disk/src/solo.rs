//! Large blobs: each is written to a segment of its own while it arrives.

use std::sync::Arc;

use blob::{BlobError, BlobStream, Digest};
use bytes::{Bytes, BytesMut};
use cas::StoreError;
use futures::StreamExt;
use tokio::task::JoinHandle;

use crate::encode::BlockEncoder;
use crate::engine::{Engine, blocking, finished};
use crate::footer::{Footer, Row, footer_bytes};
use crate::options::{Durability, on_disk_bytes};
use crate::record::{ALIGNMENT, BLOCK_BYTES, Header, Kind, ROW_BYTES};
use crate::room::Room;
use crate::store::now_ms;
use crate::volume::VolumeFile;
use crate::writer::{Operation, Publish, write_failed};

/// Bytes that are written at a time. Two pieces of a blob are in memory: one being written, one arriving.
const PIECE_BYTES: usize = 16 * BLOCK_BYTES;
/// A chunk of at least this size is written as it came, if it ends where a block does.
const PIECE_BYTES_MIN: usize = 4 * BLOCK_BYTES;
/// So much is handed to the disk at a time while more arrives, so that the last sync has little left to wait for.
const SYNC_BYTES: u64 = 32 << 20;

impl Engine {
    /// Writes a blob that is too large to be gathered in memory. Whatever goes wrong, nothing of it stays.
    pub(crate) async fn put_solo(
        self: &Arc<Self>,
        digest: Digest,
        body: BlobStream,
    ) -> Result<(), StoreError> {
        let mut pieces = Pieces {
            body,
            arriving: BytesMut::new(),
        };
        let bytes = room_for(&digest);
        let room = self.ask(|reply| Operation::Reserve { bytes, reply }).await?;
        let is_durable = self.store.options.durability == Durability::Disk;
        let mut writing = tokio::task::spawn_blocking(move || Upload::create(room, digest));
        let mut syncing = Syncing::default();
        while let Some(piece) = pieces.next().await? {
            let mut upload = finished(writing).await?;
            if is_durable {
                syncing.keep_up(&upload).await?;
            }
            writing = tokio::task::spawn_blocking(move || {
                upload.write(&piece)?;
                Ok(upload)
            });
        }
        syncing.end().await?;
        let upload = finished(writing).await?;
        blocking(move || upload.finish()).await?.publish(self).await
    }
}

/// A body cut as blocks are: every piece but the last is whole blocks.
struct Pieces {
    body: BlobStream,
    arriving: BytesMut,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        while self.arriving.len() < PIECE_BYTES {
            let Some(chunk) = self.body.next().await.transpose()? else {
                let last = self.arriving.split().freeze();
                return Ok((!last.is_empty()).then_some(last));
            };
            if self.arriving.is_empty()
                && chunk.len() >= PIECE_BYTES_MIN
                && chunk.len().is_multiple_of(BLOCK_BYTES)
            {
                // As it came, without a copy.
                return Ok(Some(chunk));
            }
            self.arriving.extend_from_slice(&chunk);
        }
        let whole_blocks = self.arriving.len() / BLOCK_BYTES * BLOCK_BYTES;
        Ok(Some(self.arriving.split_to(whole_blocks).freeze()))
    }
}

/// Syncs that run while a blob arrives, one at a time.
#[derive(Default)]
struct Syncing {
    running: Option<JoinHandle<Result<(), StoreError>>>,
    /// Up to where a sync has been started.
    started: u64,
}

impl Syncing {
    async fn keep_up(&mut self, upload: &Upload) -> Result<(), StoreError> {
        let is_idle = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        if upload.at < self.started + SYNC_BYTES || !is_idle {
            return Ok(());
        }
        self.end().await?;
        self.started = upload.at;
        let (file, path, bytes) = (upload.file.clone(), upload.room.path(), upload.at);
        let sync = move || file.sync().map_err(|error| write_failed(&path, bytes, error));
        self.running = Some(tokio::task::spawn_blocking(sync));
        Ok(())
    }

    /// A sync that failed is the upload's failure: the last one would not tell of it again.
    async fn end(&mut self) -> Result<(), StoreError> {
        match self.running.take() {
            Some(running) => finished(running).await,
            None => Ok(()),
        }
    }
}

/// Most bytes of the file of a blob.
fn room_for(digest: &Digest) -> u64 {
    let content_bytes = digest.size_bytes();
    let rows_bytes = (content_bytes.div_ceil(BLOCK_BYTES as u64) + 2) * ROW_BYTES as u64;
    on_disk_bytes(content_bytes + rows_bytes + 512)
}

/// A file that is growing.
struct Upload {
    room: Room,
    file: Arc<dyn VolumeFile>,
    encoder: BlockEncoder,
    digest: Digest,
    /// Where the next block goes.
    at: u64,
    buffer: Vec<u8>,
}

impl Upload {
    fn create(mut room: Room, digest: Digest) -> Result<Self, StoreError> {
        let file = room
            .volume()
            .create(&room.name())
            .map_err(|error| write_failed(&room.path(), room.bytes(), error))?;
        room.has_file();
        let compression = room.store().options.compression;
        let mut upload = Upload {
            room,
            file,
            encoder: BlockEncoder::new(compression, digest.size_bytes()),
            digest,
            at: 0,
            buffer: Vec::new(),
        };
        upload.at = upload.header().length() as u64;
        Ok(upload)
    }

    fn header(&self) -> Header {
        Header {
            kind: Kind::Blob,
            digest: self.digest,
            content_bytes: self.digest.size_bytes(),
            stored_bytes: self.encoder.stored_bytes(),
            scope: 0,
        }
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        if self.encoder.take_raw(piece) {
            return self.write_bytes(piece);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        self.encoder.encode(piece, &mut buffer);
        let written = self.write_bytes(&buffer);
        self.buffer = buffer;
        written
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_at(self.at, bytes)
            .map_err(|error| write_failed(&self.room.path(), bytes.len() as u64, error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes what follows the payload, then what precedes it: without a header it is nothing. The footer comes last of
    /// all, when everything that it vouches for is as safe as it is going to be: a start believes it unseen.
    fn finish(mut self) -> Result<Finished, StoreError> {
        let header = self.header();
        let key = self.room.store().keys.of(0, &self.digest);
        let footer = Footer {
            rows: vec![Row {
                key,
                offset: 0,
                length: (header.record_bytes() / ALIGNMENT) as u32,
                kind: Kind::Blob,
            }],
            created_ms: now_ms(),
            seed: self.room.store().keys.seed(),
        };
        let encoder = std::mem::replace(&mut self.encoder, BlockEncoder::new(Default::default(), 0));
        self.write_bytes(&encoder.finish(&header))?;
        let failed = |error| write_failed(&self.room.path(), header.record_bytes(), error);
        self.file.write_at(0, &header.encode()).map_err(failed)?;
        if self.room.store().options.durability == Durability::Disk {
            self.file.sync().map_err(failed)?;
        }
        if let Err(error) = self
            .file
            .write_at(header.record_bytes(), &footer.encode(header.record_bytes()))
        {
            tracing::warn!(segment = self.room.path(), %error, "a segment has no footer; the next start reads it through");
        }
        Ok(Finished {
            room: self.room,
            file: self.file,
            header,
        })
    }
}

/// A file that is complete and waits to become a segment.
struct Finished {
    room: Room,
    file: Arc<dyn VolumeFile>,
    header: Header,
}

impl Finished {
    async fn publish(self, engine: &Engine) -> Result<(), StoreError> {
        let Finished { room, file, header } = self;
        let record_bytes = header.record_bytes();
        let published = engine.ask(|reply| {
            Operation::Publish(Publish {
                key: engine.store.keys.of(0, &header.digest),
                ticket: engine.store.ticket(),
                room,
                file_bytes: record_bytes + footer_bytes(1),
                record_bytes,
                file,
                reply,
            })
        });
        published.await
    }
}
