//! `BatchUpdateBlobs`: many small uploads in one call.

use blob::{Compressor, Digest, InstanceName};
use bytes::Bytes;
use reapi::execution::{BatchUpdateBlobsRequest, batch_update_blobs_request};
use tonic::Status;

use crate::coalesce::Answers;
use crate::connection::Connection;
use crate::limits::COMPRESSED_BYTES_MIN;
use crate::settle::{Outcome, settle};
use crate::status;

/// Uploads blobs of one function, whose bytes are proven already.
pub(crate) async fn batch_update(
    connection: &Connection,
    instance: &InstanceName,
    zstd: bool,
    blobs: Vec<(Digest, Bytes)>,
) -> Answers<()> {
    let attempt = |blobs| attempt(connection, instance, zstd, blobs);
    settle(&connection.retry, blobs, attempt, status::upload_error).await
}

async fn attempt(
    connection: &Connection,
    instance: &InstanceName,
    zstd: bool,
    blobs: Vec<(Digest, Bytes)>,
) -> Result<Outcome<()>, Status> {
    let Some(function) = blobs.first().map(|(digest, _)| digest.function()) else {
        return Ok(Outcome::new());
    };
    let request = BatchUpdateBlobsRequest {
        instance_name: instance.as_str().to_owned(),
        requests: blobs
            .into_iter()
            .map(|(digest, bytes)| entry(digest, bytes, zstd))
            .collect(),
        digest_function: function.to_proto() as i32,
    };
    let answer = connection
        .deadlined(connection.cas().batch_update_blobs(request))
        .await?;
    let mut outcome = Outcome::with_capacity(answer.responses.len());
    for response in answer.responses {
        let digest = response
            .digest
            .as_ref()
            .map(|proto| Digest::from_proto(function, proto));
        let Some(Ok(digest)) = digest else {
            return Err(status::nonsense("it names no valid digest"));
        };
        outcome.insert(digest, status::of_entry(response.status.as_ref()));
    }
    Ok(outcome)
}

/// Compressed only where it helps.
fn entry(digest: Digest, bytes: Bytes, zstd: bool) -> batch_update_blobs_request::Request {
    let compressed = (zstd && digest.size_bytes() >= COMPRESSED_BYTES_MIN)
        .then(|| compression::compress_all(bytes.clone()).ok())
        .flatten()
        .filter(|compressed| compressed.len() < bytes.len());
    let (data, compressor) = match compressed {
        Some(compressed) => (compressed, Compressor::Zstd),
        None => (bytes, Compressor::Identity),
    };
    batch_update_blobs_request::Request {
        digest: Some(digest.to_proto()),
        data,
        compressor: compressor.to_proto() as i32,
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    #[test]
    fn only_what_shrinks_is_compressed() {
        let compressor = |bytes: Vec<u8>, zstd| {
            let digest = Digest::of(DigestFunction::Sha256, &bytes);
            let entry = entry(digest, bytes.clone().into(), zstd);
            let plain = match Compressor::from_proto(entry.compressor).unwrap() {
                Compressor::Identity => entry.data,
                Compressor::Zstd => compression::decompress_all(entry.data, digest.size_bytes()).unwrap(),
            };
            assert_eq!(plain, bytes);
            Compressor::from_proto(entry.compressor).unwrap()
        };
        let noise = (0..100u32).flat_map(|n| {
            Digest::of(DigestFunction::Sha256, &n.to_le_bytes())
                .hash_bytes()
                .to_vec()
        });
        assert_eq!(compressor(vec![7; 5000], true), Compressor::Zstd);
        assert_eq!(compressor(vec![7; 5000], false), Compressor::Identity);
        assert_eq!(compressor(vec![7; 500], true), Compressor::Identity);
        assert_eq!(compressor(noise.collect(), true), Compressor::Identity);
    }
}
