//! `SplitBlob` and `SpliceBlob` as calls: the port [`Recipes`] over REAPI.

use async_trait::async_trait;
use blob::{BlobError, Digest};
use cas::{BlobStore, ChunkingFunction, Recipe, Recipes, SpliceError, StoreError};
use reapi::execution::chunking_function::Value;
use reapi::execution::{SpliceBlobRequest, SplitBlobRequest};
use tonic::{Code, Status};

use crate::status::{self, nonsense};
use crate::store::RemoteStore;

impl RemoteStore {
    /// The server's answer; `None` also where it does not know how to split.
    pub(super) async fn split_blob(&self, blob: &Digest) -> Result<Option<Recipe>, Status> {
        let request = SplitBlobRequest {
            instance_name: self.instance().as_str().to_owned(),
            blob_digest: Some(blob.to_proto()),
            digest_function: blob.function().to_proto() as i32,
            chunking_function: Value::Unknown as i32,
        };
        let connection = self.connection();
        let mut retries = connection.retry.start();
        let answer = loop {
            let mut client = connection.cas();
            match connection.deadlined(client.split_blob(request.clone())).await {
                Ok(answer) => break answer,
                Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => {
                    return Ok(None);
                }
                Err(status) => retries.again(status).await?,
            }
        };
        retries.succeeded();
        let chunks = answer
            .chunk_digests
            .iter()
            .map(|proto| Digest::from_proto(blob.function(), proto));
        let chunks: Vec<Digest> = chunks
            .collect::<Result<_, _>>()
            .map_err(|error| nonsense(error.to_string()))?;
        // Bazel takes no chunks of something for "not found" too (checklist K2).
        if chunks.is_empty() && !blob.is_empty() {
            return Ok(None);
        }
        let size_bytes = chunks
            .iter()
            .try_fold(0u64, |sum, chunk| sum.checked_add(chunk.size_bytes()));
        if size_bytes != Some(blob.size_bytes()) {
            return Err(nonsense(format!("the chunks of blob {blob} have not its size")));
        }
        Ok(Some(Recipe {
            chunks,
            chunking_function: match Value::try_from(answer.chunking_function) {
                Ok(Value::FastCdc2020) => ChunkingFunction::FastCdc2020,
                Ok(Value::RepMaxCdc) => ChunkingFunction::RepMaxCdc,
                Ok(Value::Unknown) | Err(_) => ChunkingFunction::Unknown,
            },
        }))
    }

    /// Fine also where the blob was there already, however it was made.
    pub(super) async fn splice_blob(&self, blob: &Digest, recipe: &Recipe) -> Result<(), Status> {
        let function = match recipe.chunking_function {
            ChunkingFunction::Unknown => Value::Unknown,
            ChunkingFunction::FastCdc2020 => Value::FastCdc2020,
            ChunkingFunction::RepMaxCdc => Value::RepMaxCdc,
        };
        let request = SpliceBlobRequest {
            instance_name: self.instance().as_str().to_owned(),
            blob_digest: Some(blob.to_proto()),
            chunk_digests: recipe.chunks.iter().map(Digest::to_proto).collect(),
            digest_function: blob.function().to_proto() as i32,
            chunking_function: function as i32,
        };
        let connection = self.connection();
        let mut retries = connection.retry.start();
        loop {
            let mut client = connection.cas();
            match connection.deadlined(client.splice_blob(request.clone())).await {
                Ok(_) => break,
                Err(status) if status.code() == Code::AlreadyExists => break,
                Err(status) => retries.again(status).await?,
            }
        }
        retries.succeeded();
        Ok(())
    }
}

#[async_trait]
impl Recipes for RemoteStore {
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError> {
        let split = self.split_blob(blob).await;
        split.map_err(|status| status::store_error(&format!("splitting blob {blob}"), &status))
    }

    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError> {
        let Err(status) = self.splice_blob(blob, &recipe).await else {
            return Ok(());
        };
        match status.code() {
            // Which ones, a status does not say.
            Code::NotFound => {
                let chunks = recipe.chunks.into_iter().collect();
                Err(SpliceError::MissingChunks(self.find_missing(&chunks).await?))
            }
            Code::InvalidArgument => {
                let error = BlobError::Malformed {
                    digest: *blob,
                    reason: status.message().to_owned(),
                };
                Err(StoreError::from(error).into())
            }
            _ => Err(status::upload_error(blob, &status).into()),
        }
    }
}
