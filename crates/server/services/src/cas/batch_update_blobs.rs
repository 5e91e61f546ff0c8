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
use tokio::sync::Semaphore;
use tonic::Status;

use super::ContentAddressableStorage;
use crate::limits::{
    BATCH_CONCURRENCY, BATCH_DATA_BYTES_MAX, BATCH_DECOMPRESSED_BYTES_MAX, BATCH_PUT_CONCURRENCY,
    RESPONSE_BYTES_MAX,
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
    let function = DigestFunction::of_request(
        request.digest_function,
        request.requests.first().and_then(|entry| entry.digest.as_ref()),
    )
    .map_err(status::digest_error)?;
    let sent_bytes: u64 = request.requests.iter().map(|entry| entry.data.len() as u64).sum();
    if sent_bytes > BATCH_DATA_BYTES_MAX {
        return Err(status::invalid(format!(
            "BatchUpdateBlobs: {sent_bytes} bytes in one call; at most {BATCH_DATA_BYTES_MAX} are taken \
             (max_batch_total_size_bytes); use smaller batches or ByteStream"
        )));
    }
    let held_bytes = request.requests.iter().map(decompressed_bytes).sum::<u64>() + sent_bytes;
    let _share = service.admission.admit(held_bytes).await?;
    let in_pieces = Semaphore::new(BATCH_CONCURRENCY);
    let responses = stream::iter(request.requests)
        .map(|entry| async {
            let digest = entry.digest.clone();
            let verdict = update(service, &instance.cas, function, entry, &in_pieces)
                .await
                .err();
            Response {
                digest,
                status: Some(verdict.as_ref().map(status::to_proto).unwrap_or_default()),
            }
        })
        .buffered(BATCH_PUT_CONCURRENCY)
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
    in_pieces: &Semaphore,
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
    let verified = match compressor {
        Compressor::Identity => Blob::verified(digest, entry.data),
        Compressor::Zstd if digest.size_bytes() <= BATCH_DECOMPRESSED_BYTES_MAX => {
            decompress_all(entry.data, digest.size_bytes())
                .map_err(|error| malformed(digest, &error))
                .and_then(|bytes| Blob::verified(digest, bytes))
        }
        // A few bytes may promise gigabytes (S5). Each decoder holds a window, so only some are open at a time.
        Compressor::Zstd => {
            let _turn = in_pieces.acquire().await.expect("nobody closes the semaphore");
            let put = store.put(decompressed_in_pieces(digest, entry.data));
            return put.await.map_err(status::upload_error);
        }
    };
    let blob = verified.map_err(|error| status::upload_error(error.into()))?;
    store.put(blob).await.map_err(status::upload_error)
}

/// What an entry takes in memory besides what was sent. The size in the digest is the bound, whatever the bytes say.
fn decompressed_bytes(entry: &request::Request) -> u64 {
    let size_bytes = entry.digest.as_ref().map_or(0, |digest| digest.size_bytes);
    match Compressor::from_proto(entry.compressor) {
        Some(Compressor::Zstd) => u64::try_from(size_bytes)
            .unwrap_or(0)
            .min(BATCH_DECOMPRESSED_BYTES_MAX),
        _ => 0,
    }
}

fn decompressed_in_pieces(digest: Digest, data: Bytes) -> Blob {
    let compressed = stream::iter([Ok::<_, BlobError>(data)]);
    let chunks = decompress(compressed, digest.size_bytes(), move |error| {
        malformed(digest, &error)
    });
    Blob::checked(digest, chunks)
}
