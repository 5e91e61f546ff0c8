//! Results of commands that ran here, on their way to the server. Nobody waits for them but the end of a build.

use std::sync::Arc;

use action::ActionDigest;
use blob::{Blob, DigestSet};
use reapi::execution::ActionResult;
use remote_action::Server;
use tasks::Group;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::limits::{FLUSH_WITHIN, WAITING_BYTES_MAX};
use crate::service::Service;

/// What is under way.
pub(crate) struct Uploads {
    room: Arc<Semaphore>,
    under_way: watch::Sender<usize>,
    tasks: Group,
}

/// A result and everything it refers to.
pub(crate) struct Upload {
    pub(crate) action: ActionDigest,
    pub(crate) result: ActionResult,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) bytes: usize,
}

impl Uploads {
    pub(crate) fn new(tasks: Group) -> Self {
        Uploads {
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            under_way: watch::channel(0).0,
            tasks,
        }
    }

    /// Sends it when there is time. `false` if too much waits already: the result is then not kept.
    pub(crate) fn send(self: &Arc<Self>, service: &Arc<Service>, server: Server, upload: Upload) -> bool {
        // Permits are counted in 32 bits; the whole bound is far below.
        let bytes = u32::try_from(upload.bytes).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(bytes) else {
            return false;
        };
        self.under_way.send_modify(|under_way| *under_way += 1);
        let (uploads, service) = (self.clone(), service.clone());
        self.tasks.spawn("upload of a result", async move {
            let _done = Done { uploads, _room: room };
            if let Err(error) = upload.run(&server).await {
                service.failed::<()>(&format!("cannot store a result: {error:#}"));
            }
        });
        true
    }

    /// Waits until nothing is under way any more, within bounds. What is left then.
    pub(crate) async fn flush(&self) -> usize {
        let mut under_way = self.under_way.subscribe();
        let none_left = under_way.wait_for(|under_way| *under_way == 0);
        let _left = timeout(FLUSH_WITHIN, none_left).await;
        *self.under_way.borrow()
    }
}

/// Gives back the room, whatever happens.
struct Done {
    uploads: Arc<Uploads>,
    _room: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.uploads.under_way.send_modify(|under_way| *under_way -= 1);
    }
}

impl Upload {
    /// First what the result refers to, then the result.
    async fn run(self, server: &Server) -> anyhow::Result<()> {
        let digests: DigestSet = self.blobs.iter().map(Blob::digest).collect();
        let missing = server.store.find_missing(&digests).await?;
        let missing = self
            .blobs
            .into_iter()
            .filter(|blob| missing.contains(&blob.digest()));
        futures::future::try_join_all(missing.map(|blob| server.store.put(blob))).await?;
        let cache = server.remote.action_cache(server.instance.clone());
        Ok(cache.put(&self.action, self.result).await?)
    }
}
