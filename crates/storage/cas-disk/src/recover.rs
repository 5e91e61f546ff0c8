//! What a store finds when it starts.
//!
//! Footers tell what finished segments hold. The segment in use when the process died has none: it is read record by
//! record, every block of it, and then gets one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::evict::read_footer;
use crate::footer::{Footer, Row};
use crate::index::{Index, Slot, Stamp};
use crate::key::{Key, Keys};
use crate::leases::{BEFORE, Leases, NOBODY};
use crate::marks::Marks;
use crate::options::{DiskOptions, Sizes, on_disk_bytes};
use crate::record::Kind;
use crate::scan::scan;
use crate::segment::{NewSegment, Segment, Segments, file_name, number_of};
use crate::store::{Counters, Store, now_ms};
use crate::volume::{Volume, VolumeFile};
use crate::writer::Writer;

/// Threads that read footers.
const THREADS: usize = 4;

/// A store as it was found, and the writer that goes on from there.
pub(crate) struct Recovered {
    pub(crate) store: Arc<Store>,
    pub(crate) writer: Writer,
}

/// One segment as it was found.
struct Found {
    number: u64,
    volume: Arc<dyn Volume>,
    footer: Footer,
    length: u64,
}

/// Reads what is on the volumes.
pub(crate) fn recover(
    name: &'static str,
    options: DiskOptions,
    keys: Keys,
    volumes: Vec<Arc<dyn Volume>>,
) -> io::Result<Recovered> {
    let now = options.clock.now();
    let sizes = Sizes::of(options.capacity_bytes);
    let (marks, marked) = Marks::open(volumes[0].clone())?;
    let mut names = Vec::new();
    for volume in &volumes {
        for name in volume.list()? {
            names.extend(number_of(&name).map(|number| (number, volume.clone())));
        }
    }
    names.sort_unstable_by_key(|(number, _)| *number);
    let next_number = names.last().map_or(0, |(number, _)| number + 1);
    let gaps = AtomicU64::new(0);
    let found = each(&names, |(number, volume)| {
        read_segment(*number, volume, keys, &gaps)
    })?;
    let mut found: Vec<Found> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|found| found.number);

    let index = Index::new();
    index.reserve(found.iter().map(|found| found.footer.rows.len()).sum());
    let segments = Segments::default();
    let mut order = BTreeMap::new();
    let mut held_bytes = 0;
    // Ids go up with numbers, so that "younger" can be told from a slot alone.
    let placed: Vec<(Arc<Segment>, Vec<Row>)> = found
        .into_iter()
        .enumerate()
        .map(|(at, found)| {
            let bytes = on_disk_bytes(found.length);
            held_bytes += bytes;
            let segment = segments.add(NewSegment {
                number: found.number,
                is_solo: found.footer.rows.len() == 1 && found.length > sizes.shared_bytes_max,
                created_ms: found.footer.created_ms,
                created_lease: NOBODY,
                volume: found.volume,
                bytes,
                file: None,
            });
            segment.set_place(at as u64);
            order.insert(at as u64, segment.clone());
            (segment, found.footer.rows)
        })
        .collect();
    let promised = promised_before(&placed, &marked, &options);
    fill(&index, &placed, &promised.iter().copied().collect());

    let store = Arc::new(Store {
        name,
        sizes,
        keys,
        volumes,
        index,
        segments,
        leases: Leases::new(options.leases, options.capacity_bytes, now, &promised),
        marks,
        counters: Counters::default(),
        options,
    });
    let gaps = gaps.into_inner();
    if gaps > 0 {
        tracing::warn!(
            kind = name,
            gaps,
            "stretches of segments were no records: what was being written at the end, or damage"
        );
    }
    store.counters.held_bytes.store(held_bytes, Ordering::Relaxed);
    let next_order = order.len() as u64;
    let writer = Writer {
        store: store.clone(),
        active: None,
        order,
        next_order,
        next_number,
        held_bytes,
        full_until: Duration::ZERO,
    };
    Ok(Recovered { store, writer })
}

/// The segments that are kept for those who were promised something in them before the stop. Marks tell segments and
/// not entries, which is more than was promised: beyond the share of one build those noted longest ago count no more,
/// or a full store would take nothing until everybody has been quiet.
fn promised_before(placed: &[(Arc<Segment>, Vec<Row>)], marked: &[u64], options: &DiskOptions) -> Vec<u64> {
    let bytes_of: HashMap<u64, u64> = placed
        .iter()
        .map(|(segment, _)| (segment.number, segment.bytes()))
        .collect();
    let mut left = options.capacity_bytes / 100 * u64::from(options.leases.share_percent.min(100));
    let mut promised = HashSet::new();
    for (number, bytes) in marked
        .iter()
        .rev()
        .filter_map(|number| Some((*number, *bytes_of.get(number)?)))
    {
        if promised.contains(&number) {
            continue;
        }
        let Some(rest) = left.checked_sub(bytes) else {
            tracing::warn!(
                kept = promised.len(),
                marked = marked.len(),
                "some of what was promised before the stop may be dropped"
            );
            break;
        };
        left = rest;
        promised.insert(number);
    }
    promised.into_iter().collect()
}

/// Puts every row where it belongs: the youngest record of an entry counts, and a tombstone ends what is older.
fn fill(index: &Index, placed: &[(Arc<Segment>, Vec<Row>)], marked: &HashSet<u64>) {
    let tombstones: Mutex<Vec<(Key, u32, u32)>> = Mutex::new(Vec::new());
    let done: io::Result<Vec<()>> = each(placed, |(segment, rows)| {
        let lease = if marked.contains(&segment.number) {
            BEFORE
        } else {
            NOBODY
        };
        for row in rows {
            if row.kind == Kind::Tombstone {
                tombstones.lock().push((row.key, segment.id, row.offset));
                continue;
            }
            let slot = Slot {
                segment: segment.id,
                offset: row.offset,
                length: row.length,
                stamp: Stamp::new(lease, row.kind == Kind::Recipe),
            };
            index.insert(row.key, slot, |there| {
                (there.segment, there.offset) > (slot.segment, slot.offset)
            });
        }
        Ok(())
    });
    debug_assert!(done.is_ok());
    for (key, segment, offset) in tombstones.into_inner() {
        index.remove_if(key, |there| (there.segment, there.offset) < (segment, offset));
    }
}

fn read_segment(
    number: u64,
    volume: &Arc<dyn Volume>,
    keys: Keys,
    gaps: &AtomicU64,
) -> io::Result<Option<Found>> {
    let name = file_name(number);
    let file = match volume.open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = read_footer(&*file).and_then(|footer| match footer {
        Some(footer) if footer.seed == keys.seed() => Ok(Some(footer)),
        _ => repair(&*file, keys, gaps),
    });
    let footer = match read {
        Ok(Some(footer)) => footer,
        Ok(None) => {
            // Nothing in it, or an upload that was never finished.
            volume.remove(&name)?;
            return Ok(None);
        }
        Err(error) => {
            // Its entries are misses. It stays, so that somebody can look at it, and is not counted.
            tracing::error!(path = %volume.path().join(&name).display(), %error, "a segment cannot be read; it is left alone");
            return Ok(None);
        }
    };
    let length = file.length()?;
    Ok(Some(Found {
        number,
        volume: volume.clone(),
        footer,
        length,
    }))
}

/// Reads a segment through and gives it a footer. `None` if it holds nothing.
fn repair(file: &dyn VolumeFile, keys: Keys, gaps: &AtomicU64) -> io::Result<Option<Footer>> {
    let scanned = scan(file, keys, true)?;
    gaps.fetch_add(scanned.gaps, Ordering::Relaxed);
    if scanned.rows.is_empty() {
        return Ok(None);
    }
    let footer = Footer {
        rows: scanned.rows,
        created_ms: now_ms(),
        seed: keys.seed(),
    };
    // Without a footer it is only read again the next time, so a full or failing disk is no reason not to start.
    let written = file
        .truncate(scanned.end)
        .and_then(|()| file.write_at(scanned.end, &footer.encode(scanned.end)))
        .and_then(|()| file.sync());
    if let Err(error) = written {
        tracing::warn!(%error, "a segment cannot be given a footer");
    }
    Ok(Some(footer))
}

/// Does `work` for each item on a few threads; the results in any order, or the first error.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> io::Result<R> + Sync) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut results = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push(work(item)?);
        }
        Ok(results)
    };
    if items.len() < 2 {
        return run();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(items.len())).map(|_| scope.spawn(run)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("reading a segment does not panic")?);
        }
        Ok(all)
    })
}
