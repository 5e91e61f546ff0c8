//! Workers that announce the same properties, and the memory of those that did a moment ago.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::platform::Offer;
use crate::queue::QueueId;
use crate::turns::{FIRST, Turn};
use crate::{Time, WorkerId};

/// Names a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolId(u64);

#[cfg(test)]
impl PoolId {
    /// Some pool.
    pub(crate) const FIRST: PoolId = PoolId(1);
}

/// A worker's place among those with a free slot: the one with most comes first, then the lowest id.
pub(crate) type FreeKey = (Reverse<u32>, WorkerId);

/// Workers with one offer.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) offer: Offer,
    /// All of them, also draining and disconnected ones.
    pub(crate) workers: BTreeSet<WorkerId>,
    /// Those that will take new leases: now, or when a slot is free or their stream is back.
    pub(crate) usable: BTreeSet<WorkerId>,
    /// Those that take a new lease now.
    pub(crate) free: BTreeSet<FreeKey>,
    /// The queues whose platform the offer meets; none while the pool is forgotten.
    pub(crate) queues: BTreeSet<QueueId>,
    /// The latest turn that was granted here.
    pub(crate) clock: Turn,
    /// The name of a worker that was usable last, for messages.
    pub(crate) last_name: String,
    standing: Standing,
}

/// Whether a platform that only this pool meets counts as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Somebody is usable.
    Usable,
    /// Nobody is, since then; a worker that merely restarts does not make its platform impossible in between.
    UnusableSince(Time),
    /// Nobody has been for longer than `worker_memory`, or ever. Kept only while draining workers are in it.
    Forgotten,
}

/// All pools.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: BTreeMap<PoolId, Pool>,
    ids: BTreeMap<Offer, PoolId>,
    /// The pools that stand as `UnusableSince`, longest first.
    unusable: BTreeSet<(Time, PoolId)>,
    last: u64,
}

impl Pools {
    /// The pool of `offer`. A new one has no worker and counts as forgotten until [`settle`](Self::settle).
    pub(crate) fn of(&mut self, offer: Offer) -> PoolId {
        if let Some(id) = self.ids.get(&offer) {
            return *id;
        }
        self.last += 1;
        let id = PoolId(self.last);
        let pool = Pool {
            offer: offer.clone(),
            workers: BTreeSet::new(),
            usable: BTreeSet::new(),
            free: BTreeSet::new(),
            queues: BTreeSet::new(),
            clock: FIRST,
            last_name: String::new(),
            standing: Standing::Forgotten,
        };
        self.pools.insert(id, pool);
        self.ids.insert(offer, id);
        id
    }

    pub(crate) fn get(&self, id: PoolId) -> &Pool {
        self.pools
            .get(&id)
            .expect("a pool with workers or queues exists, and only those name it")
    }

    pub(crate) fn get_mut(&mut self, id: PoolId) -> &mut Pool {
        self.pools
            .get_mut(&id)
            .expect("a pool with workers or queues exists, and only those name it")
    }

    /// The pools that make a platform possible.
    pub(crate) fn possible(&self) -> impl Iterator<Item = (PoolId, &Pool)> + Clone {
        let pools = self.pools.iter().map(|(id, pool)| (*id, pool));
        pools.filter(|(_, pool)| pool.standing != Standing::Forgotten)
    }

    /// To be called after workers of a pool came, went or changed. Answers whether the pool has just become
    /// possible, so that it has to be introduced to the queues.
    pub(crate) fn settle(&mut self, id: PoolId, now: Time) -> bool {
        let Some(pool) = self.pools.get_mut(&id) else {
            return false;
        };
        let before = pool.standing;
        let after = match before {
            _ if !pool.usable.is_empty() => Standing::Usable,
            Standing::Usable => Standing::UnusableSince(now),
            before => before,
        };
        pool.standing = after;
        if let (Standing::UnusableSince(since), true) = (before, before != after) {
            self.unusable.remove(&(since, id));
        }
        if let (Standing::UnusableSince(since), true) = (after, before != after) {
            self.unusable.insert((since, id));
        }
        if after == Standing::Forgotten {
            self.remove_if_empty(id);
        }
        before == Standing::Forgotten && after != Standing::Forgotten
    }

    /// The pool that has been unusable longest, and since when.
    pub(crate) fn longest_unusable(&self) -> Option<(Time, PoolId)> {
        self.unusable.first().copied()
    }

    /// How many pools without a usable worker are remembered.
    pub(crate) fn unusable_count(&self) -> usize {
        self.unusable.len()
    }

    /// Forgets an unusable pool; answers the queues that have lost it.
    pub(crate) fn forget(&mut self, id: PoolId) -> BTreeSet<QueueId> {
        let Some(pool) = self.pools.get_mut(&id) else {
            return BTreeSet::new();
        };
        if let Standing::UnusableSince(since) = pool.standing {
            self.unusable.remove(&(since, id));
        }
        pool.standing = Standing::Forgotten;
        let queues = std::mem::take(&mut pool.queues);
        self.remove_if_empty(id);
        queues
    }

    /// Number of pools, remembered ones too.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pools.len()
    }

    fn remove_if_empty(&mut self, id: PoolId) {
        if self.pools.get(&id).is_some_and(|pool| pool.workers.is_empty())
            && let Some(pool) = self.pools.remove(&id)
        {
            self.ids.remove(&pool.offer);
        }
    }
}
