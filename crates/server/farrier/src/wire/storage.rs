//! The stores of one machine, and which instance sees which.

use std::sync::Arc;

use action_cache::complete_only;
use anyhow::{Context, Result};
use blob::InstanceName;
use cas::{BlobStore, always_has_empty};
use cas_disk::{DiskBlobStore, DiskOptions, DiskResults};
use services::{Instance, Instances};

use crate::byte_size::ByteSize;
use crate::data_directory::DataDirectory;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) cas: ByteSize,
    pub(crate) action_cache: ByteSize,
    pub(crate) worker_cache: ByteSize,
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
}

/// Opens the stores below the data directory. All instances share the blobs; each has its own action cache.
pub(crate) fn open(
    directory: &DataDirectory,
    sizes: Sizes,
    names: &[InstanceName],
    clients_may_update_action_cache: bool,
) -> Result<Storage> {
    let within = |size: ByteSize| DiskOptions::new(directory.storage(), size.0);
    let blobs = DiskBlobStore::open(within(sizes.cas)).context("cannot open the blob store")?;
    let blob_size_bytes_max = blobs.size_bytes_max();
    let cas: Arc<dyn BlobStore> = always_has_empty(blobs.clone());
    let results = DiskResults::open(within(sizes.action_cache)).context("cannot open the action cache")?;
    let instances = names.iter().map(|name| {
        let instance = Instance {
            cas: cas.clone(),
            recipes: Some(blobs.clone()),
            action_cache: complete_only(results.of(name), cas.clone()),
            clients_may_update_action_cache,
        };
        (name.clone(), instance)
    });
    Ok(Storage {
        instances: instances.collect::<Instances>().with_leases(blobs.clone()),
        blob_size_bytes_max,
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
