//! Cutting and joining: from pieces as they come to messages as they should be.

use blob::BlobError;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::limits::{WRITE_MESSAGE_BYTES_MAX, WRITE_MESSAGE_BYTES_MIN, WRITE_WHOLE_BYTES_MAX};

/// What is in memory, cut without copying. Small enough to go in one message, it does.
pub(super) fn of_bytes(bytes: Bytes) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    let piece = match bytes.len() {
        0..=WRITE_WHOLE_BYTES_MAX => WRITE_WHOLE_BYTES_MAX,
        _ => WRITE_MESSAGE_BYTES_MAX,
    };
    stream::iter(
        (0..bytes.len())
            .step_by(piece)
            .map(move |at| Ok(bytes.slice(at..bytes.len().min(at + piece)))),
    )
}

/// Cuts large pieces without copying them, and joins small ones.
pub(super) fn resized(
    pieces: impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::try_unfold(
        (pieces.boxed().fuse(), Bytes::new()),
        |(mut pieces, mut rest)| async move {
            while rest.is_empty() {
                match pieces.try_next().await? {
                    Some(piece) => rest = piece,
                    None => return Ok(None),
                }
            }
            if rest.len() < WRITE_MESSAGE_BYTES_MIN {
                rest = joined(&mut pieces, rest).await?;
            }
            let message = rest.split_to(rest.len().min(WRITE_MESSAGE_BYTES_MAX));
            Ok(Some((message, (pieces, rest))))
        },
    )
}

/// Cuts only: for a codec, which works on a piece at a time.
pub(super) fn cut(
    pieces: impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static,
    length_max: usize,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    let cut = move |piece: Bytes| {
        let starts = (0..piece.len()).step_by(length_max);
        stream::iter(starts.map(move |at| Ok(piece.slice(at..piece.len().min(at + length_max)))))
    };
    pieces.map_ok(cut).try_flatten()
}

/// Adds pieces to `first` until there is enough for a message.
async fn joined(
    pieces: &mut (impl Stream<Item = Result<Bytes, BlobError>> + Unpin),
    first: Bytes,
) -> Result<Bytes, BlobError> {
    let mut joined = BytesMut::with_capacity(WRITE_MESSAGE_BYTES_MIN * 2);
    joined.extend_from_slice(&first);
    while joined.len() < WRITE_MESSAGE_BYTES_MIN {
        let Some(piece) = pieces.try_next().await? else {
            break;
        };
        joined.extend_from_slice(&piece);
    }
    Ok(joined.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lengths(pieces: impl Stream<Item = Result<Bytes, BlobError>>) -> Vec<usize> {
        let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
        pieces.iter().map(Bytes::len).collect()
    }

    fn of(lengths: &[usize]) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
        stream::iter(
            lengths
                .iter()
                .map(|length| Ok(vec![7; *length].into()))
                .collect::<Vec<_>>(),
        )
    }

    #[tokio::test]
    async fn large_pieces_are_cut_and_small_ones_joined() {
        let (min, max) = (WRITE_MESSAGE_BYTES_MIN, WRITE_MESSAGE_BYTES_MAX);
        assert_eq!(lengths(resized(of(&[]))).await, [0usize; 0]);
        assert_eq!(lengths(resized(of(&[0, 5, 0, 6]))).await, [11]);
        assert_eq!(lengths(resized(of(&[max, max + 1]))).await, [max, max, 1]);
        assert_eq!(lengths(resized(of(&[min - 1, 1, 3, max]))).await, [min, max, 3]);
        assert_eq!(lengths(cut(of(&[3, 0, 7, 4]), 3)).await, [3, 3, 3, 1, 3, 1]);
    }

    #[tokio::test]
    async fn what_fits_one_message_goes_in_one() {
        let bytes = |length: usize| of_bytes(vec![7; length].into());
        assert_eq!(
            lengths(bytes(WRITE_WHOLE_BYTES_MAX)).await,
            [WRITE_WHOLE_BYTES_MAX]
        );
        let whole = WRITE_WHOLE_BYTES_MAX / WRITE_MESSAGE_BYTES_MAX;
        let mut expected = vec![WRITE_MESSAGE_BYTES_MAX; whole];
        expected.push(1);
        assert_eq!(lengths(bytes(WRITE_WHOLE_BYTES_MAX + 1)).await, expected);
    }
}
