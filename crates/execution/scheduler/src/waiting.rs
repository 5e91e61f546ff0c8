//! What a task waits for, and for how long.

use std::time::Duration;

use crate::platform::shown;
use crate::queue::Queue;
use crate::size::Size;
use crate::task::Task;
use crate::view::AHEAD_COUNTED_MAX;
use crate::{Scheduler, TaskId};

impl Scheduler {
    /// For people: what has to happen first.
    pub(crate) fn why_queued(&self, task: &Task) -> String {
        if let Some(quota) = self.quota_of(task) {
            let instance = task.work.instance.as_str();
            return format!(
                "waits until less runs for instance `{}`, which has all of the {quota} slots that it may have",
                shown(instance)
            );
        }
        let queue = self.queues.get(task.queue);
        let usable: usize = queue
            .pools
            .iter()
            .map(|pool| self.pools.get(*pool).usable.len())
            .sum();
        let reason = if usable > 0 {
            format!(
                "waits for {}; matching workers: {usable}",
                self.room_wanted(queue)
            )
        } else if let Some(pool) = queue.pools.first() {
            let memory = self.options.worker_memory.as_secs();
            let last = shown(&self.pools.get(*pool).last_name);
            format!("waits up to {memory} s for a matching worker to come back; the last was `{last}`")
        } else {
            let grace = self.startup_grace.map_or(0, |(_, grace)| grace.as_secs());
            format!(
                "waits for workers to connect in the first {grace} s; {}",
                self.why_impossible(&queue.platform).1
            )
        };
        match task.failures.last.as_str() {
            "" => reason,
            last => format!("{reason}; try {} because {last}", self.attempt_of(task)),
        }
    }

    /// What has to be free for a task of this queue.
    fn room_wanted(&self, queue: &Queue) -> String {
        let Size { slots, memory_bytes } = queue.size;
        let mut text = match slots {
            0 | 1 => "a free slot".to_owned(),
            slots => format!("{slots} free slots on one worker"),
        };
        if memory_bytes > 0 {
            text.push_str(&format!(" and {} MiB of memory", memory_bytes >> 20));
        }
        if let Some(worker) = &queue.reserved {
            text.push_str(&format!(
                ", for which `{}` takes nothing else",
                shown(&self.worker_name(worker))
            ));
        }
        text
    }

    /// As if those ahead ran one after the other in all slots that match, each for as long as its like took before. Half
    /// of what is known must be, or it is a guess.
    pub(crate) fn estimate(&self, task: &Task, ahead: &[TaskId]) -> Option<Duration> {
        // What runs now is on average half done.
        let running = task.expected?.wall / 2;
        let queue = self.queues.get(task.queue);
        let slots: u64 = queue
            .pools
            .iter()
            .flat_map(|pool| &self.pools.get(*pool).usable)
            .filter_map(|worker| self.workers.get(worker))
            .map(|worker| u64::from(worker.slots / queue.size.slots.max(1)).max(1))
            .sum();
        let known: Vec<Duration> = ahead
            .iter()
            .filter_map(|id| Some(self.tasks.by_id.get(id)?.expected?.wall))
            .collect();
        if slots == 0 || ahead.len() >= AHEAD_COUNTED_MAX || known.len() * 2 < ahead.len() {
            return None;
        }
        let sum: Duration = known.iter().sum();
        let all = sum.mul_f64(ahead.len() as f64 / known.len().max(1) as f64);
        Some(running + all / u32::try_from(slots).unwrap_or(u32::MAX))
    }

    /// The last attempt stays the last when it has failed too.
    pub(crate) fn attempt_of(&self, task: &Task) -> u32 {
        let failed = u32::try_from(task.failures.workers.len()).unwrap_or(u32::MAX);
        failed.saturating_add(1).min(self.options.attempts_max.max(1))
    }
}
