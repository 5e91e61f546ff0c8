//! What all parts of the engine share: where entries are, what is promised, what has happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use blob::Digest;
use cas::Invocation;

use crate::index::{Index, Slot, Stamp};
use crate::key::{Key, Keys};
use crate::leases::{Leases, NOBODY, Ticket};
use crate::marks::Marks;
use crate::options::{DiskOptions, Sizes};
use crate::segment::Segments;
use crate::volume::Volume;

/// The state of a store.
pub(crate) struct Store {
    /// What entries are called in logs.
    pub(crate) name: &'static str,
    pub(crate) options: DiskOptions,
    pub(crate) sizes: Sizes,
    pub(crate) keys: Keys,
    pub(crate) volumes: Vec<Arc<dyn Volume>>,
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) leases: Leases,
    pub(crate) marks: Marks,
    pub(crate) counters: Counters,
}

/// What has happened since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) evicted: AtomicU64,
    pub(crate) carried_bytes: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Room that uploads which came to nothing give back; whoever keeps the books takes it from here.
    pub(crate) released_bytes: AtomicU64,
    /// Bytes of all segments and reservations, as the writer last counted.
    pub(crate) held_bytes: AtomicU64,
}

/// What asking for many entries came to.
#[derive(Default)]
pub(crate) struct Promised {
    pub(crate) missing: Vec<Digest>,
    /// Those that are there if their chunks are.
    pub(crate) recipes: Vec<(Digest, Slot)>,
}

impl Store {
    pub(crate) fn now(&self) -> Duration {
        self.options.clock.now()
    }

    /// Begins a promise to whoever is asking.
    pub(crate) fn ticket(&self) -> Ticket {
        self.leases.begin(Invocation::current().as_ref(), self.now())
    }

    /// Promises every entry of `digests` that is here. Nothing that is reported here can be dropped after this.
    pub(crate) fn promise(&self, scope: u64, digests: &[Digest]) -> Promised {
        let mut promised = Promised::default();
        let mut booking = Booking::new(self.ticket());
        let keys: Vec<Key> = digests.iter().map(|digest| self.keys.of(scope, digest)).collect();
        let mut is_missing = vec![false; digests.len()];
        self.index.update_all(&keys, |place, slot| {
            let Some(slot) = slot else {
                is_missing[place] = true;
                return None;
            };
            if slot.stamp.is_recipe() {
                promised.recipes.push((digests[place], *slot));
            }
            booking.stamped(slot)
        });
        // In the order of the question, which sorts itself then.
        let missing = digests
            .iter()
            .zip(is_missing)
            .filter(|(_, is_missing)| *is_missing);
        promised.missing = missing.map(|(digest, _)| *digest).collect();
        self.book(booking);
        promised
    }

    /// Where an entry is that is about to be read. Reading promises nothing: what is promised to somebody stays as it
    /// is, and what is not counts as used now.
    pub(crate) fn touch(&self, key: Key) -> Option<Slot> {
        let slot = self.index.get(key)?;
        match self.leases.may_hold(slot.stamp.lease()) {
            true => Some(slot),
            false => self.promise_under(self.ticket(), key),
        }
    }

    /// Promises one entry to whom a ticket was given.
    pub(crate) fn promise_under(&self, ticket: Ticket, key: Key) -> Option<Slot> {
        let mut booking = Booking::new(ticket);
        let slot = self.stamp(key, &mut booking);
        self.book(booking);
        slot
    }

    fn stamp(&self, key: Key, booking: &mut Booking) -> Option<Slot> {
        self.index.update(key, |slot| booking.stamped(slot))
    }

    /// Makes a promise count.
    pub(crate) fn book(&self, booking: Booking) {
        let Booking {
            ticket,
            bytes,
            moved,
            mut segments,
        } = booking;
        if bytes == 0 {
            return;
        }
        segments.sort_unstable();
        segments.dedup();
        let numbers: Vec<u64> = segments
            .iter()
            .filter_map(|id| self.segments.get(*id))
            .map(|segment| segment.number)
            .collect();
        let fresh = self.leases.book(ticket, bytes, &moved, &numbers);
        self.marks.add(&fresh);
    }

    /// Drops an entry that turned out not to be readable, unless it has moved meanwhile. True if it was dropped. `digest`
    /// is what it was called, if that can still be told.
    pub(crate) fn drop_damaged(&self, key: Key, digest: Option<&Digest>, slot: &Slot, reason: &str) -> bool {
        let dropped = self
            .index
            .remove_if(key, |there| there.is_at(slot.segment, slot.offset))
            .is_some();
        if dropped {
            self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
            let segment = self.segments.get(slot.segment).map(|segment| segment.path());
            let digest = digest.map(tracing::field::display);
            tracing::error!(
                kind = self.name,
                digest,
                reason,
                segment,
                offset = slot.offset_bytes(),
                "a stored entry was damaged and has been dropped"
            );
        }
        dropped
    }
}

/// A promise being made, before it is booked.
pub(crate) struct Booking {
    pub(crate) ticket: Ticket,
    bytes: u64,
    /// Few: an old number covers minutes of work.
    moved: Vec<(u32, u64)>,
    segments: Vec<u32>,
}

impl Booking {
    pub(crate) fn new(ticket: Ticket) -> Self {
        Booking {
            ticket,
            bytes: 0,
            moved: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// An entry now bears the number of this promise.
    pub(crate) fn took(&mut self, segment: u32, bytes: u64) {
        self.bytes += bytes;
        if self.segments.last() != Some(&segment) {
            self.segments.push(segment);
        }
    }

    /// An entry with the number of this promise, unless it bears it already. It is noted that it bore another before.
    fn stamped(&mut self, before: &Slot) -> Option<Slot> {
        let number = self.ticket.number;
        if before.stamp.lease() == number {
            return None;
        }
        let bytes = before.length_bytes();
        self.took(before.segment, bytes);
        self.left(before.stamp.lease(), bytes);
        Some(Slot {
            stamp: Stamp::new(number, before.stamp.is_recipe()),
            ..*before
        })
    }

    /// Bytes that no longer bear a number.
    pub(crate) fn left(&mut self, number: u32, bytes: u64) {
        if number == NOBODY {
            return;
        }
        match self.moved.iter_mut().find(|(other, _)| *other == number) {
            Some((_, sum)) => *sum += bytes,
            None => self.moved.push((number, bytes)),
        }
    }
}

/// The wall clock, for what is written down. Only ages shown to people depend on it.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
