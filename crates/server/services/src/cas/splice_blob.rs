//! `SpliceBlob`: a blob made of chunks that are here.

use blob::{Digest, DigestFunction, DigestSet};
use cas::{Recipe, SpliceError};
use reapi::execution::{SpliceBlobRequest, SpliceBlobResponse};
use tonic::{Code, Status};

use super::{ContentAddressableStorage, chunking as rules};
use crate::limits::RECIPE_CHUNKS_MAX;
use crate::status;

/// Chunks named in an error message.
const LISTED_CHUNKS_MAX: usize = 3;

/// The client is never believed: the chunks are read and hashed (checklist K3). A blob that is here already stays as it
/// is; its chunks become known if nobody knew them.
pub(super) async fn splice_blob(
    service: &ContentAddressableStorage,
    request: SpliceBlobRequest,
) -> Result<SpliceBlobResponse, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let Some(recipes) = &instance.recipes else {
        return Err(Status::unimplemented(
            "SpliceBlob is not offered by this instance (splice_blob_support is false)",
        ));
    };
    let function = DigestFunction::of_request(request.digest_function, request.blob_digest.as_ref())
        .map_err(status::digest_error)?;
    let digest = Digest::required(
        function,
        request.blob_digest.as_ref(),
        "SpliceBlobRequest.blob_digest",
    )
    .map_err(status::digest_error)?;
    let recipe = Recipe {
        chunks: chunks(&request, function)?,
        chunking_function: rules::function(request.chunking_function)?,
    };
    check(service, &digest, &recipe)?;
    let done = SpliceBlobResponse {
        blob_digest: Some(digest.to_proto()),
    };
    if digest.is_empty() {
        return Ok(done);
    }
    let named: DigestSet = recipe.chunks.iter().copied().collect();
    // Extends the life of whatever is here, also when nothing else is to be done.
    let absent = instance
        .cas
        .find_missing(&named.union(&DigestSet::from(digest)))
        .await
        .map_err(status::store_error)?;
    let is_here = !absent.contains(&digest);
    let missing = absent.difference(&DigestSet::from(digest));
    match (is_here, missing.is_empty()) {
        // Of itself: no news, and nothing a store should remember.
        _ if recipe.chunks[..] == [digest] => {
            return if is_here {
                Ok(done)
            } else {
                Err(missing_chunks(&digest, &named))
            };
        }
        // The blob is promised, but of these chunks it cannot be said.
        (true, false) => {
            return Err(status::status(
                Code::AlreadyExists,
                format!(
                    "blob {digest} is here, but {} of the chunks are not and were not needed",
                    missing.len()
                ),
            ));
        }
        (false, false) => return Err(missing_chunks(&digest, &missing)),
        (_, true) => {}
    }
    let _turn = rules::turn(service).await?;
    match recipes.splice(&digest, recipe).await {
        Ok(()) => Ok(done),
        Err(SpliceError::MissingChunks(missing)) => Err(missing_chunks(&digest, &missing)),
        Err(SpliceError::Store(error)) => Err(status::upload_error(error)),
    }
}

/// Empty chunks add nothing and are left out.
fn chunks(request: &SpliceBlobRequest, function: DigestFunction) -> Result<Vec<Digest>, Status> {
    let count = request.chunk_digests.len();
    if count > RECIPE_CHUNKS_MAX {
        return Err(status::invalid(format!(
            "SpliceBlob: {count} chunks; at most {RECIPE_CHUNKS_MAX} make one blob; use larger chunks, or upload the \
             blob as a whole"
        )));
    }
    let chunks = request
        .chunk_digests
        .iter()
        .map(|digest| Digest::from_proto(function, digest))
        .filter(|digest| !digest.as_ref().is_ok_and(Digest::is_empty));
    chunks.collect::<Result<_, _>>().map_err(status::digest_error)
}

/// What can be refused before any I/O.
fn check(service: &ContentAddressableStorage, digest: &Digest, recipe: &Recipe) -> Result<(), Status> {
    if digest.size_bytes() > service.blob_size_bytes_max {
        return Err(status::blob_too_large(digest, service.blob_size_bytes_max));
    }
    let size_bytes = recipe
        .chunks
        .iter()
        .try_fold(0u64, |sum, chunk| sum.checked_add(chunk.size_bytes()));
    if size_bytes != Some(digest.size_bytes()) {
        return Err(status::invalid(format!(
            "SpliceBlob: the chunks have {} bytes in all, but blob {digest} has {}",
            size_bytes.map_or("too many".to_owned(), |bytes| bytes.to_string()),
            digest.size_bytes()
        )));
    }
    Ok(())
}

fn missing_chunks(digest: &Digest, missing: &DigestSet) -> Status {
    let listed: Vec<String> = missing
        .iter()
        .take(LISTED_CHUNKS_MAX)
        .map(Digest::to_string)
        .collect();
    let more = match missing.len().saturating_sub(listed.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    status::status(
        Code::NotFound,
        format!(
            "blob {digest} cannot be made: chunks {}{more} are not here; upload them first",
            listed.join(", ")
        ),
    )
}
