//! The journey of an upload in chunks, as Bazel makes it (checklist K5): cut, ask what is missing, send that, splice.

use std::collections::BTreeMap;

use blob::{Blob, BlobError, BlobStream, Body, ByteRange, Digest, DigestSet};
use bytes::Bytes;
use cas::{BlobStore, ChunkingFunction, Recipe, StoreError};
use chunking::{Chunker, Chunking};
use futures::stream::{self, StreamExt, TryStreamExt};
use tonic::{Code, Status};

use crate::capabilities::Manner;
use crate::limits::{CHUNK_UPLOADS_MAX, CHUNK_WINDOW_BYTES, CHUNKED_BLOB_BYTES_MIN, RECIPE_CHUNKS_MAX};
use crate::store::RemoteStore;

/// What cuts a blob of this size on its way to a server of this manner; `None` if it goes as a whole.
pub(crate) fn is_chunked(manner: &Manner, size_bytes: u64) -> Option<Chunking> {
    manner.chunking.filter(|chunking| {
        size_bytes >= CHUNKED_BLOB_BYTES_MIN
            && chunking.applies_to(size_bytes)
            // However it is cut, all chunks can be named in one call. Known before the first byte is sent, because a
            // stream cannot be started again.
            && size_bytes / chunking.chunk_bytes_min() as u64 + 1 < RECIPE_CHUNKS_MAX
    })
}

/// Uploads a blob in chunks, and as a whole if the server will not splice them. At most [`CHUNK_WINDOW_BYTES`] and what
/// the cutter holds are in memory at a time, beside bytes that were there before.
pub(crate) async fn upload(store: &RemoteStore, chunking: Chunking, blob: Blob) -> Result<(), StoreError> {
    let digest = blob.digest();
    let (source, whole) = match blob.into_body() {
        Body::Bytes(bytes) => (of_bytes(bytes.clone()), Some(bytes)),
        Body::Stream(source) => (source, None),
    };
    let recipe = Recipe {
        chunks: send_missing(store, digest, chunking, source).await?,
        chunking_function: match chunking {
            Chunking::FastCdc2020(_) => ChunkingFunction::FastCdc2020,
            Chunking::RepMaxCdc(_) => ChunkingFunction::RepMaxCdc,
        },
    };
    let Err(status) = store.splice_blob(&digest, &recipe).await else {
        return Ok(());
    };
    refused(store, &digest, &status);
    let body = match whole {
        Some(bytes) => Body::Bytes(bytes),
        // The source has been read; its bytes are on the server, if anywhere.
        None => Body::Stream(read_back(store, digest, &recipe)),
    };
    store.write_whole(digest, body).await
}

fn refused(store: &RemoteStore, digest: &Digest, status: &Status) {
    tracing::info!(%digest, %status, "the server did not make a blob of its chunks; sending it as a whole");
    if status.code() == Code::Unimplemented {
        // It will say so of every blob, whatever its capabilities promise.
        store.stop_chunking();
    }
}

/// Pieces that are windows of the same memory: nothing is copied.
fn of_bytes(bytes: Bytes) -> BlobStream {
    stream::once(std::future::ready(Ok(bytes))).boxed()
}

/// Cuts, and sends every chunk that the server lacks. Returns all chunks in order, once the source has proven whole.
async fn send_missing(
    store: &RemoteStore,
    digest: Digest,
    chunking: Chunking,
    mut source: BlobStream,
) -> Result<Vec<Digest>, StoreError> {
    let (mut chunker, mut chunks) = (Chunker::new(chunking), Vec::new());
    let (mut window, mut window_bytes) = (BTreeMap::new(), 0);
    loop {
        let piece = source.try_next().await?;
        let is_last = piece.is_none();
        match piece {
            Some(piece) => chunker.push(piece),
            None => chunker.finish(),
        }
        while let Some(chunk) = chunker.take() {
            let chunk_digest = Digest::of(digest.function(), &chunk);
            chunks.push(chunk_digest);
            let size_bytes = chunk.len();
            if window.insert(chunk_digest, chunk).is_none() {
                window_bytes += size_bytes;
            }
            // Cutting and hashing one chunk is as long as a thread is kept.
            tokio::task::yield_now().await;
            if window_bytes >= CHUNK_WINDOW_BYTES {
                send_window(store, std::mem::take(&mut window)).await?;
                window_bytes = 0;
            }
        }
        if is_last {
            send_window(store, window).await?;
            return Ok(chunks);
        }
    }
}

async fn send_window(store: &RemoteStore, mut window: BTreeMap<Digest, Bytes>) -> Result<(), StoreError> {
    let asked: DigestSet = window.keys().copied().collect();
    let missing = store.find_missing(&asked).await?;
    window.retain(|digest, _| missing.contains(digest));
    // Hashed a moment ago, by ourselves.
    let uploads = window
        .into_iter()
        .map(|(digest, chunk)| store.put_whole(digest, Body::Bytes(chunk)));
    stream::iter(uploads)
        .buffer_unordered(CHUNK_UPLOADS_MAX)
        .try_collect::<()>()
        .await
}

/// The blob out of its chunks on the server.
fn read_back(store: &RemoteStore, digest: Digest, recipe: &Recipe) -> BlobStream {
    let store = store.clone();
    let chunks = stream::iter(recipe.chunks.clone()).then(move |chunk| {
        let store = store.clone();
        async move {
            match store.get(&chunk, ByteRange::FULL).await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err(BlobError::from(std::io::Error::other(format!(
                    "chunk {chunk} has gone from the server since it was sent"
                )))),
                Err(StoreError::Blob(error)) => Err(error),
                Err(error) => Err(std::io::Error::other(error).into()),
            }
        }
    });
    Blob::checked(digest, chunks.try_flatten()).into_stream()
}
