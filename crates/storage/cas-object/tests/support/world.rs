//! A bucket in memory and a clock that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cas_object::{Clock, Collected, ObjectStorage, Options, over};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const KEEP: Duration = Duration::from_secs(24 * 3600);

/// A bucket in memory and a clock.
pub(crate) struct World {
    pub(crate) store: Arc<InMemory>,
    seconds: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new() -> Self {
        World {
            store: Arc::new(InMemory::new()),
            seconds: Arc::new(AtomicU64::new(2_000_000_000)),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    /// Until an epoch has just begun.
    pub(crate) fn pass_to_an_epoch(&self) {
        let hour = HOUR.as_secs();
        let into = self.seconds.load(Ordering::SeqCst) % hour;
        self.pass(Duration::from_secs(hour - into));
    }

    pub(crate) async fn open(&self) -> ObjectStorage {
        self.open_over(self.store.clone()).await
    }

    pub(crate) async fn open_over(&self, store: Arc<dyn ObjectStore>) -> ObjectStorage {
        let seconds = self.seconds.clone();
        let clock = Clock::of(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)));
        let options = Options {
            refresh_interval: Duration::ZERO,
            epoch: HOUR,
            collection_grace: HOUR,
            ..Options::default()
        };
        over(store, Path::from("x"), clock, options).await.unwrap()
    }

    pub(crate) async fn collect(&self, storage: &ObjectStorage) -> Collected {
        storage.collector.collect(self.now(), KEEP).await.unwrap()
    }

    pub(crate) async fn objects(&self, folder: &str) -> Vec<Path> {
        let folder = Path::from(format!("x/{folder}"));
        let objects: Vec<_> = self.store.list(Some(&folder)).try_collect().await.unwrap();
        objects.into_iter().map(|object| object.location).collect()
    }
}
