//! The segment in use: records one after the other, gathered in memory until they are written together.

use std::io;
use std::sync::Arc;

use cas::StoreError;

use crate::footer::{Footer, Row, footer_bytes};
use crate::key::Key;
use crate::options::on_disk_bytes;
use crate::record::{ALIGNMENT, Kind};
use crate::segment::Segment;
use crate::volume::VolumeFile;
use crate::writer::write_failed;

pub(crate) struct Active {
    segment: Arc<Segment>,
    file: Arc<dyn VolumeFile>,
    /// What it counts for while it is in use.
    room_bytes: u64,
    rows: Vec<Row>,
    /// Rows and bytes that are written and, where asked for, synced.
    settled_rows: usize,
    settled_bytes: u64,
    /// What comes behind them.
    gathered: Vec<u8>,
}

/// Where a record is going to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Active {
    /// `segment` counts for its room.
    pub(crate) fn new(segment: Arc<Segment>, file: Arc<dyn VolumeFile>) -> Self {
        Active {
            room_bytes: segment.bytes(),
            segment,
            file,
            rows: Vec::new(),
            settled_rows: 0,
            settled_bytes: 0,
            gathered: Vec::new(),
        }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    fn length(&self) -> u64 {
        self.settled_bytes + self.gathered.len() as u64
    }

    /// What it counts for while it is in use.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.room_bytes
    }

    /// Whether a record of so many bytes, with the footer, stays within its room.
    pub(crate) fn fits(&self, record_bytes: u64) -> bool {
        self.length() + record_bytes + footer_bytes(self.rows.len() + 1) <= self.room_bytes
    }

    /// Gives a record its place.
    pub(crate) fn push(&mut self, key: Key, kind: Kind, record: &[u8]) -> Placed {
        debug_assert_eq!(record.len() as u64 % ALIGNMENT, 0);
        let placed = Placed {
            segment: self.segment.id,
            offset: self.length(),
            length: record.len() as u64,
        };
        self.rows.push(Row {
            key,
            offset: (placed.offset / ALIGNMENT) as u32,
            length: (placed.length / ALIGNMENT) as u32,
            kind,
        });
        self.gathered.extend_from_slice(record);
        placed
    }

    /// Writes what is gathered.
    pub(crate) fn flush(&mut self, is_durable: bool) -> Result<(), StoreError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let size_bytes = self.gathered.len() as u64;
        let failed = |error| write_failed(&self.segment.path(), size_bytes, error);
        self.file
            .write_at(self.settled_bytes, &self.gathered)
            .map_err(failed)?;
        if is_durable {
            self.file.sync().map_err(failed)?;
        }
        self.settled_bytes += size_bytes;
        self.settled_rows = self.rows.len();
        self.gathered.clear();
        // A batch may have been large; the next one usually is not.
        self.gathered.shrink_to(1 << 20);
        Ok(())
    }

    /// Writes the footer; everything has been flushed. `None` if the segment is empty.
    pub(crate) fn seal(self, seed: u64, is_durable: bool) -> (Arc<Segment>, io::Result<Option<()>>) {
        debug_assert!(self.gathered.is_empty());
        if self.rows.is_empty() {
            self.segment.set_bytes(0);
            return (self.segment, Ok(None));
        }
        let footer = Footer {
            rows: self.rows,
            created_ms: self.segment.created_ms,
            seed,
        }
        .encode(self.settled_bytes);
        self.segment
            .set_bytes(on_disk_bytes(self.settled_bytes + footer.len() as u64));
        let written = self
            .file
            .write_at(self.settled_bytes, &footer)
            .and_then(|()| match is_durable {
                true => self.file.sync(),
                false => Ok(()),
            });
        (self.segment, written.map(Some))
    }

    /// Cuts off what may or may not have been written and, if that works, writes a footer for the rest.
    pub(crate) fn abandon(mut self, seed: u64) -> Arc<Segment> {
        self.gathered = Vec::new();
        self.rows.truncate(self.settled_rows);
        let segment = self.segment.clone();
        let settled_bytes = self.settled_bytes;
        match self.file.truncate(settled_bytes) {
            Ok(()) if self.rows.is_empty() => segment.set_bytes(on_disk_bytes(settled_bytes)),
            Ok(()) => {
                if let (segment, Err(error)) = self.seal(seed, true) {
                    tracing::warn!(segment = segment.path(), %error, "a segment has no footer; the next start reads it through");
                }
            }
            Err(error) => {
                tracing::warn!(segment = segment.path(), %error, "cannot cut off what may be half-written; the next start will see what it is");
                segment.set_bytes(on_disk_bytes(settled_bytes));
            }
        }
        segment
    }
}
