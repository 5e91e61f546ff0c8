//! What a task waits for, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ahead::AHEAD_COUNTED_MAX;
use crate::dispatch::WORKERS_SEEN_MAX;
use crate::platform::{list, shown};
use crate::queue::{Queue, QueueId};
use crate::size::Size;
use crate::task::Task;
use crate::{Scheduler, TaskId, WorkerId};

/// Most named resources that a reason lists.
const AMOUNTS_SHOWN_MAX: usize = 4;

/// What keeps a task from a worker, the least first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// It has room, and keeps it for another queue.
    Kept(WorkerId),
    /// It has slots and memory, but not so much of what else it has a certain amount of.
    Amounts(BTreeMap<String, u64>),
    /// Slots or memory.
    Room,
}

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
                self.room_wanted(task.queue)
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

    /// What has to come free for a task of this queue.
    fn room_wanted(&self, id: QueueId) -> String {
        let queue = self.queues.get(id);
        let text = match self.least_obstacle(id) {
            Obstacle::Kept(worker) => {
                let name = self.worker_name(&worker);
                return format!("room on `{}`, which is kept for a larger action", shown(&name));
            }
            Obstacle::Amounts(amounts) => format!("{}, which others have", amounts_of(&amounts)),
            Obstacle::Room => room_of(queue.size, &self.named_amounts(queue)),
        };
        match &queue.reserved {
            Some(worker) => format!(
                "{text}, for which `{}` takes nothing else",
                shown(&self.worker_name(worker))
            ),
            None => text,
        }
    }

    /// What keeps a queue's first task from the worker that is nearest to taking it. Only those with a free slot are looked
    /// at, and not more than [`WORKERS_SEEN_MAX`]: on a busy farm there are none.
    fn least_obstacle(&self, id: QueueId) -> Obstacle {
        let queue = self.queues.get(id);
        let pools = queue.pools.iter().map(|pool| self.pools.get(*pool));
        let free = pools.flat_map(|pool| pool.free.iter().map(|(_, worker)| (&pool.offer, worker)));
        let obstacles = free.take(WORKERS_SEEN_MAX).filter_map(|(offer, worker_id)| {
            let worker = self.workers.get(worker_id)?;
            let mut amounts = offer.taken_by(&queue.platform);
            if !worker.has_room_for(queue.size, &BTreeMap::new(), offer) {
                return None;
            }
            amounts.retain(|name, asked| !worker.has_amount(name, *asked, offer));
            match amounts.is_empty() {
                false => Some(Obstacle::Amounts(amounts)),
                // Where it is not kept, the worker has failed this task before.
                true => self
                    .is_kept(worker_id, id)
                    .then(|| Obstacle::Kept(worker_id.clone())),
            }
        });
        obstacles.min().unwrap_or(Obstacle::Room)
    }

    /// What a queue's tasks take of its workers beside slots and memory.
    pub(crate) fn named_amounts(&self, queue: &Queue) -> BTreeMap<String, u64> {
        let pool = queue.pools.first().map(|pool| self.pools.get(*pool));
        pool.map_or_else(BTreeMap::new, |pool| pool.offer.taken_by(&queue.platform))
    }

    /// As if those ahead ran one after the other in all places that match, each for as long as its like took before. Half
    /// of what is known must be, or it is a guess.
    pub(crate) fn estimate(&self, task: &Task, ahead: &[TaskId]) -> Option<Duration> {
        // What runs now is on average half done.
        let running = task.expected?.wall / 2;
        let slots = |queue: QueueId| self.queues.get(queue).size.slots;
        let ahead_of_it = ahead.iter().filter_map(|id| self.tasks.by_id.get(id));
        let known: Vec<(u32, Duration)> = ahead_of_it
            .filter_map(|task| Some((slots(task.queue), task.expected?.wall)))
            .collect();
        if ahead.len() >= AHEAD_COUNTED_MAX || known.len() * 2 < ahead.len() {
            return None;
        }
        // There are few sizes, and each is counted once.
        let mut places: BTreeMap<u32, u32> = BTreeMap::new();
        let mut places_of = |slots: u32| {
            let places = places.entry(slots);
            *places.or_insert_with(|| self.places(task.queue, slots))
        };
        let mut sum = Duration::ZERO;
        for (slots, wall) in &known {
            sum += wall.checked_div(places_of(*slots))?;
        }
        let all = sum.mul_f64(ahead.len() as f64 / known.len().max(1) as f64);
        (places_of(slots(task.queue)) > 0).then_some(running + all)
    }

    /// How many tasks of so many slots each the workers of a queue can run at once.
    fn places(&self, id: QueueId, slots: u32) -> u32 {
        let pools = self.queues.get(id).pools.iter();
        let usable = pools.flat_map(|pool| &self.pools.get(*pool).usable);
        let workers = usable.filter_map(|worker| self.workers.get(worker));
        workers
            .map(|worker| (worker.slots / slots.max(1)).max(1))
            .fold(0, u32::saturating_add)
    }

    /// The last attempt stays the last when it has failed too.
    pub(crate) fn attempt_of(&self, task: &Task) -> u32 {
        let failed = u32::try_from(task.failures.workers.len()).unwrap_or(u32::MAX);
        failed.saturating_add(1).min(self.options.attempts_max.max(1))
    }
}

/// A size in words, with the named resources that go with it.
fn room_of(size: Size, amounts: &BTreeMap<String, u64>) -> String {
    let Size { slots, memory_bytes } = size;
    let mut text = match slots {
        0 | 1 => "a free slot".to_owned(),
        slots => format!("{slots} free slots on one worker"),
    };
    if memory_bytes > 0 {
        text.push_str(&format!(" and {} MiB of memory", memory_bytes >> 20));
    }
    if !amounts.is_empty() {
        text.push_str(&format!(" and {}", amounts_of(amounts)));
    }
    text
}

fn amounts_of(amounts: &BTreeMap<String, u64>) -> String {
    let amounts = amounts.iter();
    list(
        amounts.map(|(name, amount)| format!("{amount} of `{}`", shown(name))),
        AMOUNTS_SHOWN_MAX,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_said_in_words() {
        let amounts = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            let owned = pairs.iter().map(|(name, amount)| ((*name).to_owned(), *amount));
            owned.collect()
        };
        for (slots, mib, named, expected) in [
            (0, 0, &[][..], "a free slot"),
            (1, 512, &[], "a free slot and 512 MiB of memory"),
            (1, 0, &[("license", 1)], "a free slot and 1 of `license`"),
            (
                4,
                128,
                &[("gpu", 2), ("license", 1)],
                "4 free slots on one worker and 128 MiB of memory and 2 of `gpu`, 1 of `license`",
            ),
            (
                1,
                0,
                &[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1)],
                "a free slot and 1 of `a`, 1 of `b`, 1 of `c`, 1 of `d`, and 2 more",
            ),
        ] {
            let size = Size {
                slots,
                memory_bytes: mib << 20,
            };
            assert_eq!(room_of(size, &amounts(named)), expected);
        }
    }
}
