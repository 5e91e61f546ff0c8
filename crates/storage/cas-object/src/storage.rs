//! The parts of a store, put together.

use std::sync::Arc;

use action_cache::ActionCache;
use blob::InstanceName;
use cas::{BlobStore, StoreError};
use object_store::path::Path;
use object_store::{ObjectStore, PutPayload};

use crate::clock::{Clock, Epoch};
use crate::collect::Collector;
use crate::keys::{Keys, TimedId};
use crate::large::Large;
use crate::limits::{CLOSE_PATIENCE, PART_BYTES_MIN};
use crate::liveness::Liveness;
use crate::location::locate;
use crate::options::{OpenError, Options};
use crate::packer::{Packer, Shelf};
use crate::record;
use crate::requests::{Refusal, Requests};
use crate::segments::Segments;
use crate::small::Small;
use crate::statistics::{Counters, Statistics};
use crate::store::{ObjectActionCache, ObjectBlobStore};

/// A bucket, opened. Its parts may be used as long as any of them is held.
pub struct ObjectStorage {
    /// Its blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The action results of the unnamed instance.
    pub action_cache: Arc<dyn ActionCache>,
    /// Removes what is not used. Somebody has to call it, one process for each bucket is enough.
    pub collector: Collector,
    pub(crate) results: ObjectActionCache,
    segments: Arc<Segments>,
    counters: Arc<Counters>,
    group: tasks::Group,
}

/// Opens `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; for tests also `file:///directory` and
/// `memory:///`. Reads the index of every segment, so the time it takes grows with their number.
///
/// Many processes may have one bucket open, under the same prefix and with the same [`Options::epoch`].
///
/// First lists, writes, reads and removes something there, so that a bucket that cannot be used is told now.
pub async fn open(url: &str, options: Options) -> Result<ObjectStorage, OpenError> {
    let (store, prefix) = locate(url, &options)?;
    try_out(url, store.clone(), prefix.clone(), &options).await?;
    over(store, prefix, Clock::system(), options)
        .await
        .map_err(|source| OpenError::Store {
            url: url.to_owned(),
            source: Box::new(source),
        })
}

/// What is written is a record of touches that names nothing: should it stay, a collection takes it for what it is.
async fn try_out(
    url: &str,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    options: &Options,
) -> Result<(), OpenError> {
    let keys = Keys::below(prefix);
    let requests = Requests::new(
        store,
        options.requests_in_flight_max,
        options.conditional_put,
        Arc::default(),
    );
    let now = Clock::system().now();
    let path = keys.touches(Epoch::of(now, options.epoch), TimedId::new(now));
    let payload = PutPayload::from(record::encode(&[]));
    let refused = requests.try_out(&keys.folder("segments"), &path, &payload).await;
    let Err(Refusal {
        doing,
        advice,
        said,
        passes,
    }) = refused
    else {
        return Ok(());
    };
    let url = url.to_owned();
    Err(match passes {
        false => OpenError::Refused {
            url,
            doing,
            advice,
            said,
        },
        true => OpenError::Store {
            url,
            source: Box::new(StoreError::Unavailable {
                reason: format!("{said}; {advice}"),
            }),
        },
    })
}

/// As [`open`], over an object store and a clock of the caller's, without trying it out. Of the options, those that say how a cloud is reached
/// do not matter then.
pub async fn over(
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    clock: Clock,
    options: Options,
) -> Result<ObjectStorage, StoreError> {
    let Options {
        credentials: _,
        endpoint: _,
        region: _,
        path_style: _,
        allow_http: _,
        conditional_put,
        connect_timeout: _,
        request_timeout: _,
        requests_in_flight_max,
        upload_bytes_max,
        refresh_interval,
        epoch,
        collection_grace,
    } = options;
    let group = tasks::Group::new("object storage");
    let keys = Keys::below(prefix);
    let counters = Arc::new(Counters::default());
    let requests = Arc::new(Requests::new(
        store,
        requests_in_flight_max,
        conditional_put,
        counters.clone(),
    ));
    let segments = Arc::new(Segments::new(
        requests.clone(),
        keys.clone(),
        clock.clone(),
        epoch,
        refresh_interval,
    ));
    segments.refresh().await?;
    let liveness = Arc::new(Liveness::start(
        requests.clone(),
        keys.clone(),
        clock.clone(),
        epoch,
        &group,
    ));
    let shelf = Shelf {
        requests: requests.clone(),
        keys: keys.clone(),
        clock: clock.clone(),
        segments: segments.clone(),
        liveness: liveness.clone(),
    };
    let small = Small {
        requests: requests.clone(),
        keys: keys.clone(),
        liveness: liveness.clone(),
        segments: segments.clone(),
        packer: Packer::start(shelf, &group),
    };
    let large = Large::new(
        requests.clone(),
        keys.clone(),
        liveness.clone(),
        upload_bytes_max.max(2 * PART_BYTES_MIN as u32),
        group.clone(),
    );
    let results = ObjectActionCache {
        requests: requests.clone(),
        keys: keys.clone(),
        liveness,
        instance: InstanceName::default(),
    };
    Ok(ObjectStorage {
        blobs: Arc::new(ObjectBlobStore { small, large }),
        action_cache: Arc::new(results.clone()),
        results,
        collector: Collector::new(requests, keys, epoch, collection_grace),
        segments,
        counters,
        group,
    })
}

impl ObjectStorage {
    /// The action results of an instance: each has its own.
    pub fn results_of(&self, instance: &InstanceName) -> Arc<dyn ActionCache> {
        Arc::new(ObjectActionCache {
            instance: instance.clone(),
            ..self.results.clone()
        })
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Statistics {
        let (segments, packed_blobs) = self.segments.known();
        self.counters.snapshot(segments, packed_blobs)
    }

    /// Stores what is on its way and ends the tasks behind it. What is asked of it afterwards is refused where it
    /// would have to be written. Whether all ended in time. Dropping it instead ends the tasks too, unwatched.
    pub async fn close(&self) -> bool {
        self.group.shut_down(CLOSE_PATIENCE).await
    }
}
