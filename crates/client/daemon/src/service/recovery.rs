//! How a server that is down comes up again: somebody asks it for what failed, and nobody waits for that. And how it is noticed
//! that it has gone while nobody asks it for anything.

use std::sync::Arc;

use action::ActionDigest;
use anyhow::{Result, bail};
use blob::{ByteRange, Digest};
use futures::TryStreamExt;
use remote_action::Server;
use tokio::time::{Instant, sleep, timeout};

use super::{Caller, FUNCTION, Service};
use crate::breaker::{Breaker, Deed, Event};
use crate::limits::{CONNECT_WITHIN, FETCH_STALLS_FOR, LOOKUP_WITHIN, PROBE_AFTER_MIN, WATCH_EVERY};
use crate::outages::is_silence;

/// In the place of a build.
const PROBE: &str = "probe";

impl Service {
    /// Asks until there is an answer.
    pub(super) async fn recover(self: Arc<Self>) {
        let stopping = self.tasks.stopping();
        loop {
            let (wait, deed) = match *self.breaker.borrow() {
                down @ Breaker::Down(outage) => (down.wait().unwrap_or_default(), outage.deed),
                Breaker::Up(_) => return,
                // Ours, of which nothing came.
                Breaker::Trial(outage) => (PROBE_AFTER_MIN, outage.deed),
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(wait) => {}
            }
            self.change(Event::Waited);
            match self.probe(deed).await {
                // Unless somebody has found it down again meanwhile: then it goes on.
                Ok(()) => {
                    self.change(Event::Did(deed));
                    if self.is_up() {
                        tracing::info!(endpoint = self.options.endpoint, "the server is back");
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "the server is still down");
                    self.change(Event::Failed(deed));
                }
            }
        }
    }

    /// Asks for something of each kind that builds wait for, and for what has failed, as they would have to wait for it.
    async fn probe(&self, deed: Deed) -> Result<()> {
        let token = self.token.get().await?;
        let caller = Caller {
            build: PROBE.to_owned(),
            ..Caller::default()
        };
        let server = timeout(CONNECT_WITHIN, self.connect(&caller, token)).await??;
        timeout(LOOKUP_WITHIN, server.remote.capabilities(&server.instance)).await??;
        look_up(&server).await?;
        let withheld = *self.withheld.lock();
        match withheld.filter(|_| deed == Deed::Fetch) {
            Some(digest) => match first_piece(&server, &digest).await {
                // It may be gone, or not be what it was, or be what the server cannot read: that is an answer.
                Err(error) if is_silence(&error) => Err(error),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Looks now and then whether the server is still there, for those who wait for it for long; never ends. If it is not, it is
    /// down from then on. Of many who wait, one looks.
    pub(crate) async fn watch(self: &Arc<Self>, server: &Server) {
        loop {
            let begun = Instant::now();
            sleep(WATCH_EVERY).await;
            let Ok(_one) = self.watching.try_acquire() else {
                continue;
            };
            if self.moves.down.still(begun) >= WATCH_EVERY
                && self.noted(Deed::Lookup, look_up(server).await).is_ok()
            {
                self.moves.down.tick();
            }
        }
    }
}

/// Asks for a result that nobody has.
async fn look_up(server: &Server) -> Result<()> {
    let cache = server.remote.action_cache(server.instance.clone());
    match timeout(LOOKUP_WITHIN, cache.get(&ActionDigest::new(nobodys()))).await {
        Ok(answered) => Ok(answered.map(|_known| ())?),
        Err(_elapsed) => bail!("no answer within {LOOKUP_WITHIN:?}"),
    }
}

/// The beginning of a blob.
async fn first_piece(server: &Server, digest: &Digest) -> Result<()> {
    let reading = async {
        if let Some(mut stream) = server.store.get(digest, ByteRange::FULL).await? {
            stream.try_next().await?;
        }
        Ok(())
    };
    timeout(FETCH_STALLS_FOR, reading).await?
}

fn nobodys() -> Digest {
    Digest::of(FUNCTION, b"what nobody has ever made")
}
