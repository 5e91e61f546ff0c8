//! Results on this machine's own disk: what was done or fetched here before needs nobody else.
//!
//! It may forget at any time, and it may not be there at all; whatever is wrong with it is a miss.

use std::path::PathBuf;
use std::sync::Arc;

use action::ActionDigest;
use action_cache::ActionCache;
use anyhow::{Context, Result};
use blob::{Blob, Digest, InstanceName};
use cas::BlobStore;
use cas_disk::{DiskActionCache, DiskBlobStore, DiskOptions, DiskResults, Durability};
use futures::{StreamExt, TryStreamExt};
use reapi::execution::ActionResult;
use serde_json::{Value, json};

use crate::attempt::{Fetched, fetch};
use crate::limits::PUTS_AT_ONCE;
use crate::plan::Subject;
use crate::service::FUNCTION;

/// Where, and how much.
#[derive(Clone, Debug)]
pub struct LocalCacheOptions {
    /// The directory; made if it is not there. For one daemon at a time.
    pub directory: PathBuf,
    /// Most bytes on disk.
    pub capacity_bytes: u64,
}

/// What the cache holds, for whoever shows it to others.
#[derive(Clone)]
pub struct Kept {
    /// Its blobs.
    pub blobs: Arc<DiskBlobStore>,
    /// The results of one server and instance.
    pub results: Arc<dyn ActionCache>,
}

/// The cache. Results of different servers never meet: who trusts one need not trust another.
pub(crate) struct LocalCache {
    blobs: Arc<DiskBlobStore>,
    all_results: Arc<DiskResults>,
    results: Arc<DiskActionCache>,
}

impl LocalCache {
    /// `server` stands for the server and its instance.
    pub(crate) fn open(options: &LocalCacheOptions, server: &str) -> Result<Self> {
        let mut disk = DiskOptions::new(&options.directory, options.capacity_bytes);
        // A cache that loses its last second with the machine is as good as one that does not.
        disk.durability = Durability::Process;
        let of = format!("client/{}", Digest::of(FUNCTION, server.as_bytes()).hash_hex());
        let all_results =
            DiskResults::open(disk.clone()).context("cannot open the results of this machine")?;
        Ok(LocalCache {
            blobs: DiskBlobStore::open(disk).context("cannot open the blobs of this machine")?,
            results: all_results.of(&InstanceName::new(&of)?),
            all_results,
        })
    }

    /// The known result of a command that ended well, or of any where failures are taken.
    pub(crate) async fn result(&self, subject: &Subject, takes_failures: bool) -> Option<ActionResult> {
        let known = self.results.get(&subject.action_digest).await;
        let known = known.unwrap_or_else(|error| {
            tracing::debug!(step = subject.name, %error, "a result of this machine cannot be read");
            None
        });
        // Others may write here too, what has failed as well (`farrier daemon start --listen`).
        known.filter(|result| takes_failures || result.exit_code == 0)
    }

    /// The same with everything that it refers to.
    pub(crate) async fn known(&self, subject: &Subject, takes_failures: bool) -> Option<Fetched> {
        let known = async {
            let Some(result) = self.result(subject, takes_failures).await else {
                return anyhow::Ok(None);
            };
            let mut fetched = fetch(&*self.blobs, subject, result).await?;
            if let Some(fetched) = &mut fetched {
                // It was here.
                fetched.fetched_bytes = 0;
            }
            Ok(fetched)
        };
        known.await.unwrap_or_else(|error| {
            // Evicted, as a rule.
            tracing::debug!(step = subject.name, %error, "a result of this machine cannot be had");
            None
        })
    }

    /// Keeps a result, and first of all what it refers to.
    pub(crate) async fn keep(
        &self,
        action: &ActionDigest,
        result: ActionResult,
        blobs: Vec<Blob>,
    ) -> Result<()> {
        let puts = futures::stream::iter(blobs).map(|blob| self.blobs.put(blob));
        puts.buffer_unordered(PUTS_AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(self.results.put(action, result).await?)
    }

    /// What it holds, to be shown to others.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            blobs: self.blobs.clone(),
            results: self.results.clone(),
        }
    }

    /// What it holds, for people.
    pub(crate) fn usage(&self) -> Value {
        let usage = self.blobs.usage();
        json!({
            "blobs": usage.blobs,
            "bytes": usage.bytes,
            "capacity_bytes": usage.capacity_bytes,
            "results": self.all_results.usage().blobs,
        })
    }

    /// Finishes what is being written. Nothing is taken afterwards.
    pub(crate) fn close(&self) {
        self.blobs.close();
        self.all_results.close();
    }
}
