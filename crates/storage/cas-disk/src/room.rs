//! Room that was made for a large blob, from when it was made until it is a segment or comes to nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;

use crate::segment::file_name;
use crate::store::Store;
use crate::volume::Volume;

/// Gives the room back, and takes the file away, when dropped: wherever an upload ends, in a queue or on the way back
/// from the writer too, nothing of it is counted any more. [`take`](Self::take) ends that.
pub(crate) struct Room {
    store: Arc<Store>,
    taken: Option<TakenRoom>,
    has_file: bool,
}

/// Room whose books are kept by whoever holds it.
pub(crate) struct TakenRoom {
    /// Of the segment to be.
    pub(crate) number: u64,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) bytes: u64,
}

const NOT_TAKEN: &str = "only `take` takes it, and that ends the value";

impl Room {
    pub(crate) fn new(store: Arc<Store>, number: u64, volume: Arc<dyn Volume>, bytes: u64) -> Self {
        Room {
            store,
            taken: Some(TakenRoom {
                number,
                volume,
                bytes,
            }),
            has_file: false,
        }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn volume(&self) -> &Arc<dyn Volume> {
        &self.taken.as_ref().expect(NOT_TAKEN).volume
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.taken.as_ref().expect(NOT_TAKEN).bytes
    }

    /// What the file is called.
    pub(crate) fn name(&self) -> String {
        file_name(self.taken.as_ref().expect(NOT_TAKEN).number)
    }

    /// For errors and logs.
    pub(crate) fn path(&self) -> String {
        self.volume().path().join(self.name()).display().to_string()
    }

    /// From now on there is a file to be taken away.
    pub(crate) fn has_file(&mut self) {
        self.has_file = true;
    }

    /// Hands the room over with its books.
    pub(crate) fn take(mut self) -> TakenRoom {
        self.taken.take().expect(NOT_TAKEN)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(room) = self.taken.take() else { return };
        let (store, has_file) = (self.store.clone(), self.has_file);
        let remove = move || {
            let name = file_name(room.number);
            if has_file && let Err(error) = room.volume.remove(&name) {
                let path = room.volume.path().join(&name);
                tracing::warn!(path = %path.display(), %error, "cannot remove an unfinished blob; the next start will");
            }
            store
                .counters
                .released_bytes
                .fetch_add(room.bytes, Ordering::Relaxed);
        };
        // Removing a large file takes the kernel a while; whoever drops an upload may be serving others.
        match Handle::try_current() {
            Ok(runtime) if has_file => drop(runtime.spawn_blocking(remove)),
            _ => remove(),
        }
    }
}
