//! A farm whose scheduler's process dies.

use std::collections::BTreeMap;

use super::Farm;
use crate::task::Task;
use crate::{Effect, Entry, Scheduler, Stage, TaskId};

impl Farm {
    /// The scheduler's process dies and another one goes on with what was remembered, which must be all that matters.
    pub(in super::super) fn restart(&mut self) {
        let options = self.scheduler.options.clone();
        let mut effects = Vec::new();
        let compact: Vec<Entry> = self.scheduler.entries().collect();
        let compact = Scheduler::restored(options.clone(), self.now, compact, &mut effects);
        self.check_restored(&compact);
        effects.clear();
        let restored = Scheduler::restored(options, self.now, self.journal.clone(), &mut effects);
        self.check_restored(&restored);

        for (task, _) in &self.publications {
            self.published.remove(task);
        }
        self.observe_anew(restored, effects);
    }

    /// Nothing is known of what was before.
    pub(in super::super) fn replace(&mut self, scheduler: Scheduler, effects: Vec<Effect>) {
        self.published.clear();
        self.observe_anew(scheduler, effects);
    }

    fn observe_anew(&mut self, scheduler: Scheduler, effects: Vec<Effect>) {
        self.scheduler = scheduler;
        self.publications.clear();
        self.effects = effects;
        self.take_effects();
        self.seen.operations = self.operations();
        self.seen.desired = self.desired();
        self.check_state();
    }

    /// Whatever has begun and whatever is over is in `restored` too, and whoever had a lease has it.
    fn check_restored(&self, restored: &Scheduler) {
        for view in self.scheduler.operations(None, usize::MAX) {
            let after = restored
                .operation(&view.name)
                .unwrap_or_else(|| panic!("{} is forgotten", view.name));
            assert_eq!(
                (after.stage, after.attempt, &after.response, &after.work),
                (view.stage, view.attempt, &view.response, &view.work),
                "{}",
                view.name
            );
        }
        for view in restored.operations(None, usize::MAX) {
            let is_over = view.stage == Stage::Completed;
            assert!(
                is_over || self.scheduler.operation(&view.name).is_some(),
                "{} lives again",
                view.name
            );
        }
        let tasks = |scheduler: &Scheduler| -> BTreeMap<TaskId, _> {
            let task = |(id, task): (TaskId, &Task)| {
                let lease = |id| {
                    let lease = &scheduler.leases[&id];
                    (id, lease.worker.clone(), lease.operation.clone())
                };
                let leases: Vec<_> = task.leases().map(lease).collect();
                let failures = (task.failures.workers.clone(), task.failures.last.clone());
                (
                    id,
                    (
                        task.operations.clone(),
                        leases,
                        failures,
                        task.failures.avoided.clone(),
                    ),
                )
            };
            scheduler.tasks.in_order().into_iter().map(task).collect()
        };
        assert_eq!(tasks(restored), tasks(&self.scheduler));
        let granted = self.scheduler.leases.keys().max();
        assert!(granted.is_none_or(|granted| granted.0 < restored.lease_next));
        assert_eq!(restored.totals, Default::default());
    }
}
