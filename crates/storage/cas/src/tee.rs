//! One stream, several takers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use blob::{Blob, BlobError, BlobStream, Body, Digest};
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::{self, BoxFuture, FutureExt};
use futures::sink::SinkExt;
use futures::stream::{Stream, StreamExt};

use crate::{BlobStore, StoreError};

/// Pieces that a copy may lie behind its reader before it is given up.
const BEHIND_MAX: usize = 32;
/// Pieces on their way to each of two stores.
const ON_THE_WAY_MAX: usize = 4;

/// Passes the whole of a blob on to a reader and stores it in `store` at the same time. The reader never waits for the
/// copy until the end, when it is stored before the stream ends; a copy that fails or falls behind is given up, and a
/// reader that goes away takes it along. Nothing runs but while the reader reads.
pub(crate) fn filling(stream: BlobStream, digest: Digest, store: Arc<dyn BlobStore>) -> BlobStream {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, BlobError>>(BEHIND_MAX);
    let copy = async move {
        if let Err(error) = store.put(Blob::checked(digest, receiver)).await {
            tracing::debug!(%digest, %error, "a blob that was read could not be copied");
        }
    };
    Filling {
        stream,
        copy: Some((sender, copy.boxed())),
        has_ended: false,
    }
    .boxed()
}

/// Where pieces go to be stored.
type Pieces = mpsc::Sender<Result<Bytes, BlobError>>;

struct Filling {
    stream: BlobStream,
    /// `None` once it is done or given up.
    copy: Option<(Pieces, BoxFuture<'static, ()>)>,
    has_ended: bool,
}

impl Stream for Filling {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some((_, copying)) = &mut this.copy
            && copying.poll_unpin(context).is_ready()
        {
            this.copy = None;
        }
        if this.has_ended {
            return if this.copy.is_none() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        let item = std::task::ready!(this.stream.poll_next_unpin(context));
        match &item {
            Some(Ok(piece)) => {
                // The channel takes one more than its bound from each sender, so the bound is this.
                let sent = this
                    .copy
                    .as_mut()
                    .map(|(sender, _)| sender.try_send(Ok(piece.clone())).is_ok());
                if sent == Some(false) {
                    this.copy = None;
                }
            }
            // Nothing of a blob that could not be read to its end is kept.
            Some(Err(_)) => this.copy = None,
            None => {
                this.has_ended = true;
                if let Some((sender, _)) = &mut this.copy {
                    sender.close_channel();
                }
                return self.poll_next(context);
            }
        }
        Poll::Ready(item)
    }
}

/// Puts one blob into two stores in one pass. A store that fails does not hold up the other.
pub(crate) async fn put_both(
    blob: Blob,
    one: &dyn BlobStore,
    other: &dyn BlobStore,
) -> (Result<(), StoreError>, Result<(), StoreError>) {
    let digest = blob.digest();
    let mut stream = match blob.into_body() {
        Body::Bytes(bytes) => {
            // In memory and proven: nothing has to be hashed again.
            let blob = |bytes| Blob::verified(digest, bytes);
            return match (blob(bytes.clone()), blob(bytes)) {
                (Ok(first), Ok(second)) => future::join(one.put(first), other.put(second)).await,
                (Err(error), _) | (_, Err(error)) => (Err(error.clone().into()), Err(error.into())),
            };
        }
        Body::Stream(stream) => stream,
    };
    let (mut to_one, from_one) = mpsc::channel::<Result<Bytes, BlobError>>(ON_THE_WAY_MAX);
    let (mut to_other, from_other) = mpsc::channel::<Result<Bytes, BlobError>>(ON_THE_WAY_MAX);
    let passing = async move {
        while let Some(piece) = stream.next().await {
            let (first, second) = future::join(to_one.send(piece.clone()), to_other.send(piece)).await;
            // A store that has what it wants, or has given up, takes no more.
            if first.is_err() && second.is_err() {
                break;
            }
        }
    };
    let puts = future::join(
        one.put(Blob::checked(digest, from_one)),
        other.put(Blob::checked(digest, from_other)),
    );
    future::join(passing, puts).await.1
}
