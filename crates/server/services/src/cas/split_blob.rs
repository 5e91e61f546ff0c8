//! `SplitBlob`: the chunks of a blob, cut now if nobody has cut it before.

use std::sync::Arc;

use blob::{Blob, ByteRange, Digest, DigestFunction, DigestSet};
use cas::{BlobStore, ChunkingFunction, Recipe, Recipes, SpliceError};
use chunking::{Chunker, Chunking};
use futures::TryStreamExt;
use futures::stream::{FuturesOrdered, StreamExt};
use prost::Message;
use reapi::execution::{SplitBlobRequest, SplitBlobResponse};
use tonic::{Code, Status};

use super::{ContentAddressableStorage, chunking as rules};
use crate::limits::{CHUNK_PUTS_MAX, RECIPE_CHUNKS_MAX, RESPONSE_BYTES_MAX};
use crate::status;

/// Answers with the known chunks, else cuts the blob. All chunks and the blob are promised (checklist K2).
///
/// A blob too small to be cut is its own only chunk: no client can do better with an error (K4, K7).
pub(super) async fn split_blob(
    service: &ContentAddressableStorage,
    request: SplitBlobRequest,
) -> Result<SplitBlobResponse, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let Some(recipes) = &instance.recipes else {
        return Err(Status::unimplemented(
            "SplitBlob is not offered by this instance (split_blob_support is false)",
        ));
    };
    let function = DigestFunction::of_request(request.digest_function, request.blob_digest.as_ref())
        .map_err(status::digest_error)?;
    let digest = Digest::required(
        function,
        request.blob_digest.as_ref(),
        "SplitBlobRequest.blob_digest",
    )
    .map_err(status::digest_error)?;
    let wish = rules::function(request.chunking_function)?;
    if digest.is_empty() {
        return Ok(SplitBlobResponse::default());
    }
    if let Some(recipe) = known(recipes, &digest).await? {
        return respond(&digest, recipe);
    }
    let asked = DigestSet::from(digest);
    let missing = instance
        .cas
        .find_missing(&asked)
        .await
        .map_err(status::store_error)?;
    if !missing.is_empty() {
        return Err(not_found(format!("blob {digest} is not here")));
    }
    let (rule, cut_by) = rules::rule(wish);
    if !rule.applies_to(digest.size_bytes()) {
        let itself = Recipe {
            chunks: vec![digest],
            chunking_function: ChunkingFunction::Unknown,
        };
        return respond(&digest, itself);
    }
    // Known too late, it would cost reading and storing most of the blob, for each call anew.
    check_length(&digest, digest.size_bytes() / rule.chunk_bytes_mean() as u64)?;
    let _turn = rules::turn(service).await?;
    // Another call may have cut it while this one waited.
    if let Some(recipe) = known(recipes, &digest).await? {
        return respond(&digest, recipe);
    }
    let in_memory = rule.held_bytes_max() + CHUNK_PUTS_MAX * rule.chunk_bytes_max();
    let _share = service.admission.admit(in_memory as u64).await?;
    let recipe = Recipe {
        chunks: cut(&instance.cas, &digest, rule).await?,
        chunking_function: cut_by,
    };
    match recipes.splice(&digest, recipe.clone()).await {
        Ok(()) => respond(&digest, recipe),
        // They were here a moment ago.
        Err(SpliceError::MissingChunks(missing)) => Err(status::overloaded(format!(
            "no room for the chunks of blob {digest}: {} of {} went as fast as they came; read it as a whole",
            missing.len(),
            recipe.chunks.len()
        ))),
        Err(SpliceError::Store(error)) => Err(status::store_error(error)),
    }
}

async fn known(recipes: &Arc<dyn Recipes>, digest: &Digest) -> Result<Option<Recipe>, Status> {
    recipes.split(digest).await.map_err(status::store_error)
}

/// Reads the blob once and stores its chunks as they come.
async fn cut(store: &Arc<dyn BlobStore>, digest: &Digest, rule: Chunking) -> Result<Vec<Digest>, Status> {
    let Some(mut pieces) = store
        .get(digest, ByteRange::FULL)
        .await
        .map_err(status::store_error)?
    else {
        return Err(not_found(format!("blob {digest} is not here")));
    };
    let (mut chunker, mut chunks, mut puts) = (Chunker::new(rule), Vec::new(), FuturesOrdered::new());
    loop {
        let piece = pieces.try_next().await.map_err(status::read_error)?;
        let is_last = piece.is_none();
        match piece {
            Some(piece) => chunker.push(piece),
            None => chunker.finish(),
        }
        while let Some(chunk) = chunker.take() {
            let chunk = Blob::from_bytes(digest.function(), chunk);
            chunks.push(chunk.digest());
            check_length(digest, chunks.len() as u64)?;
            if puts.len() == CHUNK_PUTS_MAX {
                puts.next().await.transpose().map_err(status::store_error)?;
            }
            puts.push_back(store.put(chunk));
            // Cutting and hashing one chunk is as long as a thread is kept.
            tokio::task::yield_now().await;
        }
        if is_last {
            break;
        }
    }
    while let Some(put) = puts.next().await {
        put.map_err(status::store_error)?;
    }
    Ok(chunks)
}

/// NOT_FOUND is also "no split information" (K1): clients read the whole then.
fn not_found(message: String) -> Status {
    status::status(Code::NotFound, message)
}

fn check_length(digest: &Digest, chunks: u64) -> Result<(), Status> {
    if chunks > RECIPE_CHUNKS_MAX as u64 {
        return Err(not_found(format!(
            "blob {digest} has more chunks than the {RECIPE_CHUNKS_MAX} that one answer names; read it as a whole"
        )));
    }
    Ok(())
}

fn respond(digest: &Digest, recipe: Recipe) -> Result<SplitBlobResponse, Status> {
    check_length(digest, recipe.chunks.len() as u64)?;
    let response = SplitBlobResponse {
        chunk_digests: recipe.chunks.iter().map(Digest::to_proto).collect(),
        chunking_function: rules::to_proto(recipe.chunking_function),
    };
    // Longer hashes than SHA-256's may still be too many.
    if response.encoded_len() > RESPONSE_BYTES_MAX {
        return Err(not_found(format!(
            "the {} chunks of blob {digest} are more than one answer holds; read it as a whole",
            recipe.chunks.len()
        )));
    }
    Ok(response)
}
