//! Which process serves which request: decisions, without any process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{DISTRUST, DISTRUSTED_MAX, PROCESS_FAILURES_MAX};

/// Processes by key, at most so many. `K` is what two requests must have in common, `T` the process.
pub(crate) struct Pool<K, T> {
    entries: Vec<Entry<K, T>>,
    entries_max: usize,
    last_id: u64,
    failures: VecDeque<Failures<K>>,
}

struct Entry<K, T> {
    id: u64,
    key: Arc<K>,
    /// Requests that have it now.
    users: usize,
    /// When it was given or given back last.
    since: Instant,
    item: T,
}

/// Of one key: how often in a row a process has failed, and when last.
struct Failures<K> {
    key: Arc<K>,
    count: u32,
    last: Instant,
}

/// A request's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted<T> {
    /// To give it back.
    pub(crate) id: u64,
    /// The process.
    pub(crate) item: T,
    /// An idle one that has to make room for it.
    pub(crate) ended: Option<T>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// As many processes as there may be, and all have work.
    #[error("all persistent processes are busy")]
    Busy,
    /// Processes of this key fail again and again.
    #[error("persistent processes like it failed {PROCESS_FAILURES_MAX} times in a row")]
    Distrusted,
}

/// What a request has to say about its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answered.
    Good,
    /// It has to end, without being at fault: the request was given up.
    Ended,
    /// It has failed.
    Broken,
}

impl<K: PartialEq, T: Clone> Pool<K, T> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Pool {
            entries: Vec::new(),
            entries_max,
            last_id: 0,
            failures: VecDeque::new(),
        }
    }

    /// A process of `key` with fewer than `users_max` requests; else a new one, for which the one that has been idle for
    /// longest may have to go. Never waits: whoever finds no place can run without.
    pub(crate) fn admit(
        &mut self,
        key: &Arc<K>,
        users_max: usize,
        now: Instant,
        new: impl FnOnce() -> T,
    ) -> Result<Admitted<T>, Refusal> {
        if self.is_distrusted(key, now) {
            return Err(Refusal::Distrusted);
        }
        let fitting = |entry: &&mut Entry<K, T>| entry.key == *key && entry.users < users_max;
        // The one used last: the others may then become idle for long enough to end.
        if let Some(entry) = self
            .entries
            .iter_mut()
            .filter(fitting)
            .max_by_key(|entry| entry.since)
        {
            entry.users += 1;
            entry.since = now;
            return Ok(Admitted {
                id: entry.id,
                item: entry.item.clone(),
                ended: None,
            });
        }
        let ended = match self.entries.len() < self.entries_max {
            true => None,
            false => Some(self.remove_idle().ok_or(Refusal::Busy)?),
        };
        self.last_id += 1;
        let item = new();
        self.entries.push(Entry {
            id: self.last_id,
            key: key.clone(),
            users: 1,
            since: now,
            item: item.clone(),
        });
        Ok(Admitted {
            id: self.last_id,
            item,
            ended,
        })
    }

    /// Takes a place back; returns the process if it has to end. Others that have it find out by themselves.
    pub(crate) fn release(&mut self, id: u64, verdict: Verdict, now: Instant) -> Option<T> {
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        let key = self.entries[index].key.clone();
        match verdict {
            Verdict::Good => {
                self.failures.retain(|failures| failures.key != key);
                let entry = &mut self.entries[index];
                entry.users -= 1;
                entry.since = now;
                return None;
            }
            Verdict::Ended => {}
            Verdict::Broken => self.note_failure(key, now),
        }
        Some(self.entries.swap_remove(index).item)
    }

    /// Removes those that have been idle for `patience`.
    pub(crate) fn expire(&mut self, now: Instant, patience: Duration) -> Vec<T> {
        let is_over = |entry: &mut Entry<K, T>| {
            entry.users == 0 && now.saturating_duration_since(entry.since) >= patience
        };
        self.entries
            .extract_if(.., is_over)
            .map(|entry| entry.item)
            .collect()
    }

    fn remove_idle(&mut self) -> Option<T> {
        let idle = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.users == 0);
        let (index, _) = idle.min_by_key(|(_, entry)| entry.since)?;
        Some(self.entries.swap_remove(index).item)
    }

    fn is_distrusted(&self, key: &Arc<K>, now: Instant) -> bool {
        self.failures.iter().any(|failures| {
            failures.key == *key
                && failures.count >= PROCESS_FAILURES_MAX
                && now.saturating_duration_since(failures.last) < DISTRUST
        })
    }

    fn note_failure(&mut self, key: Arc<K>, now: Instant) {
        let index = self.failures.iter().position(|failures| failures.key == key);
        let before = index.and_then(|index| self.failures.remove(index));
        // After the time of distrust one more failure is enough to bring it back.
        let count = before.map_or(0, |failures| failures.count).saturating_add(1);
        self.failures.push_back(Failures {
            key,
            count,
            last: now,
        });
        if self.failures.len() > DISTRUSTED_MAX {
            self.failures.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
