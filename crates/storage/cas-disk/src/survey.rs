//! What is in a store: one look at every record's name, no content read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blob::Digest;
use cas::StoreError;

use crate::engine::{Engine, blocking};
use crate::evict::read_footer;
use crate::record::{HEADER_BYTES_MAX, Header, Kind};
use crate::scan::scan;
use crate::segment::Segment;
use crate::store::now_ms;

/// What entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A blob with its bytes.
    Blob,
    /// A blob as the list of its chunks.
    Recipe,
    /// A result of an action.
    Result,
}

/// Ages that a survey tells apart: of the segment that an entry is in, so carrying it forward makes it young again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Less than an hour.
    Hour,
    /// Less than a day.
    Day,
    /// Less than a week.
    Week,
    /// More.
    Older,
}

/// A group of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub entries: u64,
    /// Bytes of their content.
    pub content_bytes: u64,
    /// Bytes of their records on disk.
    pub stored_bytes: u64,
}

/// What is in a store, by kind, age, and the scope that tells instances apart (0 for blobs, which instances share).
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The groups.
    pub shares: BTreeMap<(EntryKind, Age, u64), Share>,
    /// Bytes of records that have been replaced or dropped and wait for their segment to go.
    pub dead_bytes: u64,
}

impl Age {
    fn of(age: Duration) -> Self {
        match age.as_secs() {
            0..3_600 => Age::Hour,
            3_600..86_400 => Age::Day,
            86_400..604_800 => Age::Week,
            _ => Age::Older,
        }
    }
}

/// Looks at every entry; `visit` gets the digests of those that are here.
pub(crate) async fn survey(
    engine: &Arc<Engine>,
    mut visit: impl FnMut(&Digest),
) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    for segment in engine.store.segments.all() {
        let age = Age::of(Duration::from_millis(now_ms().saturating_sub(segment.created_ms)));
        let (live, dead_bytes) = look(engine, &segment).await?;
        survey.dead_bytes += dead_bytes;
        for (header, stored_bytes) in live {
            let kind = match header.kind {
                Kind::Blob => EntryKind::Blob,
                Kind::Recipe => EntryKind::Recipe,
                Kind::Result => EntryKind::Result,
                Kind::Tombstone => continue,
            };
            let share = survey.shares.entry((kind, age, header.scope)).or_default();
            share.entries += 1;
            share.content_bytes += header.content_bytes;
            share.stored_bytes += stored_bytes;
            visit(&header.digest);
        }
    }
    Ok(survey)
}

/// The headers of a segment's entries that the index knows, with the bytes of each, and the bytes of all others.
async fn look(engine: &Arc<Engine>, segment: &Arc<Segment>) -> Result<(Vec<(Header, u64)>, u64), StoreError> {
    let (store, segment) = (engine.store.clone(), segment.clone());
    blocking(move || {
        let failed = |error| StoreError::io(format!("reading {}", segment.path()), error);
        let file = match store.segments.open(&segment) {
            Ok(file) => file,
            // Dropped meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => return Err(failed(error)),
        };
        let rows = match read_footer(&*file).map_err(failed)? {
            Some(footer) if footer.seed == store.keys.seed() => footer.rows,
            _ => scan(&*file, store.keys, false).map_err(failed)?.rows,
        };
        let (mut live, mut dead_bytes) = (Vec::new(), 0);
        for row in rows {
            let bytes = u64::from(row.length) * 16;
            let is_live = store
                .index
                .get(row.key)
                .is_some_and(|slot| slot.is_at(segment.id, row.offset));
            let header = match is_live {
                true => file
                    .read_at(u64::from(row.offset) * 16, HEADER_BYTES_MAX)
                    .map_err(failed)?,
                false => Vec::new(),
            };
            match Header::parse(&header) {
                Ok(header) => live.push((header, bytes)),
                Err(_) => dead_bytes += bytes,
            }
        }
        Ok((live, dead_bytes))
    })
    .await
}
