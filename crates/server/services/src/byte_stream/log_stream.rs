//! ByteStream on log streams: the same three calls as for blobs, told apart by the names (checklist B19, L1, L2).

use std::sync::Arc;

use blob::{ByteRange, Digest, LogStreamName, LogStreamPart};
use bytes::Bytes;
use cas::BlobStore;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use reapi::bytestream::{QueryWriteStatusResponse, ReadRequest, WriteResponse};
use tasks::CancellationToken;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::ByteStream;
use super::sequence::Sequence;
use super::write::nothing_follows;
use super::write_message::WriteMessage;
use crate::execution::live_output;
use crate::limits::LOG_STREAM_IDLE_MAX;
use crate::log_streams::{LogReader, LogStream, Next};
use crate::status;

type Data = BoxStream<'static, Result<Bytes, Status>>;

/// What is written already, then what is being written, until the stream is finished or `read_limit` is reached.
pub(super) async fn read(
    service: &ByteStream,
    name: &LogStreamName,
    request: &ReadRequest,
) -> Result<Data, Status> {
    let instance = service.instances.get(&name.instance)?;
    let offset = u64::try_from(request.read_offset).map_err(|_| {
        let message = format!("read_offset {} is negative", request.read_offset);
        status::status(Code::OutOfRange, message)
    })?;
    let limit = u64::try_from(request.read_limit)
        .map_err(|_| status::invalid(format!("read_limit {} is negative", request.read_limit)))?;
    let data = match &name.part {
        LogStreamPart::Write { .. } => {
            return Err(status::invalid(
                "this is the name to write a log stream by; it is read by its name without the last segment",
            ));
        }
        LogStreamPart::Read => {
            let stream = service.log_streams.to_read(name)?;
            let mut reader = LogReader::new(stream, offset);
            // What cannot be read is the answer to the call, not the end of a stream that seemed to begin well.
            let first = reader.ready()?;
            let tail = tail(reader, first);
            let store = instance.cas.clone();
            tail.map_ok(move |part| from_blob(store.clone(), part))
                .try_flatten()
                .boxed()
        }
        LogStreamPart::Output(output) => match &service.scheduler {
            Some(actor) => live_output::read(actor, name, *output, offset)?,
            None => return Err(status::status(Code::NotFound, "no actions run here")),
        },
    };
    let data = until(service.log_streams.stopping().clone(), data);
    Ok(match limit {
        0 => data.boxed(),
        limit => limited(data, limit).boxed(),
    })
}

/// A log has no end that the server could wait for when it ends itself.
fn until(
    stopping: CancellationToken,
    data: Data,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    stream::try_unfold((stopping, data), |(stopping, mut data)| async move {
        let piece = tokio::select! {
            biased;
            piece = data.try_next() => piece?,
            () = stopping.cancelled() => {
                let message = "this server is shutting down; read on from here when it is back";
                return Err(status::status(Code::Unavailable, message));
            }
        };
        Ok(piece.map(|piece| (piece, (stopping, data))))
    })
}

enum Part {
    Bytes(Bytes),
    Blob(Digest, u64),
}

fn tail(reader: LogReader, first: Option<Next>) -> impl Stream<Item = Result<Part, Status>> + Send {
    stream::try_unfold(Some((reader, first)), |state| async {
        let Some((mut reader, known)) = state else {
            return Ok(None);
        };
        let next = match known {
            Some(next) => next,
            None => reader.next().await?,
        };
        Ok(match next {
            Next::Bytes(bytes) => Some((Part::Bytes(bytes), Some((reader, None)))),
            Next::Stored(digest, offset) => Some((Part::Blob(digest, offset), None)),
            Next::End => None,
        })
    })
}

fn from_blob(store: Arc<dyn BlobStore>, part: Part) -> Data {
    match part {
        Part::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
        Part::Blob(digest, offset) => blob_from(store, digest, offset),
    }
}

/// A blob from an offset on, which is within it. NOT_FOUND if the store has dropped it.
pub(crate) fn blob_from(store: Arc<dyn BlobStore>, digest: Digest, offset: u64) -> Data {
    let opened = async move {
        let range = ByteRange { offset, limit: None };
        let found = store.get(&digest, range).await.map_err(status::store_error)?;
        let chunks = found.ok_or_else(|| {
            status::status(
                Code::NotFound,
                format!("the log was blob {digest}, which is not here any more"),
            )
        })?;
        Ok::<_, Status>(chunks.map_err(status::read_error))
    };
    stream::once(opened).try_flatten().boxed()
}

fn limited(
    data: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    limit: u64,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    stream::try_unfold((data.boxed(), limit), |(mut data, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(mut piece) = data.try_next().await? else {
            return Ok(None);
        };
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Ok(Some((piece, (data, left))))
    })
}

/// Appends. What was committed stays committed, however the call ends.
pub(super) async fn write(
    service: &ByteStream,
    name: &LogStreamName,
    first: WriteMessage,
    messages: &mut (impl Stream<Item = Result<WriteMessage, Status>> + Unpin),
) -> Result<WriteResponse, Status> {
    let instance = service.instances.get(&name.instance)?;
    let stream = service.log_streams.to_write(name)?;
    let _writing = stream.writing();
    let mut sequence = Sequence::starting_with(&first)?;
    stream.check_offset(sequence.start)?;
    let mut message = Some(first);
    while let Some(WriteMessage { finish_write, .. }) = &message {
        let finish = *finish_write;
        if let Some(message) = message.take() {
            let mut offset = sequence.next_offset;
            sequence.accept(&message)?;
            // Not admitted as blobs are: it is counted where it is kept.
            for piece in message.data {
                stream.append(offset, &piece).await?;
                offset += piece.len() as u64;
            }
        }
        if finish {
            nothing_follows(messages)?;
            stream.finish(&*instance.cas).await;
            break;
        }
        message = next(service, &stream, messages).await?;
    }
    Ok(WriteResponse {
        committed_size: stream.progress().0 as i64,
    })
}

/// The next message; `None` when the writer has no more for now. A writer may be silent for long: what it writes is.
async fn next(
    service: &ByteStream,
    stream: &LogStream,
    messages: &mut (impl Stream<Item = Result<WriteMessage, Status>> + Unpin),
) -> Result<Option<WriteMessage>, Status> {
    tokio::select! {
        biased;
        message = timeout(LOG_STREAM_IDLE_MAX, messages.next()) => match message {
            Ok(message) => message.transpose(),
            Err(_elapsed) => {
                let silent_s = LOG_STREAM_IDLE_MAX.as_secs();
                let message = format!("ByteStream.Write: no message for {silent_s} s");
                Err(status::status(Code::DeadlineExceeded, message))
            }
        },
        // Says why.
        () = stream.closed() => stream.check_offset(stream.progress().0).map(|()| None),
        () = service.log_streams.stopping().cancelled() => {
            let message = "this server is shutting down; go on when it is back";
            Err(status::status(Code::Unavailable, message))
        }
    }
}

/// How far a log stream is, by its write name.
pub(super) fn query_write_status(
    service: &ByteStream,
    name: &LogStreamName,
) -> Result<QueryWriteStatusResponse, Status> {
    service.instances.get(&name.instance)?;
    let (committed_bytes, complete) = service.log_streams.to_write(name)?.progress();
    Ok(QueryWriteStatusResponse {
        committed_size: committed_bytes as i64,
        complete,
    })
}
