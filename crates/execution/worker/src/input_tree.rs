//! All directories of an input root, from memory where they were seen before.

use std::sync::Arc;

use blob::{Digest, DigestSet};
use cas::{BlobStore, Lru, StoreError};
use futures::stream::StreamExt;
use merkle::{Directory, DirectoryError, InputTree, Walk, WalkError};
use parking_lot::Mutex;
use thiserror::Error;

use crate::fetch::Fetcher;
use crate::limits::{DIRECTORY_BYTES_MAX, DIRECTORY_CACHE_BYTES_MAX};

/// Decoded `Directory` messages by digest, least recently used dropped first, so that an input root of which most
/// directories were seen before costs round trips only for the rest, and an unchanged one none.
pub(crate) struct DirectoryCache {
    directories: Mutex<Lru<Digest, Arc<Directory>>>,
    fetcher: Fetcher,
}

/// Why an input root cannot be collected. What is missing is not an error but part of the tree.
#[derive(Debug, Error)]
pub(crate) enum InputTreeError {
    /// The client uploaded something that is not a canonical directory (E26).
    #[error("input directory {digest} is invalid: {source}")]
    Directory {
        digest: Digest,
        source: Box<DirectoryError>,
    },
    /// Too large for one message.
    #[error("input directory {digest} is larger than the {DIRECTORY_BYTES_MAX} bytes that are taken")]
    TooLarge { digest: Digest },
    /// Too deep, too many.
    #[error("input root: {0}")]
    Walk(#[from] WalkError),
    /// The store failed.
    #[error("fetching input directories: {0}")]
    Store(#[from] StoreError),
}

impl DirectoryCache {
    pub(crate) fn new(fetcher: Fetcher) -> Self {
        DirectoryCache {
            directories: Mutex::new(Lru::new()),
            fetcher,
        }
    }

    /// Collects the tree under `root`, one round of fetches per level that is not known yet. Directories that the
    /// store does not have are in [`InputTree::missing`].
    pub(crate) async fn collect(
        &self,
        store: &dyn BlobStore,
        root: Digest,
    ) -> Result<InputTree, InputTreeError> {
        let mut walk = Walk::new(root);
        // Ends: the walk bounds its directories, and every round answers all that is wanted.
        while !walk.is_done() {
            let unknown = self.supply_known(&mut walk)?;
            let mut arriving = std::pin::pin!(self.fetcher.fetch_many(store, unknown, |digest| *digest));
            while let Some(fetched) = arriving.next().await {
                let fetched = fetched?;
                let digest = fetched.of;
                match &fetched.bytes {
                    None => walk.missing(digest)?,
                    Some(bytes) => {
                        let directory = Directory::decode(digest.function(), bytes);
                        let directory = Arc::new(directory.map_err(|source| InputTreeError::Directory {
                            digest,
                            source: Box::new(source),
                        })?);
                        self.remember(digest, &directory);
                        walk.supply(digest, directory)?;
                    }
                }
            }
        }
        Ok(walk.finish()?)
    }

    /// Answers what is wanted from memory; returns the rest.
    fn supply_known(&self, walk: &mut Walk) -> Result<Vec<Digest>, InputTreeError> {
        let wanted: DigestSet = walk.wanted();
        let mut unknown = Vec::new();
        let mut directories = self.directories.lock();
        for digest in wanted {
            match directories.get(&digest) {
                Some(directory) => walk.supply(digest, directory.clone())?,
                None if digest.size_bytes() > DIRECTORY_BYTES_MAX => {
                    return Err(InputTreeError::TooLarge { digest });
                }
                None => unknown.push(digest),
            }
        }
        Ok(unknown)
    }

    fn remember(&self, digest: Digest, directory: &Arc<Directory>) {
        let mut directories = self.directories.lock();
        directories.insert(digest, directory.clone(), digest.size_bytes());
        while directories.weight() > DIRECTORY_CACHE_BYTES_MAX && directories.pop_oldest().is_some() {}
    }
}
