//! A body that is hashed as it flows, here or on another thread.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::stream::{Stream, StreamExt};

use crate::{BlobError, BlobStream, Digest, DigestHasher};

/// Runs work on another thread. Work that is dropped instead fails the blob it was for.
pub type Aside = fn(Box<dyn FnOnce() + Send>);

/// Hashing less is not worth waking another thread.
const ASIDE_BYTES_MIN: usize = 256 << 10;

/// Passes pieces on and compares at the end.
pub(crate) struct Checked {
    digest: Digest,
    aside: Option<Aside>,
    /// Bytes passed on.
    size_bytes: u64,
    /// `None` once it has ended.
    state: Option<(BlobStream, Hashing)>,
}

enum Hashing {
    /// Boxed, so that the state of a blob that is not being read stays small.
    Here(Box<DigestHasher>),
    /// A piece is being hashed on another thread, which gives the hasher back.
    Aside(oneshot::Receiver<Box<DigestHasher>>),
}

impl Checked {
    pub(crate) fn new(digest: Digest, pieces: BlobStream, aside: Option<Aside>) -> Self {
        let hasher = DigestHasher::new(digest.function(), digest.size_bytes());
        Checked {
            digest,
            aside,
            size_bytes: 0,
            state: Some((pieces, Hashing::Here(Box::new(hasher)))),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        let Some((pieces, hashing)) = &mut self.state else {
            return Poll::Ready(Ok(None));
        };
        let expected = self.digest;
        // The piece before first, so that nobody has more than one piece in hand.
        let hasher = ready!(hashing.poll_hasher(context))?;
        let Some(piece) = ready!(pieces.poll_next_unpin(context)).transpose()? else {
            return Poll::Ready(verdict(expected, hasher.clone()).map(|()| None));
        };
        self.size_bytes += piece.len() as u64;
        let size_bytes = self.size_bytes;
        if size_bytes > expected.size_bytes() {
            return Poll::Ready(Err(BlobError::WrongSize { expected, size_bytes }));
        }
        match self.aside {
            Some(aside) if piece.len() >= ASIDE_BYTES_MIN => {
                *hashing = Hashing::aside(aside, Box::new(hasher.clone()), piece.clone());
            }
            _ => hasher.update(&piece),
        }
        Poll::Ready(Ok(Some(piece)))
    }
}

impl Hashing {
    fn aside(aside: Aside, mut hasher: Box<DigestHasher>, piece: Bytes) -> Self {
        let (give_back, hashed) = oneshot::channel();
        aside(Box::new(move || {
            hasher.update(&piece);
            drop(piece);
            // Nobody takes it if the blob has been given up.
            let _ = give_back.send(hasher);
        }));
        Hashing::Aside(hashed)
    }

    fn poll_hasher(&mut self, context: &mut Context<'_>) -> Poll<Result<&mut DigestHasher, BlobError>> {
        if let Hashing::Aside(hashed) = self {
            match ready!(hashed.poll_unpin(context)) {
                Ok(hasher) => *self = Hashing::Here(hasher),
                Err(oneshot::Canceled) => {
                    return Poll::Ready(Err(std::io::Error::other("a piece of it was not hashed").into()));
                }
            }
        }
        match self {
            Hashing::Here(hasher) => Poll::Ready(Ok(hasher)),
            Hashing::Aside(_) => Poll::Pending,
        }
    }
}

impl Stream for Checked {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.poll_piece(context)).transpose();
        if !matches!(piece, Some(Ok(_))) {
            self.state = None;
        }
        Poll::Ready(piece)
    }
}

fn verdict(expected: Digest, hasher: DigestHasher) -> Result<(), BlobError> {
    let size_bytes = hasher.size_bytes();
    if size_bytes != expected.size_bytes() {
        return Err(BlobError::WrongSize { expected, size_bytes });
    }
    let actual = hasher.finish();
    if actual != expected {
        let actual = Box::new(actual);
        return Err(BlobError::WrongHash { expected, actual });
    }
    Ok(())
}
