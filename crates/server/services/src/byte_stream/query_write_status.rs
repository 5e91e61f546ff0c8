//! `ByteStream.QueryWriteStatus`: how far an upload got.

use blob::{DigestSet, LogStreamName, WriteName};
use reapi::bytestream::{QueryWriteStatusRequest, QueryWriteStatusResponse};
use tonic::Status;

use super::{ByteStream, log_stream};
use crate::status;

/// A blob that is here is complete, whoever wrote it. An unknown upload is answered with 0 rather than NOT_FOUND: both
/// are allowed (checklist B12), and Bazel gives an upload up on NOT_FOUND, which it would meet after every restart of
/// the server, but starts again from 0.
pub(super) async fn query_write_status(
    service: &ByteStream,
    request: QueryWriteStatusRequest,
) -> Result<QueryWriteStatusResponse, Status> {
    if LogStreamName::is_meant(&request.resource_name) {
        let name = LogStreamName::parse(&request.resource_name).map_err(status::resource_name_error)?;
        return log_stream::query_write_status(service, &name);
    }
    let name = WriteName::parse(&request.resource_name).map_err(status::resource_name_error)?;
    let instance = service.instances.get(&name.instance)?;
    let missing = instance
        .cas
        .find_missing(&DigestSet::from(name.digest))
        .await
        .map_err(status::store_error)?;
    if missing.is_empty() {
        return Ok(QueryWriteStatusResponse {
            committed_size: name.digest.size_bytes() as i64,
            complete: true,
        });
    }
    let committed_bytes = service.uploads.committed_bytes(&name).unwrap_or(0);
    Ok(QueryWriteStatusResponse {
        committed_size: committed_bytes as i64,
        complete: false,
    })
}
