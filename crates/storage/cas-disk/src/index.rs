//! Which entry is where: a table in memory of 32 bytes an entry, at most 49 with the room that a table needs.
//!
//! Robin Hood hashing (an entry that is further from its place takes the place of one that is nearer), so that a table
//! that is seven eighths full still answers "not here" after a look at one or two cache lines.

use parking_lot::Mutex;

use crate::key::Key;

/// Tables, each under its own lock; they grow one at a time.
const SHARDS: usize = 256;
/// A table grows when it is this full, in eighths …
const EIGHTHS_FULL_MAX: usize = 7;
/// … by a third: more would leave it emptier than the 64 bytes an entry that are promised allow.
const GROWTH: (usize, usize) = (4, 3);
const SLOTS_MIN: usize = 16;

/// Where the record of an entry is, and when it was last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) segment: u32,
    /// Of the record in its segment, in units of 16 bytes.
    pub(crate) offset: u32,
    /// Of the whole record, in units of 16 bytes; never 0.
    pub(crate) length: u32,
    /// The lease that it was last promised under, whether or not that still holds.
    pub(crate) stamp: Stamp,
}

/// The number of a lease, in the order they were given out, and whether the entry is a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

const RECIPE: u32 = 1 << 31;

impl Stamp {
    pub(crate) fn new(lease: u32, is_recipe: bool) -> Self {
        debug_assert!(lease < RECIPE);
        Stamp(lease & !RECIPE | if is_recipe { RECIPE } else { 0 })
    }

    pub(crate) fn lease(self) -> u32 {
        self.0 & !RECIPE
    }

    pub(crate) fn is_recipe(self) -> bool {
        self.0 & RECIPE != 0
    }
}

impl Slot {
    const EMPTY: Slot = Slot {
        segment: 0,
        offset: 0,
        length: 0,
        stamp: Stamp(0),
    };

    /// Bytes of the record.
    pub(crate) fn length_bytes(&self) -> u64 {
        u64::from(self.length) * 16
    }

    /// Where the record begins.
    pub(crate) fn offset_bytes(&self) -> u64 {
        u64::from(self.offset) * 16
    }

    pub(crate) fn is_at(&self, segment: u32, offset: u32) -> bool {
        (self.segment, self.offset) == (segment, offset)
    }
}

/// All entries of a store.
pub(crate) struct Index {
    shards: Vec<Mutex<Table>>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Index {
            shards: (0..SHARDS).map(|_| Mutex::new(Table::default())).collect(),
        }
    }

    fn shard(&self, key: Key) -> &Mutex<Table> {
        &self.shards[shard_of(key)]
    }

    /// Makes room for about so many entries, so that filling it does not grow it again and again.
    pub(crate) fn reserve(&self, entries: usize) {
        // A little more than its share for each: they differ.
        let share = entries / SHARDS + entries / SHARDS / 16;
        if share > SLOTS_MIN {
            for shard in &self.shards {
                shard.lock().reserve(share);
            }
        }
    }

    /// The entry as it is.
    pub(crate) fn get(&self, key: Key) -> Option<Slot> {
        self.shard(key).lock().find(key).map(|(slot, _)| slot)
    }

    /// Changes an entry in place, if `change` wants to; returns it as it was.
    pub(crate) fn update(&self, key: Key, change: impl FnOnce(&Slot) -> Option<Slot>) -> Option<Slot> {
        let mut table = self.shard(key).lock();
        let (slot, at) = table.find(key)?;
        if let Some(changed) = change(&slot) {
            table.entries[at].1 = changed;
        }
        Some(slot)
    }

    /// `update` for many entries, table by table: `change` is told which of `keys`, in no order of its own, and the entry
    /// as it is if there is one.
    ///
    /// A lookup costs little but the wait for memory that no cache holds. So the memory of a table's entries is asked for
    /// first, in loads that do not depend on one another and wait together, and a lock is taken once for all of them: it
    /// would have every lookup wait for the one before.
    pub(crate) fn update_all(
        &self,
        keys: &[Key],
        mut change: impl FnMut(usize, Option<&Slot>) -> Option<Slot>,
    ) {
        if let [key] = keys {
            let mut table = self.shard(*key).lock();
            return table.change(*key, |slot| change(0, slot));
        }
        for (shard, places) in by_shard(keys) {
            let mut table = self.shards[shard].lock();
            table.warm(places.iter().map(|place| keys[*place as usize]));
            for place in places {
                let place = place as usize;
                table.change(keys[place], |slot| change(place, slot));
            }
        }
    }

    /// Puts an entry unless `keep` says that the one that is there stays. Returns what was there.
    pub(crate) fn insert(&self, key: Key, slot: Slot, keep: impl FnOnce(&Slot) -> bool) -> Option<Slot> {
        let mut table = self.shard(key).lock();
        match table.find(key) {
            Some((there, at)) => {
                if !keep(&there) {
                    table.entries[at].1 = slot;
                }
                Some(there)
            }
            None => {
                table.add(key, slot);
                None
            }
        }
    }

    /// Takes an entry out if `condition` holds for it; returns it if it did.
    pub(crate) fn remove_if(&self, key: Key, condition: impl FnOnce(&Slot) -> bool) -> Option<Slot> {
        let mut table = self.shard(key).lock();
        let (slot, at) = table.find(key)?;
        if !condition(&slot) {
            return None;
        }
        table.remove(at);
        Some(slot)
    }

    /// Takes out all entries for which `condition` holds; how many. Looks at every one.
    pub(crate) fn remove_all(&self, condition: impl Fn(&Slot) -> bool) -> usize {
        let mut removed = 0;
        for shard in &self.shards {
            let mut table = shard.lock();
            let keys: Vec<Key> = table
                .entries
                .iter()
                .filter(|(_, slot)| slot.length != 0 && condition(slot))
                .map(|(key, _)| *key)
                .collect();
            for key in keys {
                if let Some((_, at)) = table.find(key) {
                    table.remove(at);
                    removed += 1;
                }
            }
        }
        removed
    }

    /// Shows every entry, in no order; those that come and go meanwhile may be missed.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Slot)) {
        for shard in &self.shards {
            let table = shard.lock();
            let entries = table.entries.iter().filter(|(_, slot)| slot.length != 0);
            entries.for_each(|(_, slot)| visit(slot));
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().used).sum()
    }

    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let slots: usize = self
            .shards
            .iter()
            .map(|shard| shard.lock().entries.capacity())
            .sum();
        slots * size_of::<(Key, Slot)>()
    }
}

fn shard_of(key: Key) -> usize {
    (key.0 >> 120) as usize
}

/// Which of `keys` belong into which table, for those that any belongs into.
fn by_shard(keys: &[Key]) -> impl Iterator<Item = (usize, Vec<u32>)> {
    let mut places = vec![Vec::new(); SHARDS];
    for (place, key) in keys.iter().enumerate() {
        places[shard_of(*key)].push(place as u32);
    }
    places
        .into_iter()
        .enumerate()
        .filter(|(_, places)| !places.is_empty())
}

#[derive(Default)]
struct Table {
    entries: Vec<(Key, Slot)>,
    used: usize,
}

impl Table {
    /// Where an entry belongs: the middle bits of its key, spread over the table whatever its length.
    fn home(&self, key: Key) -> usize {
        ((u128::from((key.0 >> 32) as u64) * self.entries.len() as u128) >> 64) as usize
    }

    fn distance(&self, key: Key, at: usize) -> usize {
        let home = self.home(key);
        if at >= home {
            at - home
        } else {
            at + self.entries.len() - home
        }
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }

    /// Has the processor fetch where `keys` belong.
    fn warm(&self, keys: impl Iterator<Item = Key>) {
        let lengths = keys.filter_map(|key| self.entries.get(self.home(key)));
        std::hint::black_box(lengths.fold(0, |sum, (_, slot)| sum | slot.length));
    }

    fn find(&self, key: Key) -> Option<(Slot, usize)> {
        if self.entries.is_empty() {
            return None;
        }
        let mut at = self.home(key);
        for distance in 0..self.entries.len() {
            let (there, slot) = &self.entries[at];
            if slot.length == 0 || self.distance(*there, at) < distance {
                return None;
            }
            if *there == key {
                return Some((*slot, at));
            }
            at = self.next(at);
        }
        None
    }

    fn change(&mut self, key: Key, change: impl FnOnce(Option<&Slot>) -> Option<Slot>) {
        let found = self.find(key);
        let changed = change(found.as_ref().map(|(slot, _)| slot));
        if let (Some((_, at)), Some(changed)) = (found, changed) {
            self.entries[at].1 = changed;
        }
    }

    /// `key` is not in the table.
    fn add(&mut self, key: Key, slot: Slot) {
        debug_assert!(slot.length != 0);
        if (self.used + 1) * 8 > self.entries.len() * EIGHTHS_FULL_MAX {
            self.resize((self.entries.len() * GROWTH.0 / GROWTH.1).max(SLOTS_MIN));
        }
        self.place(key, slot);
        self.used += 1;
    }

    fn place(&mut self, mut key: Key, mut slot: Slot) {
        let mut at = self.home(key);
        let mut distance = 0;
        loop {
            let (there, occupant) = &mut self.entries[at];
            if occupant.length == 0 {
                self.entries[at] = (key, slot);
                return;
            }
            let (there, occupant) = (*there, *occupant);
            let theirs = self.distance(there, at);
            if theirs < distance {
                self.entries[at] = (key, slot);
                (key, slot, distance) = (there, occupant, theirs);
            }
            at = self.next(at);
            distance += 1;
        }
    }

    /// Those behind move up, so that no marks of what was there are needed.
    fn remove(&mut self, mut at: usize) {
        self.used -= 1;
        loop {
            let next = self.next(at);
            let (key, slot) = self.entries[next];
            if slot.length == 0 || self.distance(key, next) == 0 {
                self.entries[at] = (Key(0), Slot::EMPTY);
                return;
            }
            self.entries[at] = (key, slot);
            at = next;
        }
    }

    fn reserve(&mut self, entries: usize) {
        let slots = entries * 8 / EIGHTHS_FULL_MAX + 1;
        if slots > self.entries.len() {
            self.resize(slots);
        }
    }

    fn resize(&mut self, slots: usize) {
        let mut empty = Vec::new();
        empty.reserve_exact(slots);
        empty.resize(slots, (Key(0), Slot::EMPTY));
        for (key, slot) in std::mem::replace(&mut self.entries, empty) {
            if slot.length != 0 {
                self.place(key, slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn slot(n: u32) -> Slot {
        Slot {
            segment: n,
            offset: n,
            length: 1 + n,
            stamp: Stamp::new(n, n.is_multiple_of(2)),
        }
    }

    #[test]
    fn an_entry_takes_at_most_49_bytes() {
        assert_eq!(size_of::<(Key, Slot)>(), 32);
        let index = Index::new();
        let mut state = 1u128;
        let mut worst = 0.0f64;
        for n in 0..200_000usize {
            state = state
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(1);
            index.insert(Key(state), slot(n as u32), |_| false);
            if n > 20_000 && n % 500 == 0 {
                worst = worst.max(index.memory_bytes() as f64 / index.len() as f64);
            }
        }
        assert!(worst < 49.0, "{worst} bytes an entry");
    }

    proptest! {
        /// Few keys in one shard, whose places collide all the time.
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((0u8..5, 0u8..40), 0..400)) {
            let index = Index::new();
            let mut model: HashMap<Key, Slot> = HashMap::new();
            for (n, (step, key)) in steps.into_iter().enumerate() {
                let key = Key(u128::from(key % 5) << 90 | u128::from(key));
                let new = slot(n as u32);
                match step {
                    0 => {
                        prop_assert_eq!(index.insert(key, new, |_| false), model.insert(key, new));
                    }
                    1 => prop_assert_eq!(index.insert(key, new, |_| true), {
                        let there = model.get(&key).copied();
                        model.entry(key).or_insert(new);
                        there
                    }),
                    2 => {
                        prop_assert_eq!(index.remove_if(key, |_| false), None);
                        prop_assert_eq!(index.remove_if(key, |_| true), model.remove(&key));
                    }
                    3 => {
                        let all: Vec<Key> = model.keys().copied().chain([key]).collect();
                        let mut seen = vec![None; all.len()];
                        index.update_all(&all, |place, slot| {
                            seen[place] = Some(slot.copied());
                            Some(new)
                        });
                        for (key, seen) in all.into_iter().zip(seen) {
                            let was = model.get_mut(&key);
                            // The last is there twice if it is there at all.
                            let expected = [was.as_deref().copied(), was.as_ref().map(|_| new)];
                            prop_assert!(seen.is_some_and(|seen| expected.contains(&seen)));
                        }
                        model.values_mut().for_each(|slot| *slot = new);
                    }
                    _ => {
                        prop_assert_eq!(index.update(key, |_| Some(new)), model.get(&key).copied());
                        model.entry(key).and_modify(|slot| *slot = new);
                    }
                }
                prop_assert_eq!(index.get(key), model.get(&key).copied());
                prop_assert_eq!(index.len(), model.len());
            }
            for (key, slot) in &model {
                prop_assert_eq!(index.get(*key), Some(*slot));
            }
        }
    }
}
