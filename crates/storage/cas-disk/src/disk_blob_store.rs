//! Blobs on disk.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use cas::{BlobStore, Hold, Invocation, Leases, Recipe, Recipes, SpliceError, StoreError};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::engine::{Engine, NewEntry};
use crate::read::{Form, Opened};
use crate::recipe::{self, CHUNKS_MAX, RECIPE_BYTES_MAX};
use crate::record::Kind;
use crate::{DiskOptions, OpenError, ScrubReport, Survey, Usage};

/// Recipes within recipes are followed so far: deeper ones are only made by somebody who wants to see what happens.
const RECIPE_DEPTH_MAX: usize = 4;
/// Blobs have no scope: instances share them.
const SCOPE: u64 = 0;

/// A [`BlobStore`] below `DIR/blobs`. See the crate's introduction for what survives what.
pub struct DiskBlobStore {
    engine: Arc<Engine>,
}

impl DiskBlobStore {
    /// Opens the store in its directories, or makes one there. Blocks while it reads what is there: about a second
    /// for ten million blobs, and a little more after the process was killed.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, OpenError> {
        let engine = Engine::open("blobs", options)?;
        Ok(Arc::new(DiskBlobStore { engine }))
    }

    #[cfg(test)]
    pub(crate) fn over(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(DiskBlobStore { engine })
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        self.engine.store.usage()
    }

    /// Bytes of the largest blob that it takes.
    pub fn size_bytes_max(&self) -> u64 {
        self.engine.store.sizes.blob_bytes_max
    }

    /// Reads everything once and compares it with its digests; see [`ScrubReport`]. `bytes_per_second` bounds what it
    /// takes from the disk; `so_far` hears of each segment that is done. Dropping the future ends it.
    pub async fn scrub(
        &self,
        bytes_per_second: Option<u64>,
        so_far: impl FnMut(ScrubReport),
    ) -> Result<ScrubReport, StoreError> {
        crate::scrub::scrub(&self.engine, bytes_per_second, so_far).await
    }

    /// What is here, by kind and age; `visit` gets the digest of every blob. Reads names only, no content.
    pub async fn survey(&self, visit: impl FnMut(&Digest)) -> Result<Survey, StoreError> {
        crate::survey::survey(&self.engine, visit).await
    }

    /// Finishes what is being written and stops; what is asked afterwards fails. Blocks a moment. A store that is not
    /// closed is as safe, and takes a little longer to open the next time.
    pub fn close(&self) {
        self.engine.close();
    }

    /// Those of `digests` that are missing, and the rest promised, chunks of recipes included.
    async fn promise(&self, digests: &[Digest], depth: usize) -> Result<Vec<Digest>, StoreError> {
        let promised = self.engine.store.promise(SCOPE, digests);
        let mut missing = promised.missing;
        for (digest, _) in promised.recipes {
            if depth == 0 || self.read_recipe(&digest, depth).await?.is_none() {
                missing.push(digest);
            }
        }
        Ok(missing)
    }

    /// The recipe of a blob that is known by one, if all its chunks are here; they are promised.
    async fn read_recipe(&self, digest: &Digest, depth: usize) -> Result<Option<Recipe>, StoreError> {
        let Some(opened) = self.engine.open_entry(SCOPE, digest).await? else {
            return Ok(None);
        };
        self.recipe_of(&opened, depth).await
    }

    async fn recipe_of(&self, opened: &Arc<Opened>, depth: usize) -> Result<Option<Recipe>, StoreError> {
        if opened.header.kind != Kind::Recipe {
            return Ok(None);
        }
        let Some(content) = self.engine.content(opened, RECIPE_BYTES_MAX).await? else {
            return Ok(None);
        };
        let recipe = match recipe::decode(opened.digest.function(), &content) {
            Ok(recipe) => recipe,
            Err(damage) => {
                self.engine.drop_opened(opened, &damage.0).await;
                return Ok(None);
            }
        };
        let missing = Box::pin(self.promise(&recipe.chunks, depth.saturating_sub(1))).await?;
        if let Some(first) = missing.first() {
            tracing::debug!(digest = %opened.digest, missing = missing.len(), %first, "a blob known in chunks has lost some");
            return Ok(None);
        }
        Ok(Some(recipe))
    }

    async fn read(
        &self,
        digest: &Digest,
        range: ByteRange,
        form: Form,
    ) -> Result<Option<BlobStream>, StoreError> {
        let Some(opened) = self.engine.open_entry(SCOPE, digest).await? else {
            return Ok(None);
        };
        let Some(range) = range.within(digest.size_bytes()) else {
            return Err(StoreError::OutOfRange {
                digest: *digest,
                offset: range.offset,
            });
        };
        match opened.header.kind {
            Kind::Blob => self.engine.stream(opened, range, form).await,
            Kind::Recipe => {
                let Some(recipe) = self.recipe_of(&opened, RECIPE_DEPTH_MAX).await? else {
                    return Ok(None);
                };
                Ok(Some(self.concatenated(&recipe.chunks, range, form)))
            }
            Kind::Result | Kind::Tombstone => {
                self.engine.drop_opened(&opened, "it is no blob").await;
                Ok(None)
            }
        }
    }

    /// A range of what chunks give, which have just been promised. Each is opened when its turn comes.
    fn concatenated(&self, chunks: &[Digest], range: std::ops::Range<u64>, form: Form) -> BlobStream {
        let engine = self.engine.clone();
        let invocation = Invocation::current();
        stream::iter(recipe::parts(chunks, range))
            .then(move |(chunk, part)| {
                let store = DiskBlobStore {
                    engine: engine.clone(),
                };
                let range = ByteRange {
                    offset: part.start,
                    limit: Some(part.end - part.start),
                };
                let opened = async move { store.read(&chunk, range, form).await };
                let opened = Invocation::scope(invocation.clone(), opened);
                async move {
                    match Box::pin(opened).await {
                        Ok(Some(stream)) => Ok(stream),
                        Ok(None) => Err(blob::BlobError::Corrupt {
                            digest: chunk,
                            reason: "this chunk of the blob has gone".to_owned(),
                        }),
                        Err(error) => Err(std::io::Error::other(error.to_string()).into()),
                    }
                }
            })
            .try_flatten()
            .boxed()
    }

    /// Checks that chunks are here and give `blob`.
    async fn check_recipe(&self, blob: &Digest, recipe: &Recipe) -> Result<(), SpliceError> {
        let too_large = |size_bytes_max| StoreError::TooLarge {
            digest: *blob,
            size_bytes_max,
        };
        if blob.size_bytes() > self.size_bytes_max() || recipe.chunks.len() > CHUNKS_MAX {
            return Err(too_large(self.size_bytes_max()).into());
        }
        let missing = self.promise(&recipe.chunks, RECIPE_DEPTH_MAX - 1).await?;
        if !missing.is_empty() {
            return Err(SpliceError::MissingChunks(missing.into_iter().collect()));
        }
        let size_bytes = recipe
            .chunks
            .iter()
            .try_fold(0u64, |sum, chunk| sum.checked_add(chunk.size_bytes()));
        let size_bytes = size_bytes.unwrap_or(u64::MAX);
        if size_bytes != blob.size_bytes() {
            let expected = *blob;
            return Err(StoreError::from(blob::BlobError::WrongSize { expected, size_bytes }).into());
        }
        let bytes = self.concatenated(&recipe.chunks, 0..size_bytes, Form::Plain);
        let mut checked = Blob::checked(*blob, bytes).into_stream();
        while let Some(piece) = checked.next().await {
            piece.map_err(StoreError::from)?;
        }
        Ok(())
    }
}

#[async_trait]
impl BlobStore for DiskBlobStore {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.read(digest, range, Form::Plain).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let size_bytes_max = self.size_bytes_max();
        if digest.size_bytes() > size_bytes_max {
            return Err(StoreError::TooLarge {
                digest,
                size_bytes_max,
            });
        }
        if self.promise(&[digest], RECIPE_DEPTH_MAX).await?.is_empty() {
            return Ok(());
        }
        let shared_bytes_max = self.engine.store.sizes.shared_bytes_max;
        if digest.size_bytes() > shared_bytes_max {
            return self.engine.put_solo(digest, blob.into_stream()).await;
        }
        let content = blob.into_bytes(shared_bytes_max).await?;
        let entry = NewEntry {
            key: self.engine.store.keys.of(SCOPE, &digest),
            kind: Kind::Blob,
            digest,
            scope: SCOPE,
            keep: true,
        };
        self.engine
            .append(entry, content, Some(self.engine.store.ticket()))
            .await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let missing = self.promise(digests.as_slice(), RECIPE_DEPTH_MAX).await?;
        Ok(missing.into_iter().collect())
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        self.read(digest, ByteRange { offset, limit: None }, Form::Zstd)
            .await
    }
}

#[async_trait]
impl Recipes for DiskBlobStore {
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError> {
        self.read_recipe(blob, RECIPE_DEPTH_MAX).await
    }

    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError> {
        // Known in chunks already: they have just been promised. One chunk that is the blob itself says nothing new.
        let is_itself = recipe.chunks == [*blob];
        if self.read_recipe(blob, RECIPE_DEPTH_MAX).await?.is_some() {
            return Ok(());
        }
        if is_itself && self.promise(&[*blob], 0).await?.is_empty() {
            return Ok(());
        }
        if is_itself {
            return Err(SpliceError::MissingChunks(DigestSet::from(*blob)));
        }
        self.check_recipe(blob, &recipe).await?;
        let entry = NewEntry {
            key: self.engine.store.keys.of(SCOPE, blob),
            kind: Kind::Recipe,
            digest: *blob,
            scope: SCOPE,
            keep: false,
        };
        let ticket = self.engine.store.ticket();
        self.engine
            .append(entry, recipe::encode(&recipe), Some(ticket))
            .await?;
        Ok(())
    }
}

impl Leases for DiskBlobStore {
    fn hold(&self, invocation: Option<&Invocation>) -> Hold {
        let Some(invocation) = invocation else {
            return Hold::nothing();
        };
        let store = self.engine.store.clone();
        let lease = store.leases.hold(invocation, store.now());
        Hold::of(Holding { store, lease })
    }
}

/// Ends a hold when dropped.
struct Holding {
    store: Arc<crate::store::Store>,
    lease: u64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.store.leases.release(self.lease, self.store.now());
    }
}

#[cfg(test)]
mod tests {
    use cas::conformance::{self, FreshRecipes};

    use super::*;

    /// Takes an entry out of the index, as eviction does.
    async fn lose(engine: Arc<Engine>, digest: Digest) {
        engine
            .store
            .index
            .remove_if(engine.store.keys.of(SCOPE, &digest), |_| true);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms_as_a_store_of_recipes() {
        let fresh = async || {
            let directory = tempfile::tempdir().expect("a directory for the test");
            let store =
                DiskBlobStore::open(DiskOptions::new(directory.path(), 256 << 20)).expect("it can be opened");
            let engine = store.engine.clone();
            FreshRecipes {
                store: store.clone(),
                recipes: store,
                lose: Box::new(move |digest| Box::pin(lose(engine.clone(), digest))),
                keep: Box::new(directory),
            }
        };
        conformance::check_recipes(fresh).await;
    }
}
