//! The `ContentAddressableStorage` service: one file per RPC.

mod batch_read_blobs;
mod batch_update_blobs;
pub(crate) mod chunking;
mod door;
mod find_missing_blobs;
mod get_tree;
mod splice_blob;
mod split_blob;

use std::sync::Arc;

use futures::stream::BoxStream;
use reapi::execution::content_addressable_storage_server::ContentAddressableStorage as CasService;
use reapi::execution::{
    BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest, BatchUpdateBlobsResponse,
    FindMissingBlobsRequest, FindMissingBlobsResponse, GetTreeRequest, GetTreeResponse, SpliceBlobRequest,
    SpliceBlobResponse, SplitBlobRequest, SplitBlobResponse,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

pub(crate) use self::door::CasDoor;
use crate::Instances;
use crate::admission::Admission;
use crate::limits::CHUNKING_CALLS_MAX;

/// The service.
#[derive(Clone)]
pub struct ContentAddressableStorage {
    instances: Arc<Instances>,
    admission: Admission,
    blob_size_bytes_max: u64,
    /// Of calls that cut and join.
    chunking_turns: Arc<Semaphore>,
}

impl ContentAddressableStorage {
    pub(crate) fn new(instances: Arc<Instances>, admission: Admission, blob_size_bytes_max: u64) -> Self {
        ContentAddressableStorage {
            instances,
            admission,
            blob_size_bytes_max,
            chunking_turns: Arc::new(Semaphore::new(CHUNKING_CALLS_MAX)),
        }
    }
}

#[tonic::async_trait]
impl CasService for ContentAddressableStorage {
    type GetTreeStream = BoxStream<'static, Result<GetTreeResponse, Status>>;

    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        find_missing_blobs::find_missing_blobs(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        batch_update_blobs::batch_update_blobs(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        batch_read_blobs::batch_read_blobs(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_tree(
        &self,
        request: Request<GetTreeRequest>,
    ) -> Result<Response<Self::GetTreeStream>, Status> {
        get_tree::get_tree(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn split_blob(
        &self,
        request: Request<SplitBlobRequest>,
    ) -> Result<Response<SplitBlobResponse>, Status> {
        split_blob::split_blob(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn splice_blob(
        &self,
        request: Request<SpliceBlobRequest>,
    ) -> Result<Response<SpliceBlobResponse>, Status> {
        splice_blob::splice_blob(self, request.into_inner())
            .await
            .map(Response::new)
    }
}
