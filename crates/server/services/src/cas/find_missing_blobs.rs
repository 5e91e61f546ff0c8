//! `FindMissingBlobs`: which blobs a client still has to upload.

use blob::{Digest, DigestFunction, DigestSet};
use bytes::BytesMut;
use reapi::execution::{FindMissingBlobsRequest, FindMissingBlobsResponse};
use tonic::Status;

use super::ContentAddressableStorage;
use crate::grpc::wire::{self, Field};
use crate::grpc::{answers, digests};
use crate::limits::RESPONSE_BYTES_MAX;
use crate::status;

const INSTANCE_NAME: u32 = 1;
const BLOB_DIGESTS: u32 = 2;
const DIGEST_FUNCTION: u32 = 3;
const MISSING_BLOB_DIGESTS: u32 = 2;

/// Exactly the absent ones, each once; the others are refreshed by the store (checklist S1 to S3).
pub(super) async fn find_missing_blobs(
    service: &ContentAddressableStorage,
    request: FindMissingBlobsRequest,
) -> Result<FindMissingBlobsResponse, Status> {
    let function = DigestFunction::of_request(request.digest_function, request.blob_digests.first())
        .map_err(status::digest_error)?;
    let digests = request
        .blob_digests
        .iter()
        .map(|digest| Digest::from_proto(function, digest))
        .collect::<Result<_, _>>()
        .map_err(status::digest_error)?;
    let missing = find_missing(service, &request.instance_name, &digests).await?;
    Ok(FindMissingBlobsResponse {
        missing_blob_digests: missing.iter().map(Digest::to_proto).collect(),
    })
}

/// The same between the wire and the wire: the encoded request, and the frame of the encoded response.
pub(super) async fn find_missing_blobs_encoded(
    service: &ContentAddressableStorage,
    request: &[u8],
) -> Result<BytesMut, Status> {
    let (instance_name, digests) = decode(request)?;
    let missing = find_missing(service, &instance_name, &digests).await?;
    let length = encoded_len(&missing);
    let mut frame = answers::prefix(length, length);
    missing
        .iter()
        .for_each(|digest| digests::encode(MISSING_BLOB_DIGESTS, digest, &mut frame));
    Ok(frame)
}

async fn find_missing(
    service: &ContentAddressableStorage,
    instance_name: &str,
    digests: &DigestSet,
) -> Result<DigestSet, Status> {
    let instance = service.instances.get(&status::instance_name(instance_name)?)?;
    let missing = instance
        .cas
        .find_missing(digests)
        .await
        .map_err(status::store_error)?;
    // Only a request above the 4 MiB that clients may send gets an answer above the 4 MiB that they take.
    if encoded_len(&missing) > RESPONSE_BYTES_MAX {
        return Err(status::invalid(format!(
            "FindMissingBlobs: {} of {} blobs are missing, too many for one response; ask in smaller batches",
            missing.len(),
            digests.len()
        )));
    }
    Ok(missing)
}

fn encoded_len(missing: &DigestSet) -> usize {
    missing
        .iter()
        .map(|digest| digests::encoded_len(MISSING_BLOB_DIGESTS, digest))
        .sum()
}

/// Twice over the request, because the digest function comes after the digests.
fn decode(request: &[u8]) -> Result<(String, DigestSet), Status> {
    let (mut instance_name, mut function, mut first_hash) = (String::new(), 0, None);
    wire::fields(request, |number, field| {
        match (number, field) {
            (INSTANCE_NAME, Field::Bytes(name)) => instance_name = wire::text(name.to_vec())?,
            (DIGEST_FUNCTION, Field::Varint(value)) => function = value as i32,
            (BLOB_DIGESTS, Field::Bytes(digest)) if first_hash.is_none() => {
                first_hash = Some(digests::hash(digest)?)
            }
            _ => {}
        }
        Ok(())
    })?;
    let function = DigestFunction::of_message(function, first_hash).map_err(status::digest_error)?;
    let mut all: Vec<Digest> = Vec::new();
    wire::fields(request, |number, field| {
        if let (BLOB_DIGESTS, Field::Bytes(digest)) = (number, field) {
            all.push(digests::decode(function, digest)?);
        }
        Ok(())
    })?;
    Ok((instance_name, DigestSet::from(all)))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_request_is_read_as_the_generated_code_reads_it() {
        for function in DigestFunction::ALL {
            let digests = [&b"a"[..], b"b", b"a", b""].map(|bytes| Digest::of(function, bytes));
            let request = FindMissingBlobsRequest {
                instance_name: "some/instance".to_owned(),
                blob_digests: digests.iter().map(Digest::to_proto).collect(),
                digest_function: function.to_proto() as i32,
            };
            let (instance_name, read) = decode(&request.encode_to_vec()).unwrap();
            assert_eq!(instance_name, request.instance_name);
            assert_eq!(read, digests.into_iter().collect());
        }
    }
}
