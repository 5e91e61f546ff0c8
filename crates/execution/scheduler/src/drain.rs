//! Workers that people have taken out of service, by their names: they finish what they have and get nothing new.

use std::collections::BTreeSet;

use crate::{Entry, Scheduler, WorkerId};

/// The patterns of those names.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    pub(crate) patterns: BTreeSet<String>,
}

impl Drains {
    /// Whether some pattern has this name.
    pub(crate) fn cover(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a name is as the pattern says: `*` stands for any characters, also none, and everything else for itself.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Scheduler {
    /// From now on, also for workers that come later and over restarts, or no longer. Patterns beyond
    /// `drains_max` are not taken.
    pub(crate) fn drain(&mut self, pattern: String, on: bool) {
        let patterns = &mut self.drains.patterns;
        let changed = match on {
            true => patterns.len() < self.options.drains_max && patterns.insert(pattern.clone()),
            false => patterns.remove(&pattern),
        };
        if !changed {
            return;
        }
        self.changes.record(Entry::Drain { pattern, on });
        let workers = self.workers_in_order().into_iter();
        let workers: Vec<WorkerId> = workers.map(|(id, _)| id.clone()).collect();
        for id in workers {
            if let Some(worker) = self.workers.get(&id) {
                let draining = worker.says_draining || self.drains.cover(&worker.name);
                self.set_draining(&id, draining);
            }
        }
    }

    /// The patterns that hold.
    pub fn drained(&self) -> impl Iterator<Item = &str> {
        self.drains.patterns.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let yes = [
            ("host-1", "host-1"),
            ("*", ""),
            ("*", "anything"),
            ("host-*", "host-"),
            ("host-*", "host-12"),
            ("*-spot", "a-spot"),
            ("a*b*c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "abc"),
            ("", ""),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern, name), "{pattern} is {name}");
        }
        let no = [
            ("host-1", "host-12"),
            ("host-*", "ghost-1"),
            ("*-spot", "a-spot-b"),
            ("a*b*c", "acb"),
            ("a*a", "a"),
            ("", "x"),
        ];
        for (pattern, name) in no {
            assert!(!matches(pattern, name), "{pattern} is not {name}");
        }
    }
}
