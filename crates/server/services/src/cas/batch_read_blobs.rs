//! `BatchReadBlobs`: many small downloads in one message.

use blob::{Compressor, Digest, DigestFunction};
use bytes::{Bytes, BytesMut};
use cas::BlobStore;
use compression::compress_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use prost::Message;
use reapi::execution::batch_read_blobs_response::Response;
use reapi::execution::{self as proto, BatchReadBlobsRequest, BatchReadBlobsResponse};
use tonic::{Code, Status};

use super::ContentAddressableStorage;
use crate::limits::{
    BATCH_COMPRESSED_BYTES_MIN, BATCH_CONCURRENCY, BATCH_DATA_BYTES_MAX, BATCH_ENTRY_OVERHEAD_BYTES,
    RESPONSE_BYTES_MAX,
};
use crate::{status, whole_blob};

/// One response per digest, in order, also for a digest asked for twice (checklist S6).
pub(super) async fn batch_read_blobs(
    service: &ContentAddressableStorage,
    request: BatchReadBlobsRequest,
) -> Result<BatchReadBlobsResponse, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let function = DigestFunction::of_request(request.digest_function, request.digests.first())
        .map_err(status::digest_error)?;
    let digests: Vec<Digest> = request
        .digests
        .iter()
        .map(|digest| Digest::from_proto(function, digest))
        .collect::<Result<_, _>>()
        .map_err(status::digest_error)?;
    let data_bytes = check_sizes(&digests)?;
    let zstd = request
        .acceptable_compressors
        .contains(&(Compressor::Zstd.to_proto() as i32));
    // What is compressed here is in memory in both forms.
    let held_bytes = if zstd { 2 * data_bytes } else { data_bytes };
    let _share = service.admission.admit(held_bytes).await?;
    let responses: Vec<Response> = stream::iter(digests)
        .map(|digest| async move { respond(&digest, read(&*instance.cas, &digest, zstd).await) })
        .buffered(BATCH_CONCURRENCY)
        .collect()
        .await;
    Ok(fitting(BatchReadBlobsResponse { responses }))
}

/// The room for one entry is counted without text: long complaints about thousands of blobs may not fit, then the
/// codes have to do.
fn fitting(mut response: BatchReadBlobsResponse) -> BatchReadBlobsResponse {
    if response.encoded_len() > RESPONSE_BYTES_MAX {
        response
            .responses
            .iter_mut()
            .filter_map(|entry| entry.status.as_mut())
            .for_each(|status| status.message.clear());
    }
    response
}

/// The whole call is refused when the answer could not be sent; returns the number of bytes of data.
fn check_sizes(digests: &[Digest]) -> Result<u64, Status> {
    let data_bytes = digests
        .iter()
        .fold(0u64, |sum, digest| sum.saturating_add(digest.size_bytes()));
    if data_bytes > BATCH_DATA_BYTES_MAX {
        return Err(status::invalid(format!(
            "BatchReadBlobs: {data_bytes} bytes asked for in one call; at most {BATCH_DATA_BYTES_MAX} are sent \
             (max_batch_total_size_bytes); use smaller batches or ByteStream"
        )));
    }
    let response_bytes = data_bytes + digests.len() as u64 * BATCH_ENTRY_OVERHEAD_BYTES;
    if response_bytes > RESPONSE_BYTES_MAX as u64 {
        return Err(status::invalid(format!(
            "BatchReadBlobs: the response for {} blobs would exceed {RESPONSE_BYTES_MAX} bytes; use smaller batches",
            digests.len()
        )));
    }
    Ok(data_bytes)
}

async fn read(store: &dyn BlobStore, digest: &Digest, zstd: bool) -> Result<(Bytes, Compressor), Status> {
    let zstd = zstd && digest.size_bytes() >= BATCH_COMPRESSED_BYTES_MIN as u64;
    if zstd && let Some(frames) = stored_frames(store, digest).await? {
        return Ok((frames, Compressor::Zstd));
    }
    let bytes = whole_blob::read(store, digest)
        .await
        .map_err(status::store_error)?;
    let Some(bytes) = bytes else {
        return Err(status::status(Code::NotFound, "not here"));
    };
    if zstd {
        let compressed =
            compress_all(bytes.clone()).map_err(|error| status::status(Code::Internal, error.to_string()))?;
        // What does not get smaller is sent as it is; that also keeps the response within its bound.
        if compressed.len() < bytes.len() {
            return Ok((compressed, Compressor::Zstd));
        }
    }
    Ok((bytes, Compressor::Identity))
}

/// What a store that holds the blob compressed can give as it is. `None` also where that is not smaller than the blob:
/// the room in the response was counted for its size.
async fn stored_frames(store: &dyn BlobStore, digest: &Digest) -> Result<Option<Bytes>, Status> {
    let found = store.get_zstd(digest, 0).await.map_err(status::store_error)?;
    let Some(mut frames) = found else {
        return Ok(None);
    };
    let mut joined = BytesMut::new();
    while let Some(piece) = frames.try_next().await.map_err(status::read_error)? {
        if (joined.len() + piece.len()) as u64 >= digest.size_bytes() {
            return Ok(None);
        }
        joined.extend_from_slice(&piece);
    }
    Ok(Some(joined.freeze()))
}

fn respond(digest: &Digest, read: Result<(Bytes, Compressor), Status>) -> Response {
    let digest: Option<proto::Digest> = Some(digest.to_proto());
    match read {
        Ok((data, compressor)) => Response {
            digest,
            data,
            compressor: compressor.to_proto() as i32,
            status: Some(Default::default()),
        },
        Err(error) => Response {
            digest,
            status: Some(status::to_proto(&error)),
            ..Default::default()
        },
    }
}
