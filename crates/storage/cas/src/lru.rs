//! Entries in the order of their use, weighed, so that the least recently used can make room.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that knows its total weight and which entry was used longest ago. It evicts nothing by itself: its owner
/// calls [`pop_oldest`](Self::pop_oldest) until the weight fits, because only the owner knows what else must be
/// undone (a file removed, a counter moved).
pub struct Lru<K, V> {
    slots: Vec<Slot<K, V>>,
    slot_of: HashMap<K, usize>,
    free: Vec<usize>,
    oldest: usize,
    newest: usize,
    weight: u64,
}

/// One entry, linked to its neighbours in order of use. A free slot holds nothing.
struct Slot<K, V> {
    entry: Option<(K, V)>,
    weight: u64,
    older: usize,
    newer: usize,
}

const NONE: usize = usize::MAX;

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Lru {
            slots: Vec::new(),
            slot_of: HashMap::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            weight: 0,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.slot_of.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slot_of.is_empty()
    }

    /// Sum of the weights of all entries.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Adds an entry as the most recently used; what stood under its key is returned.
    pub fn insert(&mut self, key: K, value: V, weight: u64) -> Option<V> {
        let replaced = self.remove(&key);
        let slot = Slot {
            entry: Some((key, value)),
            weight,
            older: NONE,
            newer: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.slot_of.insert(key, at);
        self.weight += weight;
        self.link_newest(at);
        replaced
    }

    /// The entry, now the most recently used.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        let at = *self.slot_of.get(key)?;
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
        self.value(at)
    }

    /// The entry, its place in the order unchanged.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.value(*self.slot_of.get(key)?)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.slot_of.remove(key)?;
        self.unlink(at);
        self.free.push(at);
        self.weight -= self.slots[at].weight;
        self.slots[at].entry.take().map(|(_, value)| value)
    }

    /// Takes out the entry that was used longest ago.
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (key, _) = self.slots.get(self.oldest)?.entry.as_ref()?;
        let key = *key;
        self.remove(&key).map(|value| (key, value))
    }

    fn value(&self, at: usize) -> Option<&V> {
        self.slots[at].entry.as_ref().map(|(_, value)| value)
    }

    fn link_newest(&mut self, at: usize) {
        self.slots[at].older = self.newest;
        self.slots[at].newer = NONE;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest].newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: usize) {
        let Slot { older, newer, .. } = self.slots[at];
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::new();
        for key in 1..=4 {
            lru.insert(key, key * 10, key as u64);
        }
        assert_eq!(lru.weight(), 10);
        assert_eq!(lru.get(&1), Some(&10));
        assert_eq!(lru.peek(&2), Some(&20));
        assert_eq!(lru.insert(3, 33, 5), Some(30));
        let order: Vec<_> = std::iter::from_fn(|| lru.pop_oldest()).collect();
        assert_eq!(order, [(2, 20), (4, 40), (1, 10), (3, 33)]);
        assert_eq!((lru.weight(), lru.len(), lru.pop_oldest()), (0, 0, None));
    }

    proptest! {
        /// Against the obvious model: a list in order of use.
        #[test]
        fn behaves_as_a_list_in_order_of_use(steps in prop::collection::vec((0u8..4, 0u8..12), 0..200)) {
            let mut lru = Lru::new();
            let mut model: Vec<(u8, usize)> = Vec::new();
            for (value, (step, key)) in steps.into_iter().enumerate() {
                let known = model.iter().position(|(other, _)| *other == key);
                match step {
                    0 => {
                        let replaced = known.map(|at| model.remove(at).1);
                        model.push((key, value));
                        prop_assert_eq!(lru.insert(key, value, u64::from(key) + 1), replaced);
                    }
                    1 => {
                        if let Some(at) = known {
                            let entry = model.remove(at);
                            model.push(entry);
                        }
                        prop_assert_eq!(lru.get(&key).copied(), known.and_then(|_| model.last().map(|entry| entry.1)));
                    }
                    2 => prop_assert_eq!(lru.remove(&key), known.map(|at| model.remove(at).1)),
                    _ => {
                        let oldest = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(lru.pop_oldest(), oldest);
                    }
                }
                prop_assert_eq!(lru.len(), model.len());
                prop_assert_eq!(lru.weight(), model.iter().map(|(key, _)| u64::from(*key) + 1).sum::<u64>());
            }
        }
    }
}
