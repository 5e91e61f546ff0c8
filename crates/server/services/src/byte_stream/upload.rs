//! One upload in progress: a `put` whose body is fed piece by piece.
//!
//! There is no task behind it. The call that feeds it also drives the store, so an upload that nobody feeds rests,
//! and dropping it is giving it up: nothing is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob::{Blob, BlobError, Digest};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A blob on its way into a store.
pub(super) struct Upload {
    digest: Digest,
    committed_bytes: Arc<AtomicU64>,
    feed: mpsc::Sender<Fed>,
    /// `None` once it has ended.
    put: Option<BoxFuture<'static, Result<(), StoreError>>>,
    _counted: OwnedSemaphorePermit,
}

/// Whether the store wants more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Appetite {
    /// It does.
    More,
    /// It has the blob, from this upload or from another one.
    Stored,
}

enum Fed {
    Chunk(Bytes),
    End,
}

impl Upload {
    /// Begins to put `digest` into `store`. `counted` is given back with the upload.
    pub(super) fn start(store: Arc<dyn BlobStore>, digest: Digest, counted: OwnedSemaphorePermit) -> Self {
        let (feed, fed) = mpsc::channel(1);
        let blob = Blob::checked_aside(digest, body(fed), |work| drop(tokio::task::spawn_blocking(work)));
        let put = Box::pin(async move { store.put(blob).await });
        Upload {
            digest,
            committed_bytes: Arc::default(),
            feed,
            put: Some(put),
            _counted: counted,
        }
    }

    /// Uncompressed bytes taken so far.
    pub(super) fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Ordering::Relaxed)
    }

    /// The same, for whoever asks meanwhile.
    pub(super) fn progress(&self) -> Arc<AtomicU64> {
        self.committed_bytes.clone()
    }

    /// Whether it can still go on.
    pub(super) fn is_open(&self) -> bool {
        self.put.is_some()
    }

    /// Hands the next piece to the store and waits until the store has taken it.
    pub(super) async fn feed(&mut self, piece: Bytes) -> Result<Appetite, StoreError> {
        let piece_bytes = piece.len() as u64;
        let committed_bytes = self.committed_bytes() + piece_bytes;
        if committed_bytes > self.digest.size_bytes() {
            return Err(BlobError::WrongSize {
                expected: self.digest,
                size_bytes: committed_bytes,
            }
            .into());
        }
        if self.send(Fed::Chunk(piece)).await? == Appetite::Stored {
            return Ok(Appetite::Stored);
        }
        self.committed_bytes.store(committed_bytes, Ordering::Relaxed);
        self.room().await
    }

    /// No piece follows: waits for the store's verdict.
    pub(super) async fn finish(&mut self) -> Result<(), StoreError> {
        let size_bytes = self.committed_bytes();
        if size_bytes != self.digest.size_bytes() {
            return Err(BlobError::WrongSize {
                expected: self.digest,
                size_bytes,
            }
            .into());
        }
        match self.send(Fed::End).await? {
            Appetite::Stored => Ok(()),
            Appetite::More => self.ended().await,
        }
    }

    /// Drives the store until it needs no more: because it failed, or because it has the blob already.
    pub(super) async fn ended(&mut self) -> Result<(), StoreError> {
        match &mut self.put {
            Some(put) => {
                let result = put.await;
                self.put = None;
                result
            }
            None => std::future::pending().await,
        }
    }

    async fn send(&mut self, fed: Fed) -> Result<Appetite, StoreError> {
        // A handle of its own, because `ended` borrows the rest. Sending happens after the last await: a call that is
        // dropped before it has sent nothing.
        let feed = self.feed.clone();
        tokio::select! {
            biased;
            result = self.ended() => result.map(|()| Appetite::Stored),
            room = feed.reserve() => match room {
                Ok(room) => {
                    room.send(fed);
                    Ok(Appetite::More)
                }
                // The store has dropped the body without reading it: its verdict is on its way.
                Err(_closed) => self.ended().await.map(|()| Appetite::Stored),
            },
        }
    }

    /// Waits until the last piece has been taken.
    async fn room(&mut self) -> Result<Appetite, StoreError> {
        let feed = self.feed.clone();
        tokio::select! {
            biased;
            result = self.ended() => result.map(|()| Appetite::Stored),
            room = feed.reserve() => match room {
                Ok(_room) => Ok(Appetite::More),
                Err(_closed) => self.ended().await.map(|()| Appetite::Stored),
            },
        }
    }
}

/// What the store reads. Only [`Fed::End`] ends it well, so that an upload that is given up when all its bytes, but
/// not its end, have come is not stored.
fn body(fed: mpsc::Receiver<Fed>) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::unfold(Some(fed), |fed| async move {
        let mut fed = fed?;
        match fed.recv().await {
            Some(Fed::Chunk(piece)) => Some((Ok(piece), Some(fed))),
            Some(Fed::End) => None,
            None => {
                let given_up =
                    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the upload was given up");
                Some((Err(given_up.into()), None))
            }
        }
    })
}
