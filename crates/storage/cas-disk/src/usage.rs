//! What a store tells about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Usage;
use crate::fate::{Weighed, next_to_go, used_since};
use crate::options::NextEviction;
use crate::segment::Segment;
use crate::store::{Store, now_ms};

impl Store {
    /// Looks at every entry of the index, to tell what goes next: for people who ask, not for every call.
    pub(crate) fn usage(&self) -> Usage {
        let order = self.order();
        let next = self.next_to_go(&order);
        // Where all is promised nothing is dropped at all.
        let kept_longest = next.as_ref().or(order.first());
        let age_of = |since_ms: u64| Duration::from_millis(now_ms().saturating_sub(since_ms));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            blobs: self.index.len() as u64,
            bytes: count(&self.counters.held_bytes),
            capacity_bytes: self.options.capacity_bytes,
            segments: order.len() as u64,
            index_bytes: self.index.memory_bytes() as u64,
            evicted: count(&self.counters.evicted),
            carried_bytes: count(&self.counters.carried_bytes),
            corrupt: count(&self.counters.corrupt),
            refused: count(&self.counters.refused),
            retention: kept_longest
                .map(|segment| age_of(segment.young_ms()))
                .unwrap_or_default(),
            next: next
                .map(|segment| NextEviction {
                    bytes: segment.bytes(),
                    age: age_of(segment.created_ms),
                })
                .unwrap_or_default(),
            leases: self.leases.usage(self.now()),
        }
    }

    /// All segments as the writer has them, the one in use last.
    fn order(&self) -> Vec<Arc<Segment>> {
        let mut segments = self.segments.all();
        segments.sort_by_key(|segment| segment.place());
        segments
    }

    /// The segment that would make room now.
    fn next_to_go(&self, order: &[Arc<Segment>]) -> Option<Arc<Segment>> {
        let next = next_to_go(&self.weighed(order))?;
        order.get(next).cloned()
    }

    fn weighed(&self, order: &[Arc<Segment>]) -> Vec<Weighed> {
        let alive = self.leases.alive(self.now());
        let places: Vec<(u64, u32)> = order
            .iter()
            .map(|segment| (segment.place(), segment.since()))
            .filter(|(place, _)| *place != u64::MAX)
            .collect();
        let used_since = used_since(&places);
        // By the id of their segment.
        let ids = order.iter().map(|segment| segment.id as usize + 1);
        let mut weighed = vec![Weighed::default(); ids.max().unwrap_or(0)];
        self.index.each(|slot| {
            // In a segment that was begun just now, if in none of them.
            let Some(segment) = weighed.get_mut(slot.segment as usize) else {
                return;
            };
            if alive.holds(slot.stamp.lease()) {
                segment.promised_bytes += slot.length_bytes();
            }
            segment.is_in_use |= slot.stamp.lease() > used_since;
        });
        let of = |segment: &Arc<Segment>| Weighed {
            bytes: segment.bytes(),
            is_solo: segment.is_solo,
            ..weighed[segment.id as usize]
        };
        order.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use blob::{Blob, Digest};
    use cas::{BlobStore, Invocation, Leases};

    use super::*;
    use crate::engine::Engine;
    use crate::simulated::crash::{F, content, read, runtime};
    use crate::simulated::{Dice, SimulatedVolume, Step};
    use crate::{Clock, DiskBlobStore, DiskOptions};

    /// Names that were taken away, the first one first.
    fn removed(trace: &[Step]) -> Vec<String> {
        let names = trace.iter().filter_map(|step| match step {
            Step::Remove(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Small and large blobs, some promised to a build that goes on, some read again and again, and time that passes:
    /// whatever had to go was what the statistics had said before.
    #[test]
    fn what_is_said_to_go_next_goes_next() {
        let volume = SimulatedVolume::new();
        let (clock, millis) = Clock::manual();
        let options = DiskOptions {
            clock,
            ..DiskOptions::new("", 4 << 20)
        };
        let engine = Engine::open_volumes("blobs", options, vec![Arc::new(volume.clone())], Vec::new());
        let engine = engine.expect("nothing fails here");
        let store = DiskBlobStore::over(engine.clone());
        let mut dice = Dice::new(5);
        let (mut drops, mut not_the_oldest) = (0, 0);
        runtime().block_on(async {
            let build = Invocation::new("build");
            let _goes_on = store.hold(build.as_ref());
            for number in 0..1500 {
                let order = engine.store.order();
                let oldest = order.iter().min_by_key(|segment| segment.number);
                let next = engine.store.next_to_go(&order);
                let said = next.as_ref().map_or(0, |next| next.bytes());
                assert_eq!(store.usage().next.bytes, said);
                let trace = volume.trace();
                let whose = build.clone().filter(|_| number < 40);
                let put = store.put(Blob::from_bytes(F, content(number)));
                Invocation::scope(whose, put).await.expect("there is room");
                let removed = removed(&volume.trace()[trace.len()..]);
                if let Some(first) = removed.first() {
                    drops += 1;
                    assert_eq!(
                        Some(first),
                        next.map(|next| next.name()).as_ref(),
                        "blob {number}"
                    );
                    not_the_oldest += usize::from(oldest.is_some_and(|oldest| oldest.name() != *first));
                }
                // A large one that is in use, though nobody was promised it.
                let large = Digest::of(F, &content(43));
                if number > 43 && number.is_multiple_of(5) {
                    let found = read(&store, &large).await;
                    assert!(matches!(found, Ok(Some(_))), "blob 43 is in use: {found:?}");
                }
                millis.fetch_add(dice.roll(60_000) as u64, Ordering::SeqCst);
            }
        });
        assert!(
            drops > 50 && not_the_oldest > 50,
            "{drops} drops, {not_the_oldest} not of the oldest"
        );
    }
}
