//! What has been touched, as a collector reads it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cas::StoreError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use crate::clock::{Epoch, Moment};
use crate::keys::{Keys, TimedId, Touch, Unit};
use crate::limits::RECORD_READS_MAX;
use crate::liveness::read_touches;
use crate::requests::Requests;

/// Everything touched since a moment, about 60 bytes an object and 10 a packed blob. Reading again reads only what is new.
pub(crate) struct Touches {
    since: Moment,
    epoch_length: Duration,
    units: HashSet<Unit>,
    /// Offset and size of what is touched in a segment.
    packed: HashMap<TimedId, HashMap<u32, u32>>,
    /// The newest epoch in which anything of a segment was touched for itself.
    latest: HashMap<TimedId, Epoch>,
    read: HashSet<TimedId>,
}

impl Touches {
    pub(crate) fn since(since: Moment, epoch_length: Duration) -> Self {
        Touches {
            since,
            epoch_length,
            units: HashSet::new(),
            packed: HashMap::new(),
            latest: HashMap::new(),
            read: HashSet::new(),
        }
    }

    /// Whether touches of that epoch count: they are good until its end.
    pub(crate) fn counts(&self, epoch: Epoch) -> bool {
        epoch.end(self.epoch_length) > self.since
    }

    /// Whether a unit must stay. The id of a segment is its first touch.
    pub(crate) fn keep(&self, unit: Unit) -> bool {
        let (is_new, has_touched) = match unit {
            Unit::Segment(id) => (self.is_new(id), self.packed.contains_key(&id)),
            Unit::Blob(_) | Unit::Result(_) => (false, false),
        };
        is_new || has_touched || self.units.contains(&unit)
    }

    fn is_new(&self, segment: TimedId) -> bool {
        self.counts(Epoch::of(segment.moment(), self.epoch_length))
    }

    /// Offset and size of everything that is touched in a segment of which the rest need not stay.
    pub(crate) fn living(&self, segment: TimedId) -> Option<&HashMap<u32, u32>> {
        let as_a_whole = self.is_new(segment) || self.units.contains(&Unit::Segment(segment));
        self.packed.get(&segment).filter(|_| !as_a_whole)
    }

    /// Whether something of a segment was touched in a later epoch than this one.
    pub(crate) fn are_later(&self, segment: TimedId, epoch: Epoch) -> bool {
        self.latest.get(&segment).is_some_and(|latest| *latest > epoch)
    }

    /// Learns of every record that was stored before this was called.
    pub(crate) async fn read(&mut self, requests: &Requests, keys: &Keys) -> Result<(), StoreError> {
        let objects = requests.list(&keys.folder("touches"), None).await?;
        let new: Vec<(Epoch, TimedId, Path)> = objects
            .into_iter()
            .filter_map(|object| {
                let (epoch, id) = keys.touches_at(&object.location)?;
                (self.counts(epoch) && !self.read.contains(&id)).then_some((epoch, id, object.location))
            })
            .collect();
        let reads = new.into_iter().map(|(epoch, id, path)| async move {
            // One that has gone meanwhile was old to a collector that keeps less long.
            let touches = read_touches(requests, &path).await?.unwrap_or_default();
            Ok::<_, StoreError>((epoch, id, touches))
        });
        let mut reads = stream::iter(reads).buffer_unordered(RECORD_READS_MAX);
        while let Some((epoch, id, touches)) = reads.try_next().await? {
            for touch in touches {
                match touch {
                    Touch::Whole(unit) => drop(self.units.insert(unit)),
                    Touch::Packed {
                        segment,
                        offset,
                        size_bytes,
                    } => {
                        self.packed.entry(segment).or_default().insert(offset, size_bytes);
                        let latest = self.latest.entry(segment).or_insert(epoch);
                        *latest = epoch.max(*latest);
                    }
                }
            }
            self.read.insert(id);
        }
        Ok(())
    }
}
