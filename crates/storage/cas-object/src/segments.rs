//! The segments of the bucket, ours and those of other writers.
//!
//! **What is seen when.** Our own segments are known as soon as they are stored. Those of others become known by
//! listing: at start, and whenever a packed blob is not known, unless a listing began less than the refresh interval
//! ago. So a miss of a packed blob says: no segment that was stored before a moment at most one refresh interval ago
//! holds it. A blob that another writer acknowledged may be reported missing for that long; the client then uploads it
//! again, which is harmless. With an interval of zero, every miss is exact.
//!
//! Listing goes back [`SEGMENT_OVERLAP`] from the listing before, and through everything once an epoch. A segment that has gone is
//! noticed when it is read or promised, never by listing; then there is one at once, for what lived in it may have been
//! stored again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blob::Digest;
use cas::StoreError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{GetRange, ObjectMeta};
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::clock::{Clock, Epoch, Moment};
use crate::index::{Index, Place};
use crate::keys::{Keys, TimedId, Unit};
use crate::limits::{SEGMENT_OVERLAP, SEGMENT_READS_MAX, SEGMENT_TAIL_BYTES};
use crate::requests::Requests;
use crate::segment::{self, Entry, Tail};
use crate::statistics::Counters;

pub(crate) struct Segments {
    requests: Arc<Requests>,
    keys: Keys,
    clock: Clock,
    epoch_length: Duration,
    refresh_interval: Duration,
    index: RwLock<Index>,
    /// How many listings have begun.
    listings: AtomicU64,
    /// Held while listing, so that many misses share one.
    listed: tokio::sync::Mutex<Listed>,
}

#[derive(Default)]
struct Listed {
    /// Which listing was the last that succeeded, counted from 1.
    number: u64,
    /// When it began.
    began: Option<Instant>,
    /// The same by the clock that ids are made by.
    began_at: Option<Moment>,
    /// The epoch of the last complete one.
    complete: Option<Epoch>,
}

impl Segments {
    pub(crate) fn new(
        requests: Arc<Requests>,
        keys: Keys,
        clock: Clock,
        epoch_length: Duration,
        refresh_interval: Duration,
    ) -> Self {
        Segments {
            requests,
            keys,
            clock,
            epoch_length,
            refresh_interval,
            index: RwLock::default(),
            listings: AtomicU64::new(0),
            listed: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn place(&self, digest: &Digest) -> Option<Place> {
        self.index.read().place(digest)
    }

    /// As [`place`](Self::place), but for many under one lock.
    pub(crate) fn places(&self, digests: &[Digest]) -> Vec<Option<Place>> {
        let index = self.index.read();
        digests.iter().map(|digest| index.place(digest)).collect()
    }

    pub(crate) fn stored(&self, segment: TimedId, entries: &[Entry]) {
        self.index.write().add(segment, entries);
    }

    pub(crate) fn remove_segment(&self, segment: TimedId) {
        self.index.write().remove_segment(segment);
    }

    pub(crate) fn remove_blob(&self, digest: &Digest, segment: TimedId) {
        self.index.write().remove_blob(digest, segment);
    }

    /// Number of segments and of packed blobs known.
    pub(crate) fn known(&self) -> (u64, u64) {
        let index = self.index.read();
        (index.segments() as u64, index.blobs() as u64)
    }

    /// Learns of new segments, unless that was done a moment ago.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        self.refresh_within(self.refresh_interval).await
    }

    /// Learns of every segment that is there now: a segment is gone or doomed, and what lived in it was stored again
    /// before.
    pub(crate) async fn refresh_now(&self) -> Result<(), StoreError> {
        self.refresh_within(Duration::ZERO).await
    }

    async fn refresh_within(&self, interval: Duration) -> Result<(), StoreError> {
        let asked = self.listings.load(Ordering::SeqCst);
        let mut listed = self.listed.lock().await;
        let is_recent = listed.began.is_some_and(|began| began.elapsed() < interval);
        if is_recent || listed.number > asked {
            return Ok(());
        }
        let number = self.listings.fetch_add(1, Ordering::SeqCst) + 1;
        let began = Instant::now();
        let now = self.clock.now();
        let epoch = Epoch::of(now, self.epoch_length);
        let before = listed.began_at.filter(|_| listed.complete == Some(epoch));
        let after = before.map(|before| {
            let id = TimedId::first_of(before.min(now).minus(SEGMENT_OVERLAP));
            self.keys.unit(Unit::Segment(id))
        });
        let objects = self
            .requests
            .list(&self.keys.folder("segments"), after.as_ref())
            .await?;
        self.load(objects).await?;
        listed.number = number;
        listed.began = Some(began);
        listed.began_at = Some(now);
        listed.complete = Some(epoch);
        Ok(())
    }

    async fn load(&self, objects: Vec<ObjectMeta>) -> Result<(), StoreError> {
        let unknown: Vec<(TimedId, ObjectMeta)> = {
            let index = self.index.read();
            let segment = |object: &ObjectMeta| match self.keys.unit_at(&object.location) {
                Some(Unit::Segment(id)) if !index.knows(id) => Some(id),
                _ => None,
            };
            objects
                .into_iter()
                .filter_map(|object| Some((segment(&object)?, object)))
                .collect()
        };
        let reads = unknown.into_iter().map(|(id, object)| self.read(id, object));
        stream::iter(reads)
            .buffer_unordered(SEGMENT_READS_MAX)
            .try_for_each(async |()| Ok(()))
            .await
    }

    async fn read(&self, id: TimedId, object: ObjectMeta) -> Result<(), StoreError> {
        match self.read_index(&object).await? {
            None => {}
            Some(Ok(entries)) => self.stored(id, &entries),
            Some(Err(why)) => {
                Counters::add(&self.requests.counters.damaged, 1);
                tracing::error!("segment `{}` is damaged and not used: {why}", object.location);
                // Known and empty, so that it is not read again and again.
                self.stored(id, &[]);
            }
        }
        Ok(())
    }

    /// `None` if it has gone meanwhile; `Some(Err)` says what is wrong with it.
    async fn read_index(
        &self,
        object: &ObjectMeta,
    ) -> Result<Option<Result<Vec<Entry>, String>>, StoreError> {
        let size = object.size;
        let mut from = size.saturating_sub(SEGMENT_TAIL_BYTES);
        if size == 0 {
            return Ok(Some(Err("it is empty".into())));
        }
        loop {
            let range = GetRange::Bounded(from..size);
            let Some(part) = self.requests.get(&object.location, Some(range)).await? else {
                return Ok(None);
            };
            match segment::read_tail(&part.bytes, part.object_bytes) {
                Ok(Tail::Index(entries)) => return Ok(Some(Ok(entries))),
                // Once more at most: from there on, all of the index is in the tail.
                Ok(Tail::BeginsAt(at)) if at < from => from = at,
                Ok(Tail::BeginsAt(_)) => return Ok(Some(Err("its index begins nowhere".into()))),
                Err(why) => return Ok(Some(Err(why))),
            }
        }
    }
}
