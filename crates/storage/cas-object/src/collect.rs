//! Removing what nobody has used for long, never anything that somebody was promised.
//!
//! A collection reads what has been touched and goes through four steps, each of which may fail and be taken up by the
//! next collection:
//!
//! 1. what is on a *condemned* list whose grace is over, and still untouched, goes onto a *doomed* list. With that list
//!    stored, the touches are read once more; whatever is untouched even now is removed, then the list
//!    ([`liveness`](crate::liveness) says why no promise is broken);
//! 2. segments that are mostly dead are stored again without the dead (`merge.rs`);
//! 3. everything in the bucket that is untouched and on no list is condemned;
//! 4. records of touches that no longer count are removed.
//!
//! The grace is for readers in the middle of a blob and for writers between storing an object and touching it. A
//! collector that dies leaves lists behind. What is on a doomed list is not promised to anybody until the next
//! collection, at least [`DOOM_TIME_MAX`] later, has finished it; the first one has given up by then.
//!
//! Several collectors at once do no harm and are of no use.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cas::StoreError;
use object_store::PutPayload;
use object_store::path::Path;
use thiserror::Error;
use tokio::time::Instant;

use crate::clock::Moment;
use crate::keys::{Keys, TimedId, UNIT_FOLDERS, Unit};
use crate::limits::{CLOCK_SKEW_MAX, CONDEMNED_MAX, DOOM_TIME_MAX, DOOMED_MAX, RECORD_KEYS_MAX};
use crate::liveness::read_record;
use crate::record;
use crate::requests::Requests;
use crate::touches::Touches;

mod merge;

/// Removes what is not used.
#[derive(Clone)]
pub struct Collector {
    requests: Arc<Requests>,
    keys: Keys,
    epoch_length: Duration,
    grace: Duration,
}

/// What a collection did, in objects: a segment is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// In use.
    pub kept: u64,
    /// Untouched for long enough; removed by a later collection unless somebody touches them.
    pub condemned: u64,
    /// Condemned before, and touched since.
    pub spared: u64,
    /// Gone.
    pub removed: u64,
    /// Segments that were mostly dead: gone, and what lives of them stored again in others.
    pub merged: u64,
}

/// Why a collection did not come to its end. What it has done so far is right, and the next one goes on.
#[derive(Debug, Error)]
pub enum CollectError {
    /// Use is recorded too coarsely for that.
    #[error(
        "cannot keep what is unused for only {keep:?}: use is recorded every {epoch:?}, so keep at least twice as long"
    )]
    KeepTooShort {
        /// As asked.
        keep: Duration,
        /// The length of an epoch.
        epoch: Duration,
    },
    /// The bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Collector {
    pub(crate) fn new(requests: Arc<Requests>, keys: Keys, epoch_length: Duration, grace: Duration) -> Self {
        Collector {
            requests,
            keys,
            epoch_length,
            grace,
        }
    }

    /// Removes what has not been touched for `keep`, and the collection's grace longer; to be called about as often as
    /// that grace is long. Everything that a `find_missing` found or a `put` acknowledged within `keep` before `now`
    /// stays. All collections of a bucket should be told to keep equally long.
    pub async fn collect(&self, now: SystemTime, keep: Duration) -> Result<Collected, CollectError> {
        if keep < 2 * self.epoch_length {
            return Err(CollectError::KeepTooShort {
                keep,
                epoch: self.epoch_length,
            });
        }
        let mut collection = Collection {
            collector: self,
            start: Moment::from(now),
            started: Instant::now(),
            touches: Touches::since(
                Moment::from(now).minus(keep).minus(CLOCK_SKEW_MAX),
                self.epoch_length,
            ),
            done: Collected::default(),
        };
        collection.take_over().await?;
        let listed = collection.remove_condemned().await?;
        collection.merge().await?;
        collection.condemn(&listed).await?;
        collection.forget_old_touches().await?;
        Ok(collection.done)
    }
}

struct Collection<'a> {
    collector: &'a Collector,
    start: Moment,
    started: Instant,
    touches: Touches,
    done: Collected,
}

/// What became of a list of the doomed.
struct Removed {
    spared: u64,
    removed: u64,
}

impl Collection<'_> {
    fn now(&self) -> Moment {
        self.start.plus(self.started.elapsed())
    }

    async fn read_touches(&mut self) -> Result<(), StoreError> {
        let Collector { requests, keys, .. } = self.collector;
        self.touches.read(requests, keys).await
    }

    async fn lists(&self, folder: &str) -> Result<Vec<TimedId>, StoreError> {
        let Collector { requests, keys, .. } = self.collector;
        let objects = requests.list(&keys.folder(folder), None).await?;
        let ids = objects
            .iter()
            .filter_map(|object| keys.record_at(folder, &object.location));
        Ok(ids.collect())
    }

    async fn remove(&self, folder: &str, paths: &[Path]) -> Result<(), StoreError> {
        let Collector { requests, keys, .. } = self.collector;
        requests.remove(&keys.folder(folder), paths).await
    }

    /// Finishes what a collector that died has doomed.
    async fn take_over(&mut self) -> Result<(), StoreError> {
        for id in self.lists("doomed").await? {
            if id.moment().plus(DOOM_TIME_MAX).plus(CLOCK_SKEW_MAX) > self.now() {
                continue;
            }
            let path = self.collector.keys.record("doomed", id);
            if let Some(units) = read_record(&self.collector.requests, &path).await? {
                tracing::warn!(
                    objects = units.len(),
                    "finishing what an earlier collection did not"
                );
                let removed = self
                    .remove_doomed(path, units, Instant::now(), Touches::keep)
                    .await?;
                self.count(removed);
            }
        }
        Ok(())
    }

    /// Removes what was condemned long enough ago. Returns what is on the lists whose time has not come.
    async fn remove_condemned(&mut self) -> Result<HashSet<Unit>, StoreError> {
        let mut waiting = HashSet::new();
        for id in self.lists("condemned").await? {
            let path = self.collector.keys.record("condemned", id);
            let Some(units) = read_record(&self.collector.requests, &path).await? else {
                continue;
            };
            if id.moment().plus(self.collector.grace) > self.now() {
                waiting.extend(units);
                continue;
            }
            self.read_touches().await?;
            let (alive, dead): (Vec<Unit>, Vec<Unit>) =
                units.into_iter().partition(|unit| self.touches.keep(*unit));
            self.done.spared += alive.len() as u64;
            for units in dead.chunks(DOOMED_MAX) {
                self.doom(units).await?;
            }
            self.remove("condemned", &[path]).await?;
        }
        Ok(waiting)
    }

    async fn doom(&mut self, units: &[Unit]) -> Result<(), StoreError> {
        let Collector { requests, keys, .. } = self.collector;
        let path = keys.record("doomed", TimedId::new(self.now()));
        let doomed_at = Instant::now();
        requests
            .create(&path, &PutPayload::from(record::encode(units)))
            .await?;
        let removed = self
            .remove_doomed(path, units.to_vec(), doomed_at, Touches::keep)
            .await?;
        self.count(removed);
        Ok(())
    }

    fn count(&mut self, Removed { spared, removed }: Removed) {
        self.done.spared += spared;
        self.done.removed += removed;
    }

    /// `list` is stored. When removing fails, it stays: a request may still be on its way.
    async fn remove_doomed(
        &mut self,
        list: Path,
        units: Vec<Unit>,
        since: Instant,
        spare: impl Fn(&Touches, Unit) -> bool,
    ) -> Result<Removed, StoreError> {
        self.read_touches().await?;
        let (alive, dead): (Vec<Unit>, Vec<Unit>) =
            units.into_iter().partition(|unit| spare(&self.touches, *unit));
        let paths: Vec<Path> = dead.iter().map(|unit| self.collector.keys.unit(*unit)).collect();
        // Half of the time is left for requests that are on their way when this one gives up.
        let until = since + DOOM_TIME_MAX / 2;
        for paths in paths.chunks(DOOMED_MAX) {
            tokio::time::timeout_at(until, self.remove("units", paths))
                .await
                .map_err(|_| StoreError::Unavailable {
                    reason: format!("removing took longer than {:?}", DOOM_TIME_MAX / 2),
                })??;
        }
        self.remove("doomed", &[list]).await?;
        Ok(Removed {
            spared: alive.len() as u64,
            removed: dead.len() as u64,
        })
    }

    /// Condemns everything that is untouched and not `listed` yet.
    async fn condemn(&mut self, listed: &HashSet<Unit>) -> Result<(), StoreError> {
        self.read_touches().await?;
        let Collector { requests, keys, .. } = self.collector;
        let mut condemned = Vec::new();
        for folder in UNIT_FOLDERS {
            let (touches, kept) = (&self.touches, &mut self.done.kept);
            let look = |path: &Path| match keys.unit_at(path) {
                // Not ours, so not ours to remove.
                None => {}
                Some(unit) if touches.keep(unit) => *kept += 1,
                Some(unit) if listed.contains(&unit) || condemned.len() >= CONDEMNED_MAX => {}
                Some(unit) => condemned.push(unit),
            };
            requests.walk(&keys.folder(folder), look).await?;
        }
        condemned.sort_unstable();
        condemned.dedup();
        for units in condemned.chunks(RECORD_KEYS_MAX) {
            let path = keys.record("condemned", TimedId::new(self.now()));
            requests
                .create(&path, &PutPayload::from(record::encode(units)))
                .await?;
            self.done.condemned += units.len() as u64;
        }
        Ok(())
    }

    async fn forget_old_touches(&mut self) -> Result<(), StoreError> {
        let Collector { requests, keys, .. } = self.collector;
        let objects = requests.list(&keys.folder("touches"), None).await?;
        let old: Vec<Path> = objects
            .into_iter()
            .map(|object| object.location)
            .filter(|path| {
                keys.touches_at(path)
                    .is_some_and(|(epoch, _)| !self.touches.counts(epoch))
            })
            .collect();
        for paths in old.chunks(DOOMED_MAX) {
            self.remove("touches", paths).await?;
        }
        Ok(())
    }
}
