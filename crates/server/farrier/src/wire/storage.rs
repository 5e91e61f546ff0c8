//! The stores of one machine, and which instance sees which.

use std::path::PathBuf;
use std::sync::Arc;

use action_cache::{ActionCache, complete_only};
use anyhow::{Context, Result};
use blob::InstanceName;
use cas::{BlobStore, always_has_empty};
use cas_disk::{DiskOptions, Durability};
use cas_remote::{RemoteChannel, RemoteOptions};
use services::{Instance, Instances};

use super::bucket::{Bucket, BucketChoice};
use crate::byte_size::ByteSize;
use crate::data_directory::DataDirectory;
use crate::local_storage::LocalStorage;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) cas: ByteSize,
    pub(crate) action_cache: ByteSize,
    pub(crate) worker_cache: ByteSize,
}

/// What the stores are told beside their sizes.
#[derive(Clone, Debug, Default)]
pub(crate) struct StorageChoices {
    pub(crate) durability: Durability,
    /// Directories that blobs are spread over, beside the data directory.
    pub(crate) also: Vec<PathBuf>,
    /// A server to read from what is not here.
    pub(crate) upstream: Option<Upstream>,
    /// A bucket that keeps everything; the local disk then holds copies.
    pub(crate) bucket: Option<BucketChoice>,
    pub(crate) clients_may_update_action_cache: bool,
}

/// A server behind this one.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) instance: InstanceName,
}

/// An instance to serve, and the one whose results it reads beside its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceChoice {
    pub(crate) name: InstanceName,
    pub(crate) base: Option<InstanceName>,
}

/// Sizes that were not given: half of the free space for blobs up to 64 GiB, a quarter for the worker's copies up to
/// 16 GiB.
pub(crate) fn default_sizes(free_bytes: u64) -> Sizes {
    let share = |part: u64, max: u64| ByteSize((free_bytes / part).clamp(64 << 20, max));
    Sizes {
        cas: share(2, 64 << 30),
        action_cache: share(50, 1 << 30),
        worker_cache: share(4, 16 << 30),
    }
}

/// The stores, opened.
pub(crate) struct Storage {
    pub(crate) instances: Instances,
    /// No larger blob can be kept.
    pub(crate) blob_size_bytes_max: u64,
    pub(crate) local: LocalStorage,
    pub(crate) bucket: Option<Bucket>,
}

/// What lies behind the disk.
enum Behind {
    Nothing,
    Upstream {
        blobs: Arc<dyn BlobStore>,
        results: Arc<dyn ActionCache>,
    },
    Bucket(Bucket),
}

/// Opens the stores below the data directory. All instances share the blobs; each has its own results, and reads those
/// of its base.
pub(crate) async fn open(
    directory: &DataDirectory,
    sizes: Sizes,
    instances: &[InstanceChoice],
    choices: StorageChoices,
) -> Result<Storage> {
    let StorageChoices {
        durability,
        also,
        upstream,
        bucket,
        clients_may_update_action_cache,
    } = choices;
    let within = |size: ByteSize| DiskOptions {
        durability,
        ..DiskOptions::new(directory.storage(), size.0)
    };
    let mut blob_options = within(sizes.cas);
    blob_options.directories.extend(also);
    let stored = LocalStorage::open(blob_options, within(sizes.action_cache))?;
    let (blobs, results) = (stored.blobs.clone(), stored.results.clone());
    let behind = match (upstream, &bucket) {
        (Some(Upstream { url, instance }), _) => {
            let remote = RemoteChannel::connect(RemoteOptions::new(&url))
                .await
                .with_context(|| format!("cannot use {url} as upstream"))?;
            Behind::Upstream {
                blobs: remote.blob_store(instance.clone()),
                results: remote.action_cache(instance),
            }
        }
        (None, Some(choice)) => Behind::Bucket(Bucket::open(choice).await?),
        (None, None) => Behind::Nothing,
    };
    let local: Arc<dyn BlobStore> = blobs.clone();
    let cas = always_has_empty(match &behind {
        Behind::Nothing => local,
        Behind::Upstream { blobs, .. } => cas::pulled_through(local, blobs.clone()),
        Behind::Bucket(bucket) => cas::read_through(local, bucket.blobs()),
    });
    let own = |name: &InstanceName| -> Arc<dyn ActionCache> {
        match &behind {
            // Several servers share it, and a result may be replaced by any of them: nobody keeps copies.
            Behind::Bucket(bucket) => bucket.results_of(name),
            Behind::Nothing | Behind::Upstream { .. } => results.of(name),
        }
    };
    let instances = instances.iter().map(|choice| {
        let mut kept = own(&choice.name);
        if let Some(base) = &choice.base {
            kept = action_cache::overlaid(kept, own(base));
        }
        if let Behind::Upstream { results, .. } = &behind {
            kept = action_cache::pulled_through(kept, results.clone());
        }
        let instance = Instance {
            cas: cas.clone(),
            // Chunks are a matter of this machine's disk; what lies behind is fetched whole.
            recipes: match &behind {
                Behind::Nothing => Some(blobs.clone()),
                Behind::Upstream { .. } | Behind::Bucket(_) => None,
            },
            action_cache: complete_only(kept, cas.clone()),
            clients_may_update_action_cache,
        };
        (choice.name.clone(), instance)
    });
    let instances = instances.collect::<Instances>().with_leases(blobs.clone());
    Ok(Storage {
        instances,
        blob_size_bytes_max: blobs.size_bytes_max(),
        local: stored,
        bucket: match behind {
            Behind::Bucket(bucket) => Some(bucket),
            Behind::Nothing | Behind::Upstream { .. } => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_sizes_follow_the_free_space_within_bounds() {
        assert_eq!(default_sizes(20 << 30).cas.0, 10 << 30);
        assert_eq!(default_sizes(4 << 40).cas.0, 64 << 30);
        assert_eq!(default_sizes(0).cas.0, 64 << 20);
    }
}
