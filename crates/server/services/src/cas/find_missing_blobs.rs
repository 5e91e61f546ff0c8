//! `FindMissingBlobs`: which blobs a client still has to upload.

use blob::{Digest, DigestFunction, DigestSet};
use prost::Message;
use reapi::execution::{FindMissingBlobsRequest, FindMissingBlobsResponse};
use tonic::Status;

use super::ContentAddressableStorage;
use crate::limits::RESPONSE_BYTES_MAX;
use crate::status;

/// Exactly the absent ones, each once; the others are refreshed by the store (checklist S1 to S3).
pub(super) async fn find_missing_blobs(
    service: &ContentAddressableStorage,
    request: FindMissingBlobsRequest,
) -> Result<FindMissingBlobsResponse, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let function = DigestFunction::from_proto(request.digest_function).map_err(status::digest_error)?;
    let digests: DigestSet = request
        .blob_digests
        .iter()
        .map(|digest| Digest::from_proto(function, digest))
        .collect::<Result<_, _>>()
        .map_err(status::digest_error)?;
    let missing = instance
        .cas
        .find_missing(&digests)
        .await
        .map_err(status::store_error)?;
    let response = FindMissingBlobsResponse {
        missing_blob_digests: missing.iter().map(Digest::to_proto).collect(),
    };
    // Only a request above the 4 MiB that clients may send gets an answer above the 4 MiB that they take.
    if response.encoded_len() > RESPONSE_BYTES_MAX {
        return Err(status::invalid(format!(
            "FindMissingBlobs: {} of {} blobs are missing, too many for one response; ask in smaller batches",
            missing.len(),
            digests.len()
        )));
    }
    Ok(response)
}
