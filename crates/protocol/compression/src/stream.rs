//! The codecs as streams: pulled, so nothing runs ahead of the reader.

use std::pin::Pin;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::{DecodeError, Decoder, EncodeError, Encoder};

/// Decompresses `chunks` into at most `size_bytes_max`. `failed` says what a decoding error is to the caller.
pub fn decompress<S, E>(
    chunks: S,
    size_bytes_max: u64,
    failed: impl Fn(DecodeError) -> E + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    let start = Decompressing {
        chunks: chunks.boxed(),
        decoder: None,
    };
    stream::try_unfold((start, failed), move |(mut state, failed)| async move {
        let decoder = match &mut state.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new(size_bytes_max).map_err(&failed)?),
        };
        loop {
            if let Some(output) = decoder.next_output().map_err(&failed)? {
                return Ok(Some((output, (state, failed))));
            }
            match state.chunks.try_next().await? {
                Some(chunk) => decoder.push(chunk).map_err(&failed)?,
                None => return decoder.finish().map_err(&failed).map(|()| None),
            }
        }
    })
}

/// Compresses `chunks`, exactly `size_bytes` in all, into one frame. `failed` says what an error is to the caller.
pub fn compress<S, E>(
    chunks: S,
    size_bytes: u64,
    failed: impl Fn(EncodeError) -> E + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    let start = Compressing {
        chunks: Some(chunks.boxed()),
        encoder: None,
    };
    stream::try_unfold((start, failed), move |(mut state, failed)| async move {
        let encoder = match &mut state.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(size_bytes).map_err(&failed)?),
        };
        loop {
            if let Some(output) = encoder.next_output().map_err(&failed)? {
                return Ok(Some((output, (state, failed))));
            }
            let Some(chunks) = &mut state.chunks else {
                return Ok(None);
            };
            match chunks.try_next().await? {
                Some(chunk) => encoder.push(chunk),
                None => {
                    encoder.end();
                    state.chunks = None;
                }
            }
        }
    })
}

type Chunks<E> = Pin<Box<dyn Stream<Item = Result<Bytes, E>> + Send>>;

struct Decompressing<E> {
    chunks: Chunks<E>,
    decoder: Option<Decoder>,
}

struct Compressing<E> {
    /// `None` once they have ended.
    chunks: Option<Chunks<E>>,
    encoder: Option<Encoder>,
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;

    type Item = Result<Bytes, String>;

    fn cut(content: &[u8], piece_len: usize) -> Vec<Item> {
        content
            .chunks(piece_len)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect()
    }

    fn gather(stream: impl Stream<Item = Item>) -> Result<Vec<u8>, String> {
        let pieces: Vec<Bytes> = block_on(stream.try_collect())?;
        Ok(pieces.concat())
    }

    proptest! {
        #[test]
        fn compressing_and_decompressing_is_the_identity(
            content in prop::collection::vec(any::<u8>(), 0..3000), piece_len in 1usize..500,
        ) {
            let size_bytes = content.len() as u64;
            let squeezed = compress(stream::iter(cut(&content, piece_len)), size_bytes, |error| error.to_string());
            let back = decompress(squeezed, size_bytes, |error| error.to_string());
            prop_assert_eq!(gather(back).unwrap(), content);
        }
    }

    #[test]
    fn the_source_s_error_is_the_stream_s_error() {
        let broken = || stream::iter([Ok(Bytes::from_static(b"abc")), Err("cable cut".to_owned())]);
        assert_eq!(
            gather(compress(broken(), 10, |error| error.to_string())),
            Err("cable cut".to_owned())
        );
        let frame = crate::compress_all(Bytes::from_static(b"abc")).unwrap();
        let broken = stream::iter([Ok(frame.slice(..5)), Err("cable cut".to_owned())]);
        assert_eq!(
            gather(decompress(broken, 10, |error| error.to_string())),
            Err("cable cut".to_owned())
        );
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error() {
        let frame = crate::compress_all(Bytes::from_static(b"abc")).unwrap();
        let cut = stream::iter([Ok(frame.slice(..frame.len() - 1))]);
        assert!(gather(decompress(cut, 3, |error| error.to_string())).is_err());
    }
}
