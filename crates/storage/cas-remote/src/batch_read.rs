//! `BatchReadBlobs`: many small downloads in one call.

use blob::{Blob, Compressor, Digest, InstanceName};
use bytes::Bytes;
use reapi::execution::BatchReadBlobsRequest;
use tonic::{Code, Status};

use crate::coalesce::Answers;
use crate::connection::Connection;
use crate::settle::{Outcome, settle};
use crate::status;

/// Downloads blobs of one function, each proven. `None` is a miss.
pub(crate) async fn batch_read(
    connection: &Connection,
    instance: &InstanceName,
    zstd: bool,
    digests: Vec<(Digest, ())>,
) -> Answers<Option<Bytes>> {
    let failed = |digest: &Digest, status: &Status| match status.code() {
        Code::DataLoss => status::read_error(digest, status).into(),
        _ => status::store_error(&format!("downloading blob {digest}"), status),
    };
    settle(
        &connection.retry,
        digests,
        |digests| attempt(connection, instance, zstd, digests),
        failed,
    )
    .await
}

async fn attempt(
    connection: &Connection,
    instance: &InstanceName,
    zstd: bool,
    digests: Vec<(Digest, ())>,
) -> Result<Outcome<Option<Bytes>>, Status> {
    let [(first, ()), ..] = digests[..] else {
        return Ok(Outcome::new());
    };
    let function = first.function();
    let mut acceptable = vec![Compressor::Identity.to_proto() as i32];
    if zstd {
        acceptable.push(Compressor::Zstd.to_proto() as i32);
    }
    let request = BatchReadBlobsRequest {
        instance_name: instance.as_str().to_owned(),
        digests: digests.iter().map(|(digest, ())| digest.to_proto()).collect(),
        acceptable_compressors: acceptable,
        digest_function: function.to_proto() as i32,
    };
    let answer = connection
        .deadlined(connection.cas().batch_read_blobs(request))
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
        let answer = match status::of_entry(response.status.as_ref()) {
            Ok(()) => proven(digest, response.data, response.compressor).map(Some),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        };
        outcome.insert(digest, answer);
    }
    Ok(outcome)
}

fn proven(digest: Digest, data: Bytes, compressor: i32) -> Result<Bytes, Status> {
    let bytes = match Compressor::from_proto(compressor) {
        Some(Compressor::Identity) => data,
        Some(Compressor::Zstd) => compression::decompress_all(data, digest.size_bytes())
            .map_err(|error| status::nonsense(format!("blob {digest}: {error}")))?,
        None => {
            return Err(status::nonsense(format!(
                "blob {digest} came with compressor {compressor}"
            )));
        }
    };
    match Blob::verified(digest, bytes.clone()) {
        Ok(_proof) => Ok(bytes),
        Err(error) => Err(status::nonsense(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    #[test]
    fn wrong_bytes_are_never_handed_out() {
        let digest = Digest::of(DigestFunction::Sha256, b"hello");
        let frame = compression::compress_all(Bytes::from_static(b"hello")).unwrap();
        assert_eq!(proven(digest, Bytes::from_static(b"hello"), 0).unwrap(), "hello");
        assert_eq!(proven(digest, frame.clone(), 1).unwrap(), "hello");
        for (data, compressor) in [
            (Bytes::from_static(b"jello"), 0),
            (frame.clone(), 0),
            (frame.slice(1..), 1),
            (frame, 2),
        ] {
            assert_eq!(
                proven(digest, data, compressor).unwrap_err().code(),
                Code::FailedPrecondition
            );
        }
    }
}
