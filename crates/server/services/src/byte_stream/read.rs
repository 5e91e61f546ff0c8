//! `ByteStream.Read`: a blob or a part of it, as it is or compressed.
//!
//! No task and no channel: the client pulls the message, the message pulls the store. A client that stops reading
//! makes nobody read the disk, and after a while (`taken_reads.rs`) holds nothing of the store any more.

use blob::{BlobError, BlobStream, ByteRange, Compressor, Digest, LogStreamName, ReadName};
use bytes::{Bytes, BytesMut};
use cas::BlobStore;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use reapi::bytestream::ReadRequest;
use tonic::{Code, Status};

use super::{ByteStream, log_stream};
use crate::limits::{READ_MESSAGE_BYTES_MAX, READ_MESSAGE_BYTES_MIN};
use crate::status;

/// The data of each message of the answer.
pub(super) async fn read(
    service: &ByteStream,
    request: ReadRequest,
) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
    if LogStreamName::is_meant(&request.resource_name) {
        let name = LogStreamName::parse(&request.resource_name).map_err(status::resource_name_error)?;
        // Whoever reads a log may stop and think.
        return log_stream::read(service, &name, &request).await;
    }
    let data = read_blob(service, &request).await?;
    Ok(service.reads.watched(data).boxed())
}

async fn read_blob(
    service: &ByteStream,
    request: &ReadRequest,
) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
    let name = ReadName::parse(&request.resource_name).map_err(status::resource_name_error)?;
    let instance = service.instances.get(&name.instance)?;
    let range = range(&name, request)?;
    if let Some(frames) = stored_frames(&*instance.cas, &name, range).await? {
        return Ok(messages(frames.map_err(status::read_error)).boxed());
    }
    let found = instance
        .cas
        .get(&name.digest, range)
        .await
        .map_err(status::store_error)?;
    let Some(chunks) = found else {
        return Err(status::status(
            Code::NotFound,
            format!("blob {} is not here", name.digest),
        ));
    };
    let length_bytes = range
        .within(name.digest.size_bytes())
        .map_or(0, |within| within.end - within.start);
    let chunks = exactly(chunks, name.digest, length_bytes);
    Ok(match name.compressor {
        Compressor::Identity => messages(chunks.map_err(status::read_error)).boxed(),
        Compressor::Zstd => messages(compressed(chunks, length_bytes)).boxed(),
    })
}

/// What is asked for, checked against the size in the name (checklist B14, B15).
fn range(name: &ReadName, request: &ReadRequest) -> Result<ByteRange, Status> {
    let out_of_range = || {
        let size_bytes = name.digest.size_bytes();
        let offset = request.read_offset;
        status::status(
            Code::OutOfRange,
            format!("read_offset {offset} is outside the blob's {size_bytes} bytes"),
        )
    };
    let offset = u64::try_from(request.read_offset).map_err(|_| out_of_range())?;
    let limit = u64::try_from(request.read_limit)
        .map_err(|_| status::invalid(format!("read_limit {} is negative", request.read_limit)))?;
    if name.compressor != Compressor::Identity && limit != 0 {
        return Err(status::invalid("read_limit must not be set for compressed-blobs"));
    }
    if offset > name.digest.size_bytes() {
        return Err(out_of_range());
    }
    // Zero is no limit.
    Ok(ByteRange {
        offset,
        limit: (limit != 0).then_some(limit),
    })
}

/// What a store that holds the blob compressed can give as it is. Of the empty rest of a blob it may have no frame at
/// all, where clients expect one (B15).
async fn stored_frames(
    store: &dyn BlobStore,
    name: &ReadName,
    range: ByteRange,
) -> Result<Option<BlobStream>, Status> {
    if name.compressor != Compressor::Zstd || range.offset == name.digest.size_bytes() {
        return Ok(None);
    }
    store
        .get_zstd(&name.digest, range.offset)
        .await
        .map_err(status::store_error)
}

/// Ends without an error only after exactly `length_bytes`: a store in error must not look like a short blob (B17).
fn exactly(
    chunks: BlobStream,
    digest: Digest,
    length_bytes: u64,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    stream::try_unfold(
        (chunks, length_bytes),
        move |(mut chunks, left_bytes)| async move {
            let wrong_size = |left_bytes: i128| BlobError::WrongSize {
                expected: digest,
                size_bytes: (i128::from(digest.size_bytes()) - left_bytes).max(0) as u64,
            };
            match chunks.try_next().await? {
                Some(chunk) => match left_bytes.checked_sub(chunk.len() as u64) {
                    Some(left_bytes) => Ok(Some((chunk, (chunks, left_bytes)))),
                    None => Err(wrong_size(i128::from(left_bytes) - chunk.len() as i128)),
                },
                None if left_bytes == 0 => Ok(None),
                None => Err(wrong_size(i128::from(left_bytes))),
            }
        },
    )
}

/// One complete frame that decodes to the range asked for, also when that is empty (B15).
fn compressed(
    chunks: impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static,
    length_bytes: u64,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    // zstd works on a piece at a time, so that no step keeps a thread of the server for long.
    let pieces = chunks
        .map_err(status::read_error)
        .map_ok(|chunk| slices(chunk, compression::PIECE_SIZE_BYTES_MAX));
    compression::compress(pieces.try_flatten(), length_bytes, |error| {
        status::status(Code::Internal, error.to_string())
    })
}

fn slices(chunk: Bytes, len_max: usize) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    let starts = (0..chunk.len()).step_by(len_max);
    stream::iter(starts.map(move |start| Ok(chunk.slice(start..chunk.len().min(start + len_max)))))
}

/// Cuts large pieces without copying them, and joins small ones.
fn messages(
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    stream::try_unfold(
        (pieces.boxed().fuse(), Bytes::new()),
        |(mut pieces, mut rest)| async move {
            while rest.is_empty() {
                match pieces.try_next().await? {
                    Some(piece) => rest = piece,
                    None => return Ok(None),
                }
            }
            if rest.len() < READ_MESSAGE_BYTES_MIN {
                rest = joined(&mut pieces, rest).await?;
            }
            let message = rest.split_to(rest.len().min(READ_MESSAGE_BYTES_MAX));
            Ok(Some((message, (pieces, rest))))
        },
    )
}

/// Adds pieces to `first` until there is enough for a message.
async fn joined(
    pieces: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
    first: Bytes,
) -> Result<Bytes, Status> {
    let Some(second) = pieces.try_next().await? else {
        return Ok(first);
    };
    let mut joined = BytesMut::from(first);
    joined.extend_from_slice(&second);
    while joined.len() < READ_MESSAGE_BYTES_MIN {
        let Some(piece) = pieces.try_next().await? else {
            break;
        };
        joined.extend_from_slice(&piece);
    }
    Ok(joined.freeze())
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    fn lengths(pieces: &[usize]) -> Vec<usize> {
        let pieces: Vec<_> = pieces.iter().map(|len| Ok(Bytes::from(vec![7; *len]))).collect();
        let sent: Vec<Bytes> = block_on(messages(stream::iter(pieces)).try_collect()).unwrap();
        sent.iter().map(Bytes::len).collect()
    }

    #[test]
    fn large_pieces_are_cut_and_small_ones_joined() {
        let (min, max) = (READ_MESSAGE_BYTES_MIN, READ_MESSAGE_BYTES_MAX);
        assert_eq!(lengths(&[]), [0usize; 0]);
        assert_eq!(lengths(&[0, 5, 0, 6]), [11]);
        assert_eq!(lengths(&[max, max + 1]), [max, max, 1]);
        assert_eq!(lengths(&[min - 1, 1, 3, max]), [min, max, 3]);
    }

    #[test]
    fn a_store_that_yields_too_little_or_too_much_is_an_error() {
        let digest = Digest::of(blob::DigestFunction::Sha256, b"hello");
        for wrong in ["hell", "hello!"] {
            let chunks = stream::iter([Ok(Bytes::from(wrong))]).boxed();
            let result: Result<Vec<Bytes>, _> = block_on(exactly(chunks, digest, 5).try_collect());
            let size_bytes = wrong.len() as u64;
            assert!(
                matches!(result, Err(BlobError::WrongSize { size_bytes: seen, .. }) if seen == size_bytes)
            );
        }
    }
}
