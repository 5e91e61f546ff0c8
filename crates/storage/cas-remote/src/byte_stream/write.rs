//! `ByteStream.Write`: the journey of an upload.
//!
//! Bytes in memory can be sent again, so a broken call is gone on with: `QueryWriteStatus` tells how far the server
//! got. A stream can be read once only, so a broken call is the caller's error; nothing has been stored then.

use std::sync::Arc;

use blob::{BlobError, BlobStream, Body, Compressor, WriteName};
use bytes::Bytes;
use cas::StoreError;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use parking_lot::Mutex;
use reapi::bytestream::{QueryWriteStatusRequest, WriteRequest};
use tonic::{Code, Status};
use uuid::Uuid;

use super::Place;
use super::pieces::{cut, of_bytes, resized};
use super::stall::Pace;
use crate::limits::STALL_MAX;
use crate::status::{self, nonsense};

/// Uploads a blob.
pub(crate) async fn write(place: Place<'_>, body: Body) -> Result<(), StoreError> {
    match body {
        Body::Bytes(bytes) => write_bytes(&place, bytes).await,
        Body::Stream(chunks) => write_stream(&place, chunks).await,
    }
}

async fn write_bytes(place: &Place<'_>, bytes: Bytes) -> Result<(), StoreError> {
    let name = name(place);
    let mut retries = place.connection.retry.start();
    let mut start = 0;
    loop {
        // In range: `committed` has checked it.
        let chunks = of_bytes(bytes.slice(start as usize..)).boxed();
        let status = match attempt(place, &name, start, chunks).await {
            Ok(()) => {
                retries.succeeded();
                return Ok(());
            }
            Err(Failed::Source(error)) => return Err(error.into()),
            Err(Failed::Call(status)) => status,
        };
        retries
            .again(status)
            .await
            .map_err(|status| status::upload_error(&place.digest, &status))?;
        match committed(place, &name).await {
            Committed::All => return Ok(()),
            Committed::Some(bytes) if bytes > start => {
                retries.progressed();
                start = bytes;
            }
            // Starting again is always allowed (checklist B6).
            Committed::Some(bytes) => start = bytes,
        }
    }
}

async fn write_stream(place: &Place<'_>, chunks: BlobStream) -> Result<(), StoreError> {
    let chunks = match place.compressor() {
        Compressor::Identity => resized(chunks).boxed(),
        Compressor::Zstd => chunks,
    };
    match attempt(place, &name(place), 0, chunks).await {
        Ok(()) => Ok(()),
        Err(Failed::Source(error)) => Err(error.into()),
        Err(Failed::Call(status)) => Err(status::upload_error(&place.digest, &status)),
    }
}

/// A name of its own for each upload: others may upload the same blob at the same time.
fn name(place: &Place<'_>) -> WriteName {
    WriteName {
        instance: place.instance.clone(),
        upload: Uuid::new_v4().to_string(),
        digest: place.digest,
        compressor: place.compressor(),
    }
}

enum Failed {
    /// What was to be sent is not the blob, or could not be read.
    Source(BlobError),
    /// The server, or the way to it.
    Call(Status),
}

/// One call, from byte `start` of the blob on.
async fn attempt(place: &Place<'_>, name: &WriteName, start: u64, chunks: BlobStream) -> Result<(), Failed> {
    let (digest, source_error, pace) = (place.digest, Arc::new(Mutex::new(None)), Pace::default());
    let chunks: BoxStream<'static, _> = match name.compressor {
        Compressor::Identity => chunks,
        Compressor::Zstd => {
            // zstd works on a piece at a time, so that no step keeps a thread for long.
            let pieces = cut(chunks, compression::PIECE_SIZE_BYTES_MAX);
            let malformed = move |error: compression::EncodeError| BlobError::Malformed {
                digest,
                reason: error.to_string(),
            };
            resized(compression::compress(
                pieces,
                digest.size_bytes() - start,
                malformed,
            ))
            .boxed()
        }
    };
    let sent_to = Arc::new(Mutex::new(start));
    let messages = messages(
        name.to_string(),
        start,
        chunks,
        Reports {
            source_error: source_error.clone(),
            sent_to: sent_to.clone(),
            pace: pace.clone(),
        },
    );
    let mut client = place.connection.byte_stream();
    let answer = tokio::select! {
        answer = client.write(messages) => answer,
        () = pace.stalled(STALL_MAX) => {
            Err(Status::deadline_exceeded(format!("the server took nothing for {STALL_MAX:?}")))
        }
    };
    // A source that failed has ended the call without `finish_write`; what the server says to that does not matter.
    if let Some(error) = source_error.lock().take() {
        return Err(Failed::Source(error));
    }
    let committed_size = answer.map_err(Failed::Call)?.into_inner().committed_size;
    let size_bytes = digest.size_bytes() as i64;
    let is_complete = match name.compressor {
        Compressor::Identity => committed_size == size_bytes,
        // -1 is "it was there already" (B9); otherwise servers count one side or the other.
        Compressor::Zstd => [-1, size_bytes, *sent_to.lock() as i64].contains(&committed_size),
    };
    if !is_complete {
        let why = format!(
            "blob {digest} was sent whole, but {committed_size} bytes of it are said to be committed"
        );
        return Err(Failed::Call(nonsense(why)));
    }
    Ok(())
}

/// What the messages tell beside themselves.
struct Reports {
    source_error: Arc<Mutex<Option<BlobError>>>,
    /// The offset after the last byte sent, as the messages count (B7).
    sent_to: Arc<Mutex<u64>>,
    pace: Pace,
}

/// Messages of one call. The last piece is held back until the source has ended well, so that `finish_write` is only
/// ever said about bytes that are proven; a source that fails ends the call without it, and nothing is stored (B8).
fn messages(
    name: String,
    start: u64,
    chunks: BlobStream,
    reports: Reports,
) -> impl Stream<Item = WriteRequest> + Send + 'static {
    struct State {
        chunks: BlobStream,
        held: Option<Bytes>,
        /// Sent with the first message only (B5).
        name: String,
        offset: u64,
        ended: bool,
        reports: Reports,
    }
    let state = State {
        chunks,
        held: None,
        name,
        offset: start,
        ended: false,
        reports,
    };
    stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        state.reports.pace.asked();
        let data = loop {
            match state.chunks.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    if let Some(held) = state.held.replace(chunk) {
                        break Some(held);
                    }
                }
                Some(Err(error)) => {
                    *state.reports.source_error.lock() = Some(error);
                    break None;
                }
                None => {
                    state.ended = true;
                    break Some(state.held.take().unwrap_or_default());
                }
            }
        };
        state.reports.pace.given();
        let data = data?;
        let message = WriteRequest {
            resource_name: std::mem::take(&mut state.name),
            write_offset: state.offset as i64,
            finish_write: state.ended,
            data,
        };
        state.offset += message.data.len() as u64;
        *state.reports.sent_to.lock() = state.offset;
        Some((message, state))
    })
}

enum Committed {
    All,
    /// So many bytes from the start.
    Some(u64),
}

/// How far the server got. Not knowing means starting again, so an error here needs no retry of its own.
async fn committed(place: &Place<'_>, name: &WriteName) -> Committed {
    let request = QueryWriteStatusRequest {
        resource_name: name.to_string(),
    };
    let mut client = place.connection.byte_stream();
    match place
        .connection
        .deadlined(client.query_write_status(request))
        .await
    {
        Ok(answer) if answer.complete => Committed::All,
        // Resuming in the middle of compressed data is where servers differ most; starting again always works.
        Ok(_) if name.compressor != Compressor::Identity => Committed::Some(0),
        Ok(answer) => {
            let bytes = u64::try_from(answer.committed_size).unwrap_or(0);
            Committed::Some(if bytes < place.digest.size_bytes() {
                bytes
            } else {
                0
            })
        }
        Err(status) => {
            if status.code() != Code::Unimplemented {
                tracing::debug!(%name, %status, "how far an upload got is not known");
            }
            Committed::Some(0)
        }
    }
}
