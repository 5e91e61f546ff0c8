//! Which task an operation for the same action joins.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::ids::IdMap;
use crate::task::Task;
use crate::{TaskId, Work};

/// Tasks by instance and action. The keys are in the tasks, so that a million of them cost little more than their ids.
#[derive(Debug, Default)]
pub(crate) struct Joinable {
    table: HashTable<TaskId>,
    hasher: RandomState,
}

impl Joinable {
    /// The task for this work.
    pub(crate) fn find(&self, work: &Work, tasks: &IdMap<TaskId, Box<Task>>) -> Option<TaskId> {
        let is_for = |id: &TaskId| tasks.get(id).is_some_and(|task| is_same(&task.work, work));
        self.table.find(self.hash(work), is_for).copied()
    }

    /// From now on this task is the one for its work.
    pub(crate) fn insert(&mut self, id: TaskId, tasks: &IdMap<TaskId, Box<Task>>) {
        let Some(task) = tasks.get(&id) else {
            return;
        };
        self.remove_if(&task.work, |other| {
            tasks
                .get(other)
                .is_some_and(|other| is_same(&other.work, &task.work))
        });
        let Joinable { table, hasher } = self;
        let hash_of = |id: &TaskId| tasks.get(id).map_or(0, |task| hash(hasher, &task.work));
        table.insert_unique(hash(hasher, &task.work), id, hash_of);
    }

    /// Nobody joins this task any more.
    pub(crate) fn remove(&mut self, id: TaskId, work: &Work) {
        self.remove_if(work, |other| *other == id);
    }

    /// How many there are, for leak tests.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    fn remove_if(&mut self, work: &Work, is_it: impl FnMut(&TaskId) -> bool) {
        if let Ok(entry) = self.table.find_entry(self.hash(work), is_it) {
            entry.remove();
        }
    }

    fn hash(&self, work: &Work) -> u64 {
        hash(&self.hasher, work)
    }
}

/// Of what nobody can make alike for two actions; the rest is compared.
fn hash(hasher: &RandomState, work: &Work) -> u64 {
    const ENOUGH: usize = 16;
    let digest = work.action_digest.digest();
    let hash = digest.hash_bytes();
    hasher.hash_one((&work.instance, &hash[..hash.len().min(ENOUGH)]))
}

fn is_same(work: &Work, other: &Work) -> bool {
    (&work.instance, &work.action_digest) == (&other.instance, &other.action_digest)
}
