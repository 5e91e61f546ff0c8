//! The operations that wait for a task.

use crate::OperationName;

/// In order of urgency, then of their names; mostly one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiters {
    sorted: Vec<(i32, OperationName)>,
}

impl Waiters {
    /// One operation.
    pub(crate) fn one(priority: i32, name: OperationName) -> Self {
        // For millions of tasks: no more room than needed.
        let sorted = vec![(priority, name)];
        Waiters { sorted }
    }

    pub(crate) fn insert(&mut self, priority: i32, name: OperationName) {
        let waiter = (priority, name);
        if let Err(at) = self.sorted.binary_search(&waiter) {
            self.sorted.insert(at, waiter);
        }
    }

    pub(crate) fn remove(&mut self, priority: i32, name: &OperationName) {
        self.sorted
            .retain(|(its, waiter)| *its != priority || waiter != name);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The most urgent one.
    pub(crate) fn first(&self) -> Option<&(i32, OperationName)> {
        self.sorted.first()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(i32, OperationName)> {
        self.sorted.iter()
    }

    pub(crate) fn into_names(self) -> Vec<OperationName> {
        self.sorted.into_iter().map(|(_, name)| name).collect()
    }
}
