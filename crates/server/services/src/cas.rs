//! The `ContentAddressableStorage` service: one file per RPC.

mod batch_read_blobs;
mod batch_update_blobs;
mod door;
mod find_missing_blobs;
mod get_tree;

use std::sync::Arc;

use futures::stream::BoxStream;
use reapi::execution::content_addressable_storage_server::ContentAddressableStorage as CasService;
use reapi::execution::{
    BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest, BatchUpdateBlobsResponse,
    FindMissingBlobsRequest, FindMissingBlobsResponse, GetTreeRequest, GetTreeResponse, SpliceBlobRequest,
    SpliceBlobResponse, SplitBlobRequest, SplitBlobResponse,
};
use tonic::{Request, Response, Status};

pub(crate) use self::door::CasDoor;
use crate::Instances;
use crate::admission::Admission;

/// The service.
#[derive(Clone)]
pub struct ContentAddressableStorage {
    instances: Arc<Instances>,
    admission: Admission,
    blob_size_bytes_max: u64,
}

impl ContentAddressableStorage {
    pub(crate) fn new(instances: Arc<Instances>, admission: Admission, blob_size_bytes_max: u64) -> Self {
        ContentAddressableStorage {
            instances,
            admission,
            blob_size_bytes_max,
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

    /// Not offered in the capabilities, so this is the answer the specification asks for (checklist K1).
    async fn split_blob(&self, _: Request<SplitBlobRequest>) -> Result<Response<SplitBlobResponse>, Status> {
        Err(Status::unimplemented(
            "SplitBlob is not offered here (split_blob_support is false)",
        ))
    }

    /// As `split_blob`.
    async fn splice_blob(
        &self,
        _: Request<SpliceBlobRequest>,
    ) -> Result<Response<SpliceBlobResponse>, Status> {
        Err(Status::unimplemented(
            "SpliceBlob is not offered here (splice_blob_support is false)",
        ))
    }
}
