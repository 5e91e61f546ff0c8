//! `BatchUpdateBlobs`: many small uploads in one message, each with its own verdict.

use std::sync::Arc;

use blob::{Blob, BlobError, Compressor, Digest, DigestFunction};
use bytes::Bytes;
use cas::BlobStore;
use compression::{decompress, decompress_all};
use futures::stream::{self, StreamExt};
use prost::Message;
use reapi::execution::batch_update_blobs_response::Response;
use reapi::execution::{
    BatchUpdateBlobsRequest, BatchUpdateBlobsResponse, batch_update_blobs_request as request,
};
use tonic::Status;

use super::ContentAddressableStorage;
use crate::limits::{
    BATCH_CONCURRENCY, BATCH_DATA_BYTES_MAX, RESPONSE_BYTES_MAX, UPLOAD_IN_MEMORY_BYTES_MAX,
};
use crate::malformed::malformed;
use crate::status;

/// One response per entry, in order; a bad one does not fail the others (checklist S4).
pub(super) async fn batch_update_blobs(
    service: &ContentAddressableStorage,
    request: BatchUpdateBlobsRequest,
) -> Result<BatchUpdateBlobsResponse, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let function = DigestFunction::from_proto(request.digest_function).map_err(status::digest_error)?;
    let sent_bytes: u64 = request.requests.iter().map(|entry| entry.data.len() as u64).sum();
    if sent_bytes > BATCH_DATA_BYTES_MAX {
        return Err(status::invalid(format!(
            "BatchUpdateBlobs: {sent_bytes} bytes in one call; at most {BATCH_DATA_BYTES_MAX} are taken \
             (max_batch_total_size_bytes); use smaller batches or ByteStream"
        )));
    }
    let _share = service.admission.admit(sent_bytes).await?;
    let responses = stream::iter(request.requests)
        .map(|entry| async {
            let digest = entry.digest.clone();
            let verdict = update(service, &instance.cas, function, entry).await.err();
            Response {
                digest,
                status: Some(verdict.as_ref().map(status::to_proto).unwrap_or_default()),
            }
        })
        .buffered(BATCH_CONCURRENCY)
        .collect()
        .await;
    fitting(BatchUpdateBlobsResponse { responses })
}

/// Thousands of long complaints may not fit a response; then the codes have to do.
fn fitting(mut response: BatchUpdateBlobsResponse) -> Result<BatchUpdateBlobsResponse, Status> {
    if response.encoded_len() > RESPONSE_BYTES_MAX {
        response
            .responses
            .iter_mut()
            .filter_map(|entry| entry.status.as_mut())
            .for_each(|status| status.message.clear());
    }
    if response.encoded_len() > RESPONSE_BYTES_MAX {
        let entries = response.responses.len();
        return Err(status::invalid(format!(
            "BatchUpdateBlobs: the response for {entries} entries is too long"
        )));
    }
    Ok(response)
}

async fn update(
    service: &ContentAddressableStorage,
    store: &Arc<dyn BlobStore>,
    function: DigestFunction,
    entry: request::Request,
) -> Result<(), Status> {
    let digest = Digest::required(
        function,
        entry.digest.as_ref(),
        "BatchUpdateBlobsRequest.Request.digest",
    )
    .map_err(status::digest_error)?;
    if digest.size_bytes() > service.blob_size_bytes_max {
        return Err(status::blob_too_large(&digest, service.blob_size_bytes_max));
    }
    let Some(compressor) = Compressor::from_proto(entry.compressor) else {
        let number = entry.compressor;
        return Err(status::invalid(format!(
            "compressor number {number} is not supported here (supported: identity, zstd)"
        )));
    };
    let blob = match compressor {
        Compressor::Identity => {
            Blob::verified(digest, entry.data).map_err(|error| status::upload_error(error.into()))?
        }
        Compressor::Zstd => decompressed(digest, entry.data)?,
    };
    store.put(blob).await.map_err(status::upload_error)
}

/// In memory when it is small; else in pieces, because a few bytes may promise gigabytes (S5). Either way the size in
/// the digest is the bound.
fn decompressed(digest: Digest, data: Bytes) -> Result<Blob, Status> {
    if digest.size_bytes() <= UPLOAD_IN_MEMORY_BYTES_MAX / BATCH_CONCURRENCY as u64 {
        let bytes = decompress_all(data, digest.size_bytes()).map_err(|error| malformed(digest, &error));
        return bytes
            .and_then(|bytes| Blob::verified(digest, bytes))
            .map_err(|error| status::upload_error(error.into()));
    }
    let compressed = stream::iter([Ok::<_, BlobError>(data)]);
    let chunks = decompress(compressed, digest.size_bytes(), move |error| {
        malformed(digest, &error)
    });
    Ok(Blob::checked(digest, chunks))
}
