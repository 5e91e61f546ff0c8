//! The journey of a download in chunks: ask for the list, take what is here, fetch the rest, prove the whole.

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, ByteRange, Digest, DigestSet};
use bytes::Bytes;
use cas::{BlobStore, Recipe, StoreError};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::limits::{CHUNK_DOWNLOADS_MAX, CHUNK_IN_MEMORY_BYTES_MAX, CHUNKED_BLOB_BYTES_MIN};
use crate::store::RemoteStore;

/// The blobs of a server, of which large ones are put together from chunks in `local` as far as it has them. Chunks
/// that had to be fetched are put there for the next time; that it can take them is not needed.
pub(crate) struct ChunkedDownloads {
    pub(crate) remote: RemoteStore,
    pub(crate) local: Arc<dyn BlobStore>,
}

#[async_trait]
impl BlobStore for ChunkedDownloads {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let is_large = digest.size_bytes() >= CHUNKED_BLOB_BYTES_MIN;
        if !is_large || !range.is_full(digest.size_bytes()) || !self.remote.manner().await?.splits {
            return self.remote.get(digest, range).await;
        }
        let recipe = match self.remote.split_blob(digest).await {
            Ok(Some(recipe)) if is_usable(&recipe) => recipe,
            Ok(_) => return self.remote.get(digest, range).await,
            Err(status) => {
                tracing::info!(%digest, %status, "the server did not split a blob; reading it as a whole");
                return self.remote.get(digest, range).await;
            }
        };
        let joining = Joining {
            chunks: self.fetch(recipe),
            remote: self.remote.clone(),
            digest: *digest,
            at: 0,
        };
        Ok(Some(Blob::checked(*digest, joining.stream()).into_stream()))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.remote.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.remote.find_missing(digests).await
    }
}

/// Worth it only for more than one chunk, and possible only for chunks that fit into memory.
fn is_usable(recipe: &Recipe) -> bool {
    let fits = |chunk: &Digest| chunk.size_bytes() <= CHUNK_IN_MEMORY_BYTES_MAX;
    recipe.chunks.len() > 1 && recipe.chunks.iter().all(fits)
}

impl ChunkedDownloads {
    /// The chunks in order, a few ahead of the reader. `None` for one that cannot be had.
    fn fetch(&self, recipe: Recipe) -> BoxStream<'static, Option<Bytes>> {
        let (local, remote) = (self.local.clone(), self.remote.clone());
        stream::iter(recipe.chunks)
            .map(move |chunk| {
                let (local, remote) = (local.clone(), remote.clone());
                async move {
                    if let Some(bytes) = read(&*local, &chunk).await {
                        return Some(bytes);
                    }
                    let bytes = read(&remote, &chunk).await?;
                    let kept = match Blob::verified(chunk, bytes.clone()) {
                        Ok(blob) => local.put(blob).await,
                        Err(error) => Err(error.into()),
                    };
                    if let Err(error) = kept {
                        tracing::debug!(%chunk, %error, "a chunk could not be kept for the next time");
                    }
                    Some(bytes)
                }
            })
            .buffered(CHUNK_DOWNLOADS_MAX)
            .boxed()
    }
}

/// Proven, whoever has it. A store that fails is as good as one that has nothing: there is another way.
async fn read(store: &dyn BlobStore, chunk: &Digest) -> Option<Bytes> {
    match cas::tree::read_all(store, chunk, CHUNK_IN_MEMORY_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::debug!(%chunk, %error, "a chunk could not be read");
            None
        }
    }
}

/// A download under way.
struct Joining {
    chunks: BoxStream<'static, Option<Bytes>>,
    remote: RemoteStore,
    digest: Digest,
    /// Bytes handed out.
    at: u64,
}

impl Joining {
    /// Chunk after chunk; from the first that cannot be had on, the rest of the whole.
    fn stream(self) -> BlobStream {
        let parts = stream::try_unfold(Some(self), |joining| async move {
            let Some(mut joining): Option<Joining> = joining else {
                return Ok::<_, BlobError>(None);
            };
            match joining.chunks.next().await {
                None => Ok(None),
                Some(Some(chunk)) => {
                    joining.at += chunk.len() as u64;
                    let part = stream::once(std::future::ready(Ok(chunk))).boxed();
                    Ok(Some((part, Some(joining))))
                }
                Some(None) => Ok(Some((joining.rest().await?, None))),
            }
        });
        parts.try_flatten().boxed()
    }

    async fn rest(self) -> Result<BlobStream, BlobError> {
        let Joining {
            remote, digest, at, ..
        } = self;
        let range = ByteRange {
            offset: at,
            limit: None,
        };
        match remote.get(&digest, range).await {
            Ok(Some(rest)) => Ok(rest),
            Ok(None) => Err(BlobError::Corrupt {
                digest,
                reason: "a chunk of it, and then all of it, went away while it was read".to_owned(),
            }),
            Err(StoreError::Blob(error)) => Err(error),
            Err(error) => Err(std::io::Error::other(error).into()),
        }
    }
}
