//! Reading everything once, so that damage is found while it can still be repaired from elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blob::DigestHasher;
use cas::StoreError;

use crate::engine::{Engine, blocking};
use crate::evict::read_footer;
use crate::footer::Row;
use crate::index::Slot;
use crate::record::{Header, Kind};
use crate::scan::{read_record, scan, unless_unreadable};
use crate::segment::Segment;
use crate::tombstone::key_of;

/// What a scrub came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Entries looked at.
    pub entries: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Entries that were damaged; they are missing now.
    pub damaged: u64,
}

/// What was found in one record.
struct Looked {
    header: Option<Header>,
    damage: Option<String>,
}

/// Reads every entry and computes the full digest of every blob. Entries that come and go meanwhile may be missed.
/// `so_far` is told after every segment.
pub(crate) async fn scrub(
    engine: &Arc<Engine>,
    bytes_per_second: Option<u64>,
    mut so_far: impl FnMut(ScrubReport),
) -> Result<ScrubReport, StoreError> {
    let started = Instant::now();
    let mut report = ScrubReport::default();
    for segment in engine.store.segments.all() {
        let (store, of) = (engine.store.clone(), segment.clone());
        let rows = blocking(move || {
            let failed = |error| StoreError::io(format!("reading {}", of.path()), error);
            let file = match store.segments.open(&of) {
                Ok(file) => file,
                // Dropped meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
            };
            match read_footer(&*file).map_err(failed)? {
                Some(footer) if footer.seed == store.keys.seed() => Ok(footer.rows),
                _ => Ok(scan(&*file, store.keys, false).map_err(failed)?.rows),
            }
        });
        for row in rows.await? {
            let Some(slot) = engine.store.index.get(row.key) else {
                continue;
            };
            if row.kind == Kind::Tombstone || !slot.is_at(segment.id, row.offset) {
                continue;
            }
            let looked = look(engine, &segment, &row).await?;
            report.entries += 1;
            report.bytes += slot.length_bytes();
            if let Some(damage) = looked.damage
                && drop_entry(engine, &row, &slot, looked.header, &damage).await
            {
                report.damaged += 1;
            }
            if let Some(rate) = bytes_per_second {
                let due = Duration::from_secs_f64(report.bytes as f64 / rate.max(1) as f64);
                tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
            }
        }
        so_far(report);
    }
    tracing::info!(kind = engine.store.name, ?report, "scrubbed");
    Ok(report)
}

async fn look(engine: &Arc<Engine>, segment: &Arc<Segment>, row: &Row) -> Result<Looked, StoreError> {
    let (store, segment, row) = (engine.store.clone(), segment.clone(), *row);
    blocking(move || {
        let failed = |error| StoreError::io(format!("reading {}", segment.path()), error);
        let file = match store.segments.open(&segment) {
            Ok(file) => file,
            // Dropped meanwhile, and the entry with it or carried elsewhere.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Looked {
                    header: None,
                    damage: None,
                });
            }
            Err(error) => return Err(failed(error)),
        };
        let mut hasher = None;
        let read = unless_unreadable(|| {
            hasher = None;
            read_record(&*file, u64::from(row.offset) * 16, |header, content| {
                let hasher = hasher
                    .get_or_insert_with(|| DigestHasher::new(header.digest.function(), header.content_bytes));
                hasher.update(content);
            })
        });
        Ok(match read.map_err(failed)? {
            Err(damage) => Looked {
                header: None,
                damage: Some(damage.0),
            },
            Ok(header) if key_of(store.keys, &header) != row.key => Looked {
                header: None,
                damage: Some(format!("another entry is in its place: {}", header.digest)),
            },
            Ok(header) => {
                let is_blob = header.kind == Kind::Blob && header.content_bytes > 0;
                let actual = hasher.map(DigestHasher::finish);
                let is_right = !is_blob || actual == Some(header.digest);
                Looked {
                    header: Some(header),
                    damage: (!is_right).then(|| format!("its bytes hash to {actual:?}")),
                }
            }
        })
    })
    .await
}

async fn drop_entry(
    engine: &Arc<Engine>,
    row: &Row,
    slot: &Slot,
    header: Option<Header>,
    damage: &str,
) -> bool {
    match header {
        Some(header) => {
            engine
                .drop_damaged(header.scope, &header.digest, slot, damage)
                .await;
        }
        None => engine.drop_unnamed(row.key, slot, damage).await,
    }
    engine.store.index.get(row.key).is_none()
}
