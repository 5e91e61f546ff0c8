//! `ByteStream.Write`: the journey of an upload.
//!
//! A blob that comes in one message is checked and stored at once. A larger one feeds an upload that survives a broken
//! call (`uploads.rs`). Whatever goes wrong, a blob is stored whole and proven, or not at all.

use std::ops::ControlFlow;

use blob::{Blob, BlobError, Compressor, DigestSet, LogStreamName, WriteName};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use compression::decompress_all;
use futures::future::FutureExt;
use futures::stream::{Stream, StreamExt, TryStreamExt};
use reapi::bytestream::WriteResponse;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::decoding::Decoding;
use super::sequence::Sequence;
use super::upload::Appetite;
use super::uploads::{LiveUpload, Opened, out_of_range};
use super::write_message::WriteMessage;
use super::{ByteStream, log_stream};
use crate::admission::Admission;
use crate::grpc::pieces::Pieces;
use crate::limits::{UPLOAD_IN_MEMORY_BYTES_MAX, UPLOAD_MESSAGE_WAIT_MAX};
use crate::malformed::malformed;
use crate::{request_metadata, status};

/// `committed_size` of an upload that ended early because the blob was there, when it was sent compressed (B9).
const ALREADY_THERE_COMPRESSED: i64 = -1;

pub(super) async fn write<M: Into<WriteMessage>>(
    service: &ByteStream,
    header: Option<&str>,
    messages: impl Stream<Item = Result<M, Status>> + Unpin,
) -> Result<WriteResponse, Status> {
    let mut messages = messages.map_ok(M::into);
    let first = match next(&mut messages).await? {
        Some(first) => first,
        None => {
            return Err(status::invalid(
                "ByteStream.Write: the stream ended before its first message",
            ));
        }
    };
    request_metadata::check_resource_name(header, &first.resource_name)?;
    if LogStreamName::is_meant(&first.resource_name) {
        let name = LogStreamName::parse(&first.resource_name).map_err(status::resource_name_error)?;
        return log_stream::write(service, &name, first, &mut messages).await;
    }
    let name = WriteName::parse(&first.resource_name).map_err(status::resource_name_error)?;
    let instance = service.instances.get(&name.instance)?;
    if name.digest.size_bytes() > service.blob_size_bytes_max {
        return Err(status::blob_too_large(&name.digest, service.blob_size_bytes_max));
    }
    let mut sequence = Sequence::starting_with(&first)?;
    if sequence.start > name.digest.size_bytes() {
        return Err(out_of_range(sequence.start, name.digest.size_bytes()));
    }
    if is_there(&*instance.cas, &name).await? {
        return Ok(already_there(&name));
    }
    if is_whole(&name, &first) {
        let _share = service
            .admission
            .admit(name.digest.size_bytes() + first.data.len() as u64)
            .await?;
        nothing_follows(&mut messages)?;
        sequence.accept(&first)?;
        let blob = whole(&name, first.data).and_then(|bytes| Blob::verified(name.digest, bytes));
        instance
            .cas
            .put(blob.map_err(|error| status::upload_error(error.into()))?)
            .await
            .map_err(status::upload_error)?;
        return Ok(complete(&name, &sequence));
    }
    let upload = match service.uploads.open(&name, sequence.start, &instance.cas).await? {
        Opened::Live(upload) => upload,
        Opened::Nothing {
            ended_meanwhile: true,
        } if is_there(&*instance.cas, &name).await? => {
            return Ok(already_there(&name));
        }
        Opened::Nothing { .. } => return Err(out_of_range(sequence.start, 0)),
    };
    feed(service, &name, upload, sequence, first, messages).await
}

/// Feeds an upload until it is stored, fails or is interrupted.
async fn feed(
    service: &ByteStream,
    name: &WriteName,
    mut upload: LiveUpload,
    mut sequence: Sequence,
    first: WriteMessage,
    mut messages: impl Stream<Item = Result<WriteMessage, Status>> + Unpin,
) -> Result<WriteResponse, Status> {
    let taken_over = upload.taken_over();
    let stop = tokio::select! {
        biased;
        () = taken_over.cancelled() => Err(Stop::Interrupted(status::status(
            Code::Aborted,
            "another call goes on with this upload",
        ))),
        stop = feed_all(&service.admission, name, &mut upload, &mut sequence, first, &mut messages) => stop,
    };
    match stop {
        Ok(End::Stored) => {
            upload.over();
            Ok(complete(name, &sequence))
        }
        Ok(End::AlreadyThere) => {
            upload.over();
            Ok(already_there(name))
        }
        Ok(End::Unfinished) => unfinished(name, upload.committed_bytes()),
        Err(Stop::Interrupted(status)) => Err(status),
        Err(Stop::Failed(status)) => {
            upload.over();
            Err(status)
        }
    }
}

/// How feeding ended without an error.
enum End {
    Stored,
    AlreadyThere,
    /// The client ended its stream without `finish_write`.
    Unfinished,
}

/// Why feeding stopped.
enum Stop {
    /// The client may come back and go on.
    Interrupted(Status),
    /// What came can never become the blob, or the store cannot take it.
    Failed(Status),
}

impl From<BlobError> for Stop {
    fn from(error: BlobError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Failed(status::upload_error(error))
    }
}

async fn feed_all(
    admission: &Admission,
    name: &WriteName,
    upload: &mut LiveUpload,
    sequence: &mut Sequence,
    first: WriteMessage,
    messages: &mut (impl Stream<Item = Result<WriteMessage, Status>> + Unpin),
) -> Result<End, Stop> {
    let mut decoding = Decoding::new(name, sequence.start, upload.committed_bytes())?;
    let mut message = first;
    loop {
        sequence.accept(&message).map_err(Stop::Failed)?;
        let share = admission
            .admit(message.data.len() as u64)
            .await
            .map_err(Stop::Interrupted)?;
        for data in message.data {
            decoding.push(data)?;
            while let Some(piece) = decoding.next_piece()? {
                if upload.feed(piece).await? == Appetite::Stored {
                    return Ok(End::AlreadyThere);
                }
            }
        }
        drop(share);
        if message.finish_write {
            decoding.finish()?;
            nothing_follows(messages).map_err(Stop::Failed)?;
            upload.finish().await?;
            return Ok(End::Stored);
        }
        message = match next_or_ended(upload, messages).await? {
            ControlFlow::Continue(message) => message,
            ControlFlow::Break(end) => return Ok(end),
        };
    }
}

/// Waits for the next message, or for the store to say that it needs none.
async fn next_or_ended(
    upload: &mut LiveUpload,
    messages: &mut (impl Stream<Item = Result<WriteMessage, Status>> + Unpin),
) -> Result<ControlFlow<End, WriteMessage>, Stop> {
    tokio::select! {
        biased;
        message = next(messages) => match message.map_err(Stop::Interrupted)? {
            Some(message) => Ok(ControlFlow::Continue(message)),
            None => Ok(ControlFlow::Break(End::Unfinished)),
        },
        stored = upload.ended() => Ok(stored.map(|()| ControlFlow::Break(End::AlreadyThere))?),
    }
}

/// The next message. A client that says nothing for too long is as good as gone.
async fn next(
    messages: &mut (impl Stream<Item = Result<WriteMessage, Status>> + Unpin),
) -> Result<Option<WriteMessage>, Status> {
    match timeout(UPLOAD_MESSAGE_WAIT_MAX, messages.next()).await {
        Ok(message) => message.transpose(),
        Err(_elapsed) => Err(status::status(
            Code::DeadlineExceeded,
            format!(
                "ByteStream.Write: no message for {} s",
                UPLOAD_MESSAGE_WAIT_MAX.as_secs()
            ),
        )),
    }
}

/// `finish_write` was the last message (B8). Only what has arrived is looked at: a client may wait for the answer
/// before it closes its side.
pub(super) fn nothing_follows(
    messages: &mut (impl Stream<Item = Result<WriteMessage, Status>> + Unpin),
) -> Result<(), Status> {
    match messages.next().now_or_never() {
        Some(Some(Ok(_))) => Err(status::invalid(
            "ByteStream.Write: a message follows the one with finish_write",
        )),
        _ => Ok(()),
    }
}

/// Also refreshes the blob's life (S7).
async fn is_there(store: &dyn BlobStore, name: &WriteName) -> Result<bool, Status> {
    let missing = store
        .find_missing(&DigestSet::from(name.digest))
        .await
        .map_err(status::store_error)?;
    Ok(missing.is_empty())
}

/// Whether one message holds the whole blob, and it may be kept in memory.
fn is_whole(name: &WriteName, first: &WriteMessage) -> bool {
    let in_one = first.finish_write && first.write_offset == 0;
    in_one
        && match name.compressor {
            Compressor::Identity => first.data.len() as u64 == name.digest.size_bytes(),
            Compressor::Zstd => name.digest.size_bytes() <= UPLOAD_IN_MEMORY_BYTES_MAX,
        }
}

/// Its bytes.
fn whole(name: &WriteName, data: Pieces) -> Result<Bytes, BlobError> {
    let digest = name.digest;
    match name.compressor {
        Compressor::Identity => Ok(data.into_bytes()),
        Compressor::Zstd => {
            decompress_all(data.into_bytes(), digest.size_bytes()).map_err(|error| malformed(digest, &error))
        }
    }
}

/// The size is always that of the uncompressed blob, except for uploads that were sent compressed (B9).
fn already_there(name: &WriteName) -> WriteResponse {
    let committed_size = match name.compressor {
        Compressor::Identity => name.digest.size_bytes() as i64,
        Compressor::Zstd => ALREADY_THERE_COMPRESSED,
    };
    WriteResponse { committed_size }
}

/// Where the client's own offsets ended: the size of the blob, or the compressed bytes sent. Bazel compares (B9).
fn complete(name: &WriteName, sequence: &Sequence) -> WriteResponse {
    let committed_size = match name.compressor {
        Compressor::Identity => name.digest.size_bytes() as i64,
        Compressor::Zstd => sequence.next_offset as i64,
    };
    WriteResponse { committed_size }
}

/// What came so far is kept and may be gone on with; all of it is not the same as being stored (B8).
fn unfinished(name: &WriteName, committed_bytes: u64) -> Result<WriteResponse, Status> {
    if committed_bytes < name.digest.size_bytes() {
        return Ok(WriteResponse {
            committed_size: committed_bytes as i64,
        });
    }
    Err(status::invalid(format!(
        "ByteStream.Write: all {committed_bytes} bytes came, but no message with finish_write; nothing is stored"
    )))
}

#[cfg(test)]
mod tests;
