//! How room is made: the oldest segments go, and what is still wanted in them is carried forward.
//!
//! Wanted is what is promised to somebody, always; and what has been asked for in the younger half of the store's
//! time, as far as that leaves something to be gained. Nothing is decided when entries are read: the stamps that
//! promises leave are enough.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cas::StoreError;

use crate::fate::{Fate, POLICIES, Policy, Weighed, fate, used_since};
use crate::footer::{Footer, Row, TRAILER_BYTES, Trailer};
use crate::index::{Slot, Stamp};
use crate::leases::Alive;
use crate::record::{ALIGNMENT, Kind};
use crate::scan::{record_at, scan, unless_unreadable};
use crate::segment::Segment;
use crate::store::now_ms;
use crate::volume::VolumeFile;
use crate::writer::Writer;

/// Of what nobody was promised, so much of a segment may be carried because it is in use.
const IN_USE_PERCENT_MAX: u64 = 50;
/// After everything was found promised, nobody looks again for this long, or for so many times as long as looking
/// took: writes that have to be refused must not keep the thread from those that need not.
const FULL_FOR_MIN: Duration = Duration::from_millis(20);
const FULL_FOR_TIMES: u32 = 4;

/// An entry of a segment that the index still knows.
struct Live {
    row: Row,
    slot: Slot,
}

impl Writer {
    /// Makes room for `bytes` more, or says why there is none.
    pub(crate) fn make_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        if self.fits(bytes) {
            return Ok(());
        }
        let now = self.store.now();
        if now < self.full_until {
            return Err(self.full(bytes));
        }
        let began = Instant::now();
        for policy in POLICIES {
            // What is promised from now on holds in this view too; what has ended since is found by the next pass.
            let alive = self.store.leases.alive(now);
            let order: Vec<(u64, u32)> = self
                .order
                .iter()
                .map(|(place, it)| (*place, it.since()))
                .collect();
            let used_since = used_since(&order);
            // Those that are counted as young again go behind the end, so each is looked at once.
            let (mut next, end) = (0, self.next_order);
            while let Some((order, segment)) = self.order.range(next..end).next() {
                let (order, segment) = (*order, segment.clone());
                self.drop_segment(order, &segment, &alive, policy, used_since)?;
                if self.fits(bytes) {
                    return Ok(());
                }
                next = order + 1;
            }
        }
        if self.fits(bytes) {
            return Ok(());
        }
        self.full_until = now + FULL_FOR_MIN.max(began.elapsed() * FULL_FOR_TIMES);
        Err(self.full(bytes))
    }

    fn fits(&self, bytes: u64) -> bool {
        self.held_bytes + bytes <= self.store.sizes.held_bytes_max
    }

    fn full(&self, size_bytes: u64) -> StoreError {
        self.store.counters.refused.fetch_add(1, Ordering::Relaxed);
        let leases = self.store.leases.usage(self.store.now());
        StoreError::NoSpace {
            size_bytes,
            reason: format!(
                "all that is kept ({} of {} bytes) is promised to {} builds that are going on or was just written; wait for them to end, or give the store more room",
                self.held_bytes, self.store.options.capacity_bytes, leases.builds
            ),
        }
    }

    /// Drops a segment if the policy lets it go.
    fn drop_segment(
        &mut self,
        order: u64,
        segment: &Arc<Segment>,
        alive: &Alive,
        policy: Policy,
        used_since: u32,
    ) -> Result<(), StoreError> {
        let live = match self.live_entries(segment) {
            Ok(live) => live,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(
                    kind = self.store.name,
                    segment = segment.path(),
                    "a segment has vanished; what was in it is missing"
                );
                self.drop_vanished(order, segment);
                return Ok(());
            }
            // A disk that fails now, or too many open files, say nothing of what is in it: others may go.
            Err(error) => {
                tracing::warn!(kind = self.store.name, segment = segment.path(), %error, "a segment cannot be read; it stays");
                return Ok(());
            }
        };
        let promised = |live: &Live| alive.holds(live.slot.stamp.lease());
        let in_use = |live: &Live| live.slot.stamp.lease() > used_since;
        let spared = |live: &Live| policy.spares_what_is_in_use && !segment.is_solo && in_use(live);
        let promised_bytes: u64 = live
            .iter()
            .filter(|live| promised(live))
            .map(|live| live.slot.length_bytes())
            .sum();
        let weighed = Weighed {
            bytes: segment.bytes(),
            promised_bytes,
            is_in_use: live.iter().any(in_use),
            is_solo: segment.is_solo,
        };
        match fate(&weighed, policy) {
            Fate::Stays => return Ok(()),
            Fate::YoungAgain => {
                segment.count_as_young(self.store.leases.last_number(), now_ms());
                if let Some(segment) = self.order.remove(&order) {
                    self.enqueue(segment);
                }
                return Ok(());
            }
            Fate::Goes => {}
        }
        let mut in_use_bytes = (segment.bytes() * IN_USE_PERCENT_MAX / 100).saturating_sub(promised_bytes);
        let mut carried = Vec::new();
        for live in live {
            let fits = live.slot.length_bytes() <= in_use_bytes;
            let wanted = promised(&live) || fits && spared(&live);
            if wanted {
                if !promised(&live) {
                    in_use_bytes -= live.slot.length_bytes();
                }
                carried.push(live);
                continue;
            }
            // Asked under the lock of the entry: a promise made just now is seen, or finds the entry gone.
            let gone = self.store.index.remove_if(live.row.key, |slot| {
                slot.is_at(segment.id, live.row.offset) && !alive.holds(slot.stamp.lease())
            });
            match gone {
                Some(_) => drop(self.store.counters.evicted.fetch_add(1, Ordering::Relaxed)),
                None => carried.push(live),
            }
        }
        if segment.is_solo && !carried.is_empty() {
            // Promised while we looked.
            return Ok(());
        }
        self.carry(segment, carried)?;
        self.order.remove(&order);
        self.forget(segment);
        Ok(())
    }

    /// The entries of a segment that are still what the index knows.
    fn live_entries(&self, segment: &Arc<Segment>) -> io::Result<Vec<Live>> {
        let file = self.store.segments.open(segment)?;
        let rows = match read_footer(&*file)? {
            Some(footer) if footer.seed == self.store.keys.seed() => footer.rows,
            _ => scan(&*file, self.store.keys, false)?.rows,
        };
        let live = rows.into_iter().filter_map(|row| {
            let slot = self.store.index.get(row.key)?;
            slot.is_at(segment.id, row.offset).then_some(Live { row, slot })
        });
        Ok(live.collect())
    }

    /// Copies records, as they are, to the segment in use; then the index leads there. Damaged ones are left behind.
    fn carry(&mut self, segment: &Arc<Segment>, carried: Vec<Live>) -> Result<(), StoreError> {
        if carried.is_empty() {
            return Ok(());
        }
        let failed = |error| StoreError::io(format!("carrying entries out of {}", segment.path()), error);
        let file = self.store.segments.open(segment).map_err(failed)?;
        let length = file.length().map_err(failed)?;
        let mut moves = Vec::new();
        for live in carried {
            let record_bytes = live.slot.length_bytes();
            let at = live.slot.offset_bytes();
            let read = unless_unreadable(|| {
                Ok(match record_at(&*file, at, length, true)? {
                    Ok(header) => Ok((header, file.read_at(at, record_bytes as usize)?)),
                    Err(damage) => Err(damage),
                })
            });
            let (header, record) = match read.map_err(failed)? {
                Ok(read) => read,
                Err(damage) => {
                    self.drop_damaged_row(&live, &damage.0);
                    continue;
                }
            };
            if !self
                .active
                .as_ref()
                .is_some_and(|active| active.fits(record_bytes))
            {
                self.settle_moves(segment, &mut moves)?;
                self.seal()?;
                self.open_segment(self.room_for(record_bytes))?;
            }
            let active = self.active.as_mut().expect("opened above");
            let placed = active.push(live.row.key, header.kind, &record);
            moves.push((live, placed));
        }
        self.settle_moves(segment, &mut moves)
    }

    fn settle_moves(
        &mut self,
        segment: &Arc<Segment>,
        moves: &mut Vec<(Live, crate::active::Placed)>,
    ) -> Result<(), StoreError> {
        self.flush()?;
        let mut numbers = Vec::new();
        let mut to = None;
        for (live, placed) in moves.drain(..) {
            let moved = self.store.index.update(live.row.key, |slot| {
                slot.is_at(segment.id, live.row.offset).then(|| Slot {
                    segment: placed.segment,
                    offset: (placed.offset / ALIGNMENT) as u32,
                    length: (placed.length / ALIGNMENT) as u32,
                    stamp: Stamp::new(slot.stamp.lease(), live.row.kind == Kind::Recipe),
                })
            });
            if let Some(slot) = moved {
                numbers.push(slot.stamp.lease());
                to = Some(placed.segment);
                self.store
                    .counters
                    .carried_bytes
                    .fetch_add(placed.length, Ordering::Relaxed);
            }
        }
        let Some(to) = to.and_then(|id| self.store.segments.get(id)) else {
            return Ok(());
        };
        let fresh = self.store.leases.carried(numbers, to.number);
        self.store.marks.add(&fresh);
        self.store.marks.tidy(|| self.store.leases.segments());
        Ok(())
    }

    fn drop_damaged_row(&self, live: &Live, reason: &str) {
        // No tombstone: its segment is about to go.
        self.store.drop_damaged(live.row.key, None, &live.slot, reason);
    }

    /// Forgets a segment whose file is no longer there, and the entries in it.
    fn drop_vanished(&mut self, order: u64, segment: &Arc<Segment>) {
        let dropped = self.store.index.remove_all(|slot| slot.segment == segment.id);
        self.store
            .counters
            .corrupt
            .fetch_add(dropped as u64, Ordering::Relaxed);
        self.order.remove(&order);
        self.forget(segment);
    }
}

/// The footer of a finished segment; `None` if it has none that can be trusted.
pub(crate) fn read_footer(file: &dyn VolumeFile) -> io::Result<Option<Footer>> {
    let length = file.length()?;
    let Some(trailer_at) = length.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let Ok(trailer) = Trailer::parse(&file.read_at(trailer_at, TRAILER_BYTES)?, length) else {
        return Ok(None);
    };
    let bytes = file.read_at(trailer.rows_at, (length - trailer.rows_at) as usize)?;
    Ok(Footer::parse(&bytes).ok())
}
