//! What was found out once and holds as long as its key does: each key has everything in it that the answer depends on.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;

/// Answers by key, at most so many.
pub(super) struct Memo<K, V> {
    entries_max: usize,
    known: Mutex<HashMap<K, V>>,
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// When there are `entries_max`, all are forgotten and found out again: that many are never in use at once.
    pub(super) fn new(entries_max: usize) -> Self {
        Memo {
            entries_max,
            known: Mutex::default(),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.known.lock().get(key).cloned()
    }

    pub(super) fn insert(&self, key: K, value: V) {
        let mut known = self.known.lock();
        if known.len() >= self.entries_max {
            known.clear();
        }
        known.insert(key, value);
    }

    /// How many are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.lock().len()
    }

    pub(super) fn forget(&self, key: &K) {
        self.known.lock().remove(key);
    }

    /// The known answer, or the one that is found out now. Who asks at the same time may find it out as well; an error is not
    /// known.
    pub(super) fn get_or_find<E>(&self, key: K, find: impl FnOnce(&K) -> Result<V, E>) -> Result<V, E> {
        if let Some(known) = self.get(&key) {
            return Ok(known);
        }
        let found = find(&key)?;
        self.insert(key, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_out_once_and_an_error_each_time() {
        let memo = Memo::new(2);
        let find = |key: u32, found: Result<u32, ()>| memo.get_or_find(key, |_| found);
        assert_eq!(find(1, Err(())), Err(()));
        assert_eq!(find(1, Ok(10)), Ok(10));
        assert_eq!(find(1, Ok(11)), Ok(10));
        memo.forget(&1);
        assert_eq!(find(1, Ok(12)), Ok(12));
        for key in 2..4 {
            assert_eq!(find(key, Ok(key)), Ok(key));
            assert!(memo.len() <= 2);
        }
        assert_eq!((memo.get(&1), memo.get(&3)), (None, Some(3)));
    }
}
