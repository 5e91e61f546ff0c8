//! How much of the farm a tenant may have at once.
//!
//! A tenant with a quota gets nothing new while what runs for it takes as many slots as that, so what it has at most is
//! its quota and one action. What it sends meanwhile waits in its line, others go on, and nothing of it is lost.

use std::collections::BTreeMap;

use blob::InstanceName;

use crate::Scheduler;
use crate::task::Task;

/// What runs for the tenants that have a quota, in slots.
#[derive(Debug, Default)]
pub(crate) struct Held {
    slots: BTreeMap<InstanceName, u32>,
}

impl Scheduler {
    /// A task of a tenant was given so many slots.
    pub(crate) fn hold(&mut self, tenant: &InstanceName, slots: u32) {
        let Some(quota) = self.options.quotas.get(tenant) else {
            return;
        };
        let held = self.held.slots.entry(tenant.clone()).or_default();
        let before = *held;
        *held = before.saturating_add(slots);
        if before < *quota && *held >= *quota {
            self.turns.close(tenant.as_str());
        }
    }

    /// It has them no more.
    pub(crate) fn give_back(&mut self, tenant: &InstanceName, slots: u32) {
        let Some(quota) = self.options.quotas.get(tenant) else {
            return;
        };
        let Some(held) = self.held.slots.get_mut(tenant) else {
            return;
        };
        let before = *held;
        *held = before.saturating_sub(slots);
        let opens = before >= *quota && *held < *quota;
        if *held == 0 {
            self.held.slots.remove(tenant);
        }
        if opens {
            let claims = self.turns.open(tenant.as_str());
            let queues = self.queues.iter();
            let filled = queues.filter(|(_, queue)| queue.may_have_any_of(&claims));
            self.changes.queues_filled.extend(filled.map(|(id, _)| id));
        }
    }

    /// The quota that keeps a task waiting, if one does.
    pub(crate) fn quota_of(&self, task: &Task) -> Option<u32> {
        let quota = self.options.quotas.get(&task.work.instance)?;
        self.turns.is_closed(task.place.claim).then_some(*quota)
    }

    /// What is held, for leak tests.
    #[cfg(test)]
    pub(crate) fn held(&self) -> &BTreeMap<InstanceName, u32> {
        &self.held.slots
    }
}
