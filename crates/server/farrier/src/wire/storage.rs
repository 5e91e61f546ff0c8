//! The stores of one machine, and which instance sees which.

use std::path::PathBuf;
use std::sync::Arc;

use action_cache::{ActionCache, complete_only};
use anyhow::{Context, Result};
use blob::InstanceName;
use cas::{BlobStore, Recipes, always_has_empty};
use cas_disk::{DiskOptions, Durability};
use cas_remote::RemoteChannel;
use services::{Instance, Instances};

use super::bucket::{Bucket, BucketChoice};
use super::peers::PeerArguments;
use super::shards::{ShardChoice, Shards};
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
    /// What the disk is not alone with.
    pub(crate) behind: Option<Backing>,
    /// How to speak to servers behind this one.
    pub(crate) peers: PeerArguments,
    /// Keeps a share for other farriers: what a result refers to may lie with another one.
    pub(crate) is_shard: bool,
    pub(crate) clients_may_update_action_cache: bool,
}

/// What may lie behind the disk, as it is chosen.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// A server to read from what is not here.
    Upstream(Upstream),
    /// A bucket that keeps everything; the local disk then holds copies.
    Bucket(BucketChoice),
    /// Farriers that keep everything between them; the local disk then holds copies.
    Shards(Vec<ShardChoice>),
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
    pub(crate) shards: Option<Arc<Shards>>,
}

/// What lies behind the disk.
enum Behind {
    Nothing,
    Upstream {
        blobs: Arc<dyn BlobStore>,
        results: Arc<dyn ActionCache>,
    },
    Bucket(Bucket),
    Shards(Arc<Shards>),
}

/// Memory for lists of chunks of blobs that lie behind the disk; 64 bytes a chunk.
const CHUNK_LIST_BYTES_MAX: u64 = 32 << 20;

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
        behind,
        peers,
        is_shard,
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
    let behind = match behind {
        Some(Backing::Upstream(Upstream { url, instance })) => {
            let remote = RemoteChannel::connect(peers.options(&url)?)
                .await
                .with_context(|| format!("cannot use {url} as upstream"))?;
            Behind::Upstream {
                blobs: remote.blob_store(instance.clone()),
                results: remote.action_cache(instance),
            }
        }
        Some(Backing::Bucket(choice)) => Behind::Bucket(Bucket::open(&choice).await?),
        Some(Backing::Shards(choices)) => {
            let name = instances.first().map(|choice| choice.name.clone());
            Behind::Shards(Arc::new(Shards::open(
                &choices,
                &name.unwrap_or_default(),
                &peers,
            )?))
        }
        None => Behind::Nothing,
    };
    let local: Arc<dyn BlobStore> = blobs.clone();
    let cas = always_has_empty(match &behind {
        Behind::Nothing => local,
        Behind::Upstream { blobs, .. } => cas::pulled_through(local, blobs.clone()),
        Behind::Bucket(bucket) => cas::read_through(local, bucket.blobs()),
        Behind::Shards(shards) => cas::read_through(local, shards.blobs()),
    });
    let recipes: Arc<dyn Recipes> = match &behind {
        Behind::Nothing => blobs.clone(),
        // Whoever else reads there knows no lists of ours.
        Behind::Upstream { .. } | Behind::Bucket(_) | Behind::Shards(_) => {
            cas::spelled_out(cas.clone(), CHUNK_LIST_BYTES_MAX)
        }
    };
    let own = |name: &InstanceName| -> Arc<dyn ActionCache> {
        match &behind {
            // Several servers share it, and a result may be replaced by any of them: nobody keeps copies.
            Behind::Bucket(bucket) => bucket.results_of(name),
            Behind::Shards(shards) => shards.results_of(name),
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
            recipes: Some(recipes.clone()),
            // Whoever spreads results over shards asks all of them for what a result needs.
            action_cache: match is_shard {
                true => kept,
                false => complete_only(kept, cas.clone()),
            },
            actions_are_elsewhere: is_shard,
            clients_may_update_action_cache,
        };
        (choice.name.clone(), instance)
    });
    let instances = instances.collect::<Instances>().with_leases(blobs.clone());
    let (bucket, shards) = match behind {
        Behind::Bucket(bucket) => (Some(bucket), None),
        Behind::Shards(shards) => (None, Some(shards)),
        Behind::Nothing | Behind::Upstream { .. } => (None, None),
    };
    Ok(Storage {
        instances,
        blob_size_bytes_max: blobs.size_bytes_max(),
        local: stored,
        bucket,
        shards,
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
