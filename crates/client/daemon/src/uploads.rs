//! Results on their way to where they are kept: this machine's own cache, and the server. Nobody waits for them but the end
//! of a build.

use std::sync::Arc;
use std::time::Duration;

use action::ActionDigest;
use blob::{Blob, DigestSet};
use futures::{StreamExt, TryStreamExt};
use reapi::execution::ActionResult;
use remote_action::Server;
use tasks::Group;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::attempt::{Whole, kept};
use crate::limits::{
    FETCH_BYTES_PER_SECOND_MIN, FLUSH_WITHIN, PUTS_AT_ONCE, STORE_STALLS_FOR, WAITING_BYTES_MAX,
};
use crate::local_cache::LocalCache;
use crate::outages::is_of_one_blob;
use crate::plan::Plan;
use crate::service::{Part, Service};

/// What is under way.
pub(crate) struct Uploads {
    here: Option<Arc<LocalCache>>,
    room: Arc<Semaphore>,
    under_way: watch::Sender<usize>,
    tasks: Group,
}

/// A result to keep.
pub(crate) struct Upload {
    pub(crate) action: ActionDigest,
    pub(crate) result: ActionResult,
    /// What it refers to.
    pub(crate) blobs: Vec<Blob>,
    /// What the server gets besides.
    pub(crate) messages: Vec<Blob>,
    /// Whether the server has what it refers to.
    pub(crate) is_at_server: bool,
}

impl Uploads {
    /// `here` is this machine's own cache.
    pub(crate) fn new(here: Option<Arc<LocalCache>>, tasks: Group) -> Self {
        Uploads {
            here,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            under_way: watch::channel(0).0,
            tasks,
        }
    }

    /// Keeps it when there is time: here, and at the server if there is one. `false` if too much waits already: the result
    /// is then not kept.
    pub(crate) fn send(
        self: &Arc<Self>,
        service: &Arc<Service>,
        server: Option<Server>,
        upload: Upload,
    ) -> bool {
        let blobs = upload.blobs.iter().chain(&upload.messages);
        let bytes: u64 = blobs.map(|blob| blob.digest().size_bytes()).sum();
        // Permits are counted in 32 bits; the whole bound is far below.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(bytes) else {
            return false;
        };
        self.under_way.send_modify(|under_way| *under_way += 1);
        let (uploads, service) = (self.clone(), service.clone());
        self.tasks.spawn("upload of a result", async move {
            let here = uploads.here.clone();
            let _done = Done { uploads, _room: room };
            if let Some(here) = here {
                let blobs = upload.blobs.iter().filter_map(Blob::try_clone).collect();
                if let Err(error) = here.keep(&upload.action, upload.result.clone(), blobs).await {
                    tracing::debug!(
                        error = format!("{error:#}"),
                        "a result is not kept on this machine"
                    );
                }
            }
            let Some(server) = server else { return };
            // It takes nothing, as far as anybody knows: one now and then finds out whether it does again.
            let Ok(mut turn) = service.turn(Part::Keeping, false) else {
                return;
            };
            tokio::select! {
                stored = upload.within(&service, &server) => match stored {
                    Ok(()) => turn.does(),
                    Err(error) if is_of_one_blob(&error) => {
                        tracing::debug!(error = format!("{error:#}"), "a result is not stored");
                    }
                    Err(error) => turn.failed(format!("cannot store a result: {error:#}")),
                },
                // It will be made again one day; nobody waits for a server that has gone.
                () = service.down() => {}
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
    /// What a run on this machine has made, to be kept; or why it cannot be.
    pub(crate) fn of(plan: &Plan, whole: Whole) -> Result<Self, &'static str> {
        let (result, blobs) = kept(&plan.subject, whole)?;
        Ok(Upload {
            action: plan.subject.action_digest,
            result,
            blobs,
            messages: plan.messages(),
            is_at_server: false,
        })
    }

    /// As long as the server takes something, whoever it is from.
    async fn within(self, service: &Service, server: &Server) -> anyhow::Result<()> {
        // A blob that is in memory is tried again where it fails on the way, and so shows nothing before it is there.
        let largest = self.blobs.iter().map(|blob| blob.digest().size_bytes()).max();
        let of_largest = Duration::from_secs(largest.unwrap_or(0) / FETCH_BYTES_PER_SECOND_MIN);
        let up = &service.moves.up;
        up.while_moving(STORE_STALLS_FOR + of_largest, self.run(server))
            .await?
    }

    /// First what the result refers to, then the result.
    async fn run(self, server: &Server) -> anyhow::Result<()> {
        let of_result = self.blobs.into_iter().filter(|_| !self.is_at_server);
        let blobs: Vec<_> = of_result.chain(self.messages).collect();
        let digests: DigestSet = blobs.iter().map(Blob::digest).collect();
        if !digests.is_empty() {
            let missing = server.store.find_missing(&digests).await?;
            let missing = blobs.into_iter().filter(|blob| missing.contains(&blob.digest()));
            let puts = futures::stream::iter(missing).map(|blob| server.store.put(blob));
            puts.buffer_unordered(PUTS_AT_ONCE)
                .try_for_each(|_| std::future::ready(Ok(())))
                .await?;
        }
        let cache = server.remote.action_cache(server.instance.clone());
        Ok(cache.put(&self.action, self.result).await?)
    }
}
