//! What has been touched, as a collector reads it.

use std::collections::HashSet;
use std::time::Duration;

use cas::StoreError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use crate::clock::{Epoch, Moment};
use crate::keys::{Keys, TimedId, Unit};
use crate::limits::RECORD_READS_MAX;
use crate::liveness::read_record;
use crate::requests::Requests;

/// Everything touched since a moment, about 60 bytes an object. Reading again reads only what is new.
pub(crate) struct Touches {
    since: Moment,
    epoch_length: Duration,
    units: HashSet<Unit>,
    read: HashSet<TimedId>,
}

impl Touches {
    pub(crate) fn since(since: Moment, epoch_length: Duration) -> Self {
        Touches {
            since,
            epoch_length,
            units: HashSet::new(),
            read: HashSet::new(),
        }
    }

    /// Whether touches of that epoch count: they are good until its end.
    pub(crate) fn counts(&self, epoch: Epoch) -> bool {
        epoch.end(self.epoch_length) > self.since
    }

    /// Whether a unit must stay. The id of a segment is its first touch.
    pub(crate) fn keep(&self, unit: Unit) -> bool {
        let is_new = match unit {
            Unit::Segment(id) => self.counts(Epoch::of(id.moment(), self.epoch_length)),
            Unit::Blob(_) | Unit::Result(_) => false,
        };
        is_new || self.units.contains(&unit)
    }

    /// Learns of every record that was stored before this was called.
    pub(crate) async fn read(&mut self, requests: &Requests, keys: &Keys) -> Result<(), StoreError> {
        let objects = requests.list(&keys.folder("touches"), None).await?;
        let new: Vec<(TimedId, Path)> = objects
            .into_iter()
            .filter_map(|object| {
                let (epoch, id) = keys.touches_at(&object.location)?;
                (self.counts(epoch) && !self.read.contains(&id)).then_some((id, object.location))
            })
            .collect();
        let reads = new.into_iter().map(|(id, path)| async move {
            // One that has gone meanwhile was old to a collector that keeps less long.
            let units = read_record(requests, &path).await?.unwrap_or_default();
            Ok::<_, StoreError>((id, units))
        });
        let mut reads = stream::iter(reads).buffer_unordered(RECORD_READS_MAX);
        while let Some((id, units)) = reads.try_next().await? {
            self.units.extend(units);
            self.read.insert(id);
        }
        Ok(())
    }
}
