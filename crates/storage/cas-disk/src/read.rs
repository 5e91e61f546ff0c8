//! Reading an entry: nothing leaves here that has not just matched its checksum.

use std::ops::Range;
use std::sync::Arc;

use blob::{BlobError, BlobStream, Digest};
use bytes::Bytes;
use cas::StoreError;
use futures::stream::{self, StreamExt};

use crate::engine::{Engine, blocking};
use crate::frames;
use crate::index::Slot;
use crate::record::{BLOCK_BYTES, Damage, HEADER_BYTES_MAX, Header, Table};
use crate::volume::VolumeFile;

/// Records up to this are read whole, and at once if the kernel has them in memory.
const WHOLE_BYTES_MAX: u64 = 256 << 10;
/// Content that is turned out here, by the task that asks; more goes to a thread that may take its time.
const DECODE_HERE_BYTES_MAX: usize = 128 << 10;
/// Blocks that are read together: a piece of a stream, 256 KiB. A reader that stops pins the pieces that are on their way.
const PIECE_BLOCKS: usize = 4;
/// How often a read follows an entry that is being carried elsewhere.
const FOLLOWS_MAX: usize = 8;

/// An entry whose header and table have been read.
pub(crate) struct Opened {
    pub(crate) digest: Digest,
    pub(crate) slot: Slot,
    pub(crate) header: Header,
    table: Table,
    file: Arc<dyn VolumeFile>,
    /// All of it, if it is small.
    whole: Option<Bytes>,
}

/// In which form a stream is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The content.
    Plain,
    /// Complete zstd frames.
    Zstd,
}

/// Why an entry was not to be had.
enum Failure {
    Damaged(String),
    Store(StoreError),
}

impl Engine {
    /// Opens an entry. `None` is a miss, also when it turned out to be damaged.
    pub(crate) async fn open_entry(
        &self,
        scope: u64,
        digest: &Digest,
    ) -> Result<Option<Arc<Opened>>, StoreError> {
        let key = self.store.keys.of(scope, digest);
        let Some(mut slot) = self.store.touch(key) else {
            return Ok(None);
        };
        for _ in 0..FOLLOWS_MAX {
            let reason = match self.open_slot(scope, digest, slot).await {
                Ok(opened) => return Ok(Some(Arc::new(opened))),
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::Damaged(reason)) => reason,
            };
            // Carried elsewhere meanwhile, and its old place taken by something else?
            match self.store.index.get(key) {
                None => return Ok(None),
                Some(there) if (there.segment, there.offset) != (slot.segment, slot.offset) => slot = there,
                Some(_) => {
                    self.drop_damaged(scope, digest, &slot, &reason).await;
                    return Ok(None);
                }
            }
        }
        Err(StoreError::Unavailable {
            reason: format!("{digest} is being moved again and again"),
        })
    }

    async fn open_slot(&self, scope: u64, digest: &Digest, slot: Slot) -> Result<Opened, Failure> {
        let damaged = |damage: Damage| Failure::Damaged(damage.0);
        let segment = self
            .store
            .segments
            .get(slot.segment)
            .ok_or_else(|| Failure::Damaged("its segment is not there".to_owned()))?;
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::Damaged("its segment has vanished".to_owned()),
            _ => Failure::Store(StoreError::io(format!("reading {}", segment.path()), error)),
        };
        let file = self.store.segments.open(&segment).map_err(failed)?;
        let (at, length) = (slot.offset_bytes(), slot.length_bytes());
        let is_small = length <= WHOLE_BYTES_MAX;
        let first_bytes = if is_small {
            length as usize
        } else {
            HEADER_BYTES_MAX
        };
        let first = Bytes::from(
            read(&file, at, first_bytes)
                .await
                .map_err(|error| unwrapped(error, &failed))?,
        );
        let header = Header::parse(&first).map_err(damaged)?;
        if header.digest != *digest || header.scope != scope {
            return Err(Failure::Damaged(format!(
                "another entry is in its place: {}",
                header.digest
            )));
        }
        if header.record_bytes() != length {
            return Err(Failure::Damaged("its header does not fit its place".to_owned()));
        }
        let table = if is_small {
            let table = first.get(header.table_at() as usize..).unwrap_or_default();
            Table::parse(&header, table)
        } else {
            let bytes = read(&file, at + header.table_at(), header.table_bytes() as usize).await;
            Table::parse(&header, &bytes.map_err(|error| unwrapped(error, &failed))?)
        };
        Ok(Opened {
            digest: *digest,
            slot,
            header,
            table: table.map_err(damaged)?,
            file,
            whole: is_small.then_some(first),
        })
    }

    /// The whole content of an entry, which is at most `bytes_max`. `None` if it turned out to be damaged.
    pub(crate) async fn content(
        &self,
        opened: &Arc<Opened>,
        bytes_max: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        if opened.header.content_bytes > bytes_max {
            let reason = format!(
                "{} bytes are more than an entry of this kind has",
                opened.header.content_bytes
            );
            self.drop_opened(opened, &reason).await;
            return Ok(None);
        }
        match opened.piece(0..opened.table.blocks(), Form::Plain).await {
            Ok(content) => Ok(Some(content)),
            Err(Failure::Store(error)) => Err(error),
            Err(Failure::Damaged(reason)) => {
                self.drop_opened(opened, &reason).await;
                Ok(None)
            }
        }
    }

    /// The content of an entry within `range`. The first piece is read already: damage in it is a miss.
    pub(crate) async fn stream(
        self: &Arc<Self>,
        opened: Arc<Opened>,
        range: Range<u64>,
        form: Form,
    ) -> Result<Option<BlobStream>, StoreError> {
        if range.is_empty() {
            // Even nothing is a frame to who wants frames.
            let nothing = (form == Form::Zstd).then(|| Ok(frames::raw_frame(&[])));
            return Ok(Some(stream::iter(nothing).boxed()));
        }
        let mut reading = Reading {
            engine: self.clone(),
            next_block: (range.start / BLOCK_BYTES as u64) as usize,
            end_block: range.end.div_ceil(BLOCK_BYTES as u64) as usize,
            opened,
            range,
            form,
        };
        let first = match reading.next_piece().await {
            Ok(first) => first,
            Err(Failure::Store(error)) => return Err(error),
            Err(Failure::Damaged(reason)) => {
                self.drop_opened(&reading.opened, &reason).await;
                return Ok(None);
            }
        };
        let first = stream::iter(first.map(Ok));
        if reading.next_block >= reading.end_block {
            return Ok(Some(first.boxed()));
        }
        Ok(Some(
            first.chain(stream::try_unfold(reading, Reading::next)).boxed(),
        ))
    }

    pub(crate) async fn drop_opened(&self, opened: &Opened, reason: &str) {
        self.drop_damaged(opened.header.scope, &opened.digest, &opened.slot, reason)
            .await;
    }
}

/// A stream in progress.
struct Reading {
    engine: Arc<Engine>,
    opened: Arc<Opened>,
    next_block: usize,
    end_block: usize,
    /// Of the content.
    range: Range<u64>,
    form: Form,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BlobError> {
        match self.next_piece().await {
            Ok(Some(piece)) => Ok(Some((piece, self))),
            Ok(None) => Ok(None),
            Err(Failure::Store(StoreError::Io { source, .. })) => Err(BlobError::Io(source)),
            Err(Failure::Store(other)) => Err(std::io::Error::other(other.to_string()).into()),
            Err(Failure::Damaged(reason)) => {
                self.engine.drop_opened(&self.opened, &reason).await;
                Err(BlobError::Corrupt {
                    digest: self.opened.digest,
                    reason,
                })
            }
        }
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.next_block >= self.end_block {
            return Ok(None);
        }
        let first = self.next_block;
        let last = self.end_block.min(first + PIECE_BLOCKS);
        self.next_block = last;
        let start = first as u64 * BLOCK_BYTES as u64;
        let end = (last as u64 * BLOCK_BYTES as u64).min(self.opened.header.content_bytes);
        let cut = (self.range.start.max(start) - start) as usize..(self.range.end.min(end) - start) as usize;
        if self.form == Form::Plain {
            let piece = self.opened.piece(first..last, Form::Plain).await?;
            return Ok(Some(piece.slice(cut)));
        }
        if cut.start == 0 {
            return self.opened.piece(first..last, Form::Zstd).await.map(Some);
        }
        // It begins within a block: what is left of that is not worth compressing again.
        let partial = self.opened.piece(first..first + 1, Form::Plain).await?;
        self.next_block = first + 1;
        Ok(Some(frames::raw_frame(&partial[cut.start..])))
    }
}

impl Opened {
    /// Some blocks, checked.
    async fn piece(self: &Arc<Self>, blocks: Range<usize>, form: Form) -> Result<Bytes, Failure> {
        let content_bytes = blocks.len() * BLOCK_BYTES;
        if let Some(whole) = &self.whole {
            let start = self.table.start(blocks.start) as usize;
            let stored = whole.slice(start..self.table.start(blocks.end) as usize);
            if form == Form::Zstd || content_bytes <= DECODE_HERE_BYTES_MAX || self.is_raw(&blocks) {
                return self
                    .turn_out(&blocks, stored, form)
                    .map_err(|damage| Failure::Damaged(damage.0));
            }
        }
        let opened = self.clone();
        let work = move || {
            let start = opened.table.start(blocks.start);
            let length = (opened.table.start(blocks.end) - start) as usize;
            let stored = match &opened.whole {
                Some(whole) => whole.slice(start as usize..start as usize + length),
                None => opened
                    .file
                    .read_at(opened.slot.offset_bytes() + start, length)
                    .map_err(|error| StoreError::io(format!("reading {}", opened.digest), error))?
                    .into(),
            };
            Ok(opened.turn_out(&blocks, stored, form))
        };
        blocking(work)
            .await
            .map_err(Failure::Store)?
            .map_err(|damage| Failure::Damaged(damage.0))
    }

    fn is_raw(&self, blocks: &Range<usize>) -> bool {
        blocks.clone().all(|block| self.table.row(block).is_raw)
    }

    /// Checks stored blocks and brings them into the form asked for. What is in it already is not copied.
    fn turn_out(&self, blocks: &Range<usize>, stored: Bytes, form: Form) -> Result<Bytes, Damage> {
        let base = self.table.start(blocks.start);
        let block_of = |block: usize| {
            let range =
                (self.table.start(block) - base) as usize..(self.table.start(block + 1) - base) as usize;
            stored.get(range).unwrap_or_default()
        };
        for block in blocks.clone() {
            if !self.table.row(block).matches(block_of(block)) {
                return Err(Damage::new(format!("block {block} does not match its checksum")));
            }
        }
        let is_wanted = |block: usize| self.table.row(block).is_raw == (form == Form::Plain);
        if blocks.clone().all(is_wanted) {
            return Ok(stored);
        }
        let mut out = Vec::with_capacity(blocks.len() * BLOCK_BYTES);
        for block in blocks.clone() {
            let (bytes, is_raw) = (block_of(block), self.table.row(block).is_raw);
            match form {
                Form::Zstd if is_raw => out.extend_from_slice(&frames::raw_frame(bytes)),
                Form::Plain if !is_raw => {
                    let at = block as u64 * BLOCK_BYTES as u64;
                    let content_bytes = (self.header.content_bytes - at).min(BLOCK_BYTES as u64) as usize;
                    frames::decompress(bytes, content_bytes, &mut out)?;
                }
                Form::Zstd | Form::Plain => out.extend_from_slice(bytes),
            }
        }
        Ok(out.into())
    }
}

/// Reads at once what the kernel has in memory, and otherwise where waiting for a disk harms nobody.
async fn read(file: &Arc<dyn VolumeFile>, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
    let failed = |error| StoreError::io("reading", error);
    if let Some(bytes) = file.read_at_once(at, length).map_err(failed)? {
        return Ok(bytes);
    }
    let file = file.clone();
    blocking(move || file.read_at(at, length).map_err(failed)).await
}

/// The system's error within, seen by `failed`.
fn unwrapped(error: StoreError, failed: &impl Fn(std::io::Error) -> Failure) -> Failure {
    match error {
        StoreError::Io { source, .. } => failed(std::io::Error::new(source.kind(), source.to_string())),
        other => Failure::Store(other),
    }
}
