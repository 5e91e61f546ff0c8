//! `ByteStream.Read`: pulled piece by piece, and gone on with where a broken call left it.

use std::ops::Range;
use std::sync::Arc;

use blob::{BlobError, BlobStream, Compressor, Digest, InstanceName, ReadName};
use bytes::Bytes;
use cas::StoreError;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use reapi::bytestream::ReadRequest;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::Place;
use crate::connection::Connection;
use crate::limits::STALL_MAX;
use crate::retry::Retries;
use crate::status;

/// The bytes of `range`, which is not empty: exactly as many, or an error. `None` is a miss.
///
/// Waits for the first piece, because only then is it known that the server has the blob. A call that breaks later
/// is made again from where it broke; a blob that has gone away meanwhile is reported as damaged, which it is.
pub(crate) async fn read(place: Place<'_>, range: Range<u64>) -> Result<Option<BlobStream>, StoreError> {
    let digest = place.digest;
    // A compressed read has no limit (checklist B15): it always goes on to the end of the blob.
    let to_the_end = range.end == digest.size_bytes();
    let mut reading = Reading {
        connection: place.connection.clone(),
        instance: place.instance.clone(),
        digest,
        compressor: if to_the_end {
            place.compressor()
        } else {
            Compressor::Identity
        },
        at: range.start,
        end: range.end,
        chunks: None,
        retries: place.connection.retry.start(),
    };
    match reading.next().await {
        Ok(first) => {
            let rest = stream::try_unfold(reading, |mut reading| async move {
                let piece = reading
                    .next()
                    .await
                    .map_err(|broken| broken.into_blob_error(&reading.digest))?;
                Ok(piece.map(|piece| (piece, reading)))
            });
            Ok(Some(stream::iter(first.map(Ok)).chain(rest).boxed()))
        }
        Err(Broken::Status(status)) if status.code() == Code::NotFound => Ok(None),
        Err(Broken::Status(status)) if status.code() == Code::OutOfRange => Err(StoreError::OutOfRange {
            digest,
            offset: range.start,
        }),
        Err(Broken::Status(status)) if status.code() == Code::DataLoss => {
            Err(status::read_error(&digest, &status).into())
        }
        Err(Broken::Status(status)) => Err(status::store_error(
            &format!("downloading blob {digest}"),
            &status,
        )),
        Err(Broken::Size(error)) => Err(error.into()),
    }
}

struct Reading {
    connection: Arc<Connection>,
    instance: InstanceName,
    digest: Digest,
    compressor: Compressor,
    /// The next byte to hand out.
    at: u64,
    end: u64,
    /// The call under way.
    chunks: Option<BoxStream<'static, Result<Bytes, Status>>>,
    retries: Retries,
}

enum Broken {
    Status(Status),
    Size(BlobError),
}

impl Broken {
    fn into_blob_error(self, digest: &Digest) -> BlobError {
        match self {
            Broken::Status(status) => status::read_error(digest, &status),
            Broken::Size(error) => error,
        }
    }
}

impl Reading {
    /// The next piece; `None` once all have been handed out.
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let piece = match self.piece().await {
                Ok(piece) => piece,
                // All bytes are here; how the call ends is of no interest.
                Err(_) if self.at == self.end => None,
                Err(status) => {
                    self.chunks = None;
                    self.retries.again(status).await.map_err(Broken::Status)?;
                    continue;
                }
            };
            let left = self.end - self.at;
            match piece {
                None if left == 0 => return Ok(None),
                Some(piece) if piece.is_empty() => {}
                Some(piece) if piece.len() as u64 <= left => {
                    self.at += piece.len() as u64;
                    self.retries.progressed();
                    return Ok(Some(piece));
                }
                unequal => {
                    let came = unequal.map_or(0, |piece| piece.len() as u64);
                    self.chunks = None;
                    let size_bytes = self.digest.size_bytes() - left + came;
                    return Err(Broken::Size(BlobError::WrongSize {
                        expected: self.digest,
                        size_bytes,
                    }));
                }
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Status> {
        if self.chunks.is_none() {
            self.chunks = Some(self.open().await?);
        }
        let chunks = self.chunks.as_mut().expect("it was just opened");
        match timeout(STALL_MAX, chunks.try_next()).await {
            Ok(piece) => piece,
            Err(_elapsed) => Err(Status::deadline_exceeded(format!(
                "nothing came for {STALL_MAX:?}"
            ))),
        }
    }

    /// `&mut` only because `chunks` cannot be shared between threads.
    async fn open(&mut self) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let (instance, digest, compressor) = (self.instance.clone(), self.digest, self.compressor);
        let limit = if self.end == digest.size_bytes() {
            0
        } else {
            self.end - self.at
        };
        let request = ReadRequest {
            resource_name: ReadName {
                instance,
                digest,
                compressor,
            }
            .to_string(),
            // Both lie within the size of a digest, which fits.
            read_offset: self.at as i64,
            read_limit: limit as i64,
        };
        let mut client = self.connection.byte_stream();
        let answer = timeout(STALL_MAX, client.read(request))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Status::deadline_exceeded(format!(
                    "no answer within {STALL_MAX:?}"
                )))
            })?;
        let chunks = answer.into_inner().map_ok(|message| message.data);
        Ok(match compressor {
            Compressor::Identity => chunks.boxed(),
            Compressor::Zstd => compression::decompress(chunks, self.end - self.at, move |error| {
                status::nonsense(format!("blob {digest}: {error}"))
            })
            .boxed(),
        })
    }
}
