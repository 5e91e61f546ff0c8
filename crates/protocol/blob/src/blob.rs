//! Bytes that carry their proof.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use thiserror::Error;

use crate::checked::{Aside, Checked};
use crate::{Digest, DigestFunction};

/// A digest and bytes that are proven to match it: at once when they are in memory, otherwise by an error at
/// the first byte too many or at the end of the stream. A store that commits only after the end of the body
/// therefore needs no check of its own.
pub struct Blob {
    digest: Digest,
    body: Body,
}

/// Where a blob's bytes are.
pub enum Body {
    /// In memory, already proven.
    Bytes(Bytes),
    /// On their way; proven when the stream ends without an error.
    Stream(BlobStream),
}

/// The bytes of a blob, or of a range of it, in pieces of any size. After an error it ends.
pub type BlobStream = BoxStream<'static, Result<Bytes, BlobError>>;

/// Why a blob's bytes could not be had.
#[derive(Clone, Debug, Error)]
pub enum BlobError {
    /// More or fewer bytes than the digest says.
    #[error("blob {expected}: got {}{size_bytes} bytes", if *size_bytes > expected.size_bytes() { "at least " } else { "only " })]
    WrongSize {
        /// The digest promised.
        expected: Digest,
        /// Bytes seen when it was noticed.
        size_bytes: u64,
    },
    /// The right number of bytes with another hash.
    #[error("blob {expected}: the bytes hash to {actual}")]
    WrongHash {
        /// The digest promised.
        expected: Digest,
        /// The digest of what came; boxed, because two digests make every result large.
        actual: Box<Digest>,
    },
    /// Larger than the reader takes into memory.
    #[error("blob {digest} is larger than the {size_bytes_max} bytes that are read into memory here")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// The reader's bound.
        size_bytes_max: u64,
    },
    /// What is stored is damaged; the store has dropped it.
    #[error("blob {digest} was damaged in storage and has been dropped: {reason}")]
    Corrupt {
        /// The blob.
        digest: Digest,
        /// What did not fit.
        reason: String,
    },
    /// The sender encoded it wrongly: the sender's mistake, as a wrong hash is.
    #[error("blob {digest}: {reason}")]
    Malformed {
        /// The blob.
        digest: Digest,
        /// What is wrong with the encoding.
        reason: String,
    },
    /// The source failed.
    #[error("{0}")]
    Io(Arc<std::io::Error>),
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        BlobError::Io(Arc::new(error))
    }
}

impl Blob {
    /// Hashes `bytes`; they are the blob.
    pub fn from_bytes(function: DigestFunction, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Blob {
            digest: Digest::of(function, &bytes),
            body: Body::Bytes(bytes),
        }
    }

    /// Checks that `bytes` are what `digest` names.
    pub fn verified(digest: Digest, bytes: Bytes) -> Result<Self, BlobError> {
        if bytes.len() as u64 != digest.size_bytes() {
            return Err(BlobError::WrongSize {
                expected: digest,
                size_bytes: bytes.len() as u64,
            });
        }
        let actual = Digest::of(digest.function(), &bytes);
        if actual != digest {
            return Err(BlobError::WrongHash {
                expected: digest,
                actual: Box::new(actual),
            });
        }
        Ok(Blob {
            digest,
            body: Body::Bytes(bytes),
        })
    }

    /// A blob whose bytes are checked as they flow.
    pub fn checked<E>(digest: Digest, chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: Into<BlobError> + 'static,
    {
        let chunks = chunks.map(|chunk| chunk.map_err(Into::into)).boxed();
        Blob {
            digest,
            body: Body::Stream(Checked::new(digest, chunks, None).boxed()),
        }
    }

    /// As [`checked`](Self::checked), and large pieces are hashed by `aside`, which runs what it is given on another
    /// thread, while the next piece is on its way. No more than one piece is being hashed.
    pub fn checked_aside<E>(
        digest: Digest,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        aside: Aside,
    ) -> Self
    where
        E: Into<BlobError> + 'static,
    {
        let chunks = chunks.map(|chunk| chunk.map_err(Into::into)).boxed();
        Blob {
            digest,
            body: Body::Stream(Checked::new(digest, chunks, Some(aside)).boxed()),
        }
    }

    /// What it is.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The same blob once more, if its bytes are in memory.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.body {
            Body::Bytes(bytes) => Some(Blob {
                digest: self.digest,
                body: Body::Bytes(bytes.clone()),
            }),
            Body::Stream(_) => None,
        }
    }

    /// Whether its bytes are still on their way.
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// Its bytes, in whichever form they are.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Its bytes as a stream.
    pub fn into_stream(self) -> BlobStream {
        match self.body {
            Body::Bytes(bytes) => once(bytes),
            Body::Stream(stream) => stream,
        }
    }

    /// Its bytes in memory, if there are at most `size_bytes_max`.
    pub async fn into_bytes(self, size_bytes_max: u64) -> Result<Bytes, BlobError> {
        if self.digest.size_bytes() > size_bytes_max {
            return Err(BlobError::TooLarge {
                digest: self.digest,
                size_bytes_max,
            });
        }
        match self.body {
            Body::Bytes(bytes) => Ok(bytes),
            // The check in the stream bounds what is collected to the digest's size.
            Body::Stream(stream) => collect(stream).await,
        }
    }
}

/// A stream of one piece, or of none when there are no bytes.
fn once(bytes: Bytes) -> BlobStream {
    if bytes.is_empty() {
        return stream::empty().boxed();
    }
    stream::once(std::future::ready(Ok(bytes))).boxed()
}

async fn collect(mut stream: BlobStream) -> Result<Bytes, BlobError> {
    let Some(first) = stream.next().await.transpose()? else {
        return Ok(Bytes::new());
    };
    let Some(second) = stream.next().await.transpose()? else {
        return Ok(first);
    };
    let mut bytes = BytesMut::from(first);
    bytes.extend_from_slice(&second);
    while let Some(chunk) = stream.next().await.transpose()? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    fn stream_of(chunks: &[&'static [u8]]) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        stream::iter(chunks)
    }

    fn read(digest: Digest, chunks: &[&'static [u8]]) -> Result<Bytes, BlobError> {
        block_on(Blob::checked(digest, stream_of(chunks)).into_bytes(100))
    }

    fn in_a_thread(work: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(work);
    }

    #[test]
    fn hashing_aside_comes_to_the_same() {
        let large: Vec<u8> = (0..3 << 20).map(|n| (n % 251) as u8).collect();
        let digest = Digest::of(F, &large);
        let read = |content: Vec<u8>, cut: usize| {
            let pieces: Vec<_> = content
                .chunks(cut)
                .map(Bytes::copy_from_slice)
                .map(Ok::<_, BlobError>)
                .collect();
            let blob = Blob::checked_aside(digest, stream::iter(pieces), in_a_thread);
            block_on(blob.into_bytes(10 << 20))
        };
        for cut in [1 << 20, 300_000, 1000, 4 << 20] {
            assert_eq!(read(large.clone(), cut).unwrap(), large);
            let mut wrong = large.clone();
            wrong[2_000_000] ^= 1;
            assert!(matches!(read(wrong, cut), Err(BlobError::WrongHash { .. })));
            let short = large[..large.len() - 1].to_vec();
            assert!(matches!(read(short, cut), Err(BlobError::WrongSize { .. })));
            let long = [&large[..], b"!"].concat();
            assert!(matches!(read(long, cut), Err(BlobError::WrongSize { .. })));
        }
    }

    #[test]
    fn hashing_aside_that_never_happens_proves_nothing() {
        let large = Bytes::from(vec![7; 1 << 20]);
        let digest = Digest::of(F, &large);
        let pieces = stream::iter([Ok::<_, BlobError>(large)]);
        let blob = Blob::checked_aside(digest, pieces, drop);
        assert!(matches!(
            block_on(blob.into_bytes(2 << 20)),
            Err(BlobError::Io(_))
        ));
    }

    #[test]
    fn right_bytes_pass_however_they_are_cut() {
        let digest = Digest::of(F, b"hello");
        for chunks in [&[&b"hello"[..]][..], &[b"he", b"llo"], &[b"", b"h", b"ello", b""]] {
            assert_eq!(read(digest, chunks).unwrap(), "hello");
        }
        assert_eq!(read(Digest::empty(F), &[]).unwrap(), "");
        assert_eq!(
            block_on(Blob::from_bytes(F, "hello").into_bytes(5)).unwrap(),
            "hello"
        );
    }

    #[test]
    fn wrong_bytes_are_an_error_at_the_end_or_at_the_first_byte_too_many() {
        let digest = Digest::of(F, b"hello");
        assert!(matches!(
            read(digest, &[b"hell"]),
            Err(BlobError::WrongSize { size_bytes: 4, .. })
        ));
        assert!(matches!(
            read(digest, &[b"hello", b"!"]),
            Err(BlobError::WrongSize { size_bytes: 6, .. })
        ));
        assert!(matches!(
            read(digest, &[b"jello"]),
            Err(BlobError::WrongHash { .. })
        ));
        assert!(matches!(
            Blob::verified(digest, "jello".into()),
            Err(BlobError::WrongHash { .. })
        ));
        assert!(matches!(
            Blob::verified(digest, "hell".into()),
            Err(BlobError::WrongSize { .. })
        ));
        assert!(Blob::verified(digest, "hello".into()).is_ok());
    }

    #[test]
    fn a_stream_ends_after_its_error() {
        let mut stream = Blob::checked(Digest::of(F, b"a"), stream_of(&[b"abc", b"d"])).into_stream();
        assert!(block_on(stream.next()).unwrap().is_err());
        assert!(block_on(stream.next()).is_none());
    }

    #[test]
    fn a_reader_bounds_what_it_takes_into_memory() {
        let blob = Blob::from_bytes(F, "hello");
        assert!(matches!(
            block_on(blob.into_bytes(4)),
            Err(BlobError::TooLarge {
                size_bytes_max: 4,
                ..
            })
        ));
    }
}
