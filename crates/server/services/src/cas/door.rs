//! The way in and out of `FindMissingBlobs`: by hand, because a client asks about tens of thousands of blobs at a time.
//! Everything else goes to the generated server.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use reapi::execution::content_addressable_storage_server::{ContentAddressableStorageServer, SERVICE_NAME};
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::{Status, codegen::Service};

use super::ContentAddressableStorage;
use super::find_missing_blobs::find_missing_blobs_encoded;
use crate::grpc::messages::Messages;
use crate::grpc::{answers, is_compressed};
use crate::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};

const FIND_MISSING_BLOBS: &str =
    "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs";

/// The service as a route.
#[derive(Clone)]
pub(crate) struct CasDoor {
    cas: ContentAddressableStorage,
    generated: ContentAddressableStorageServer<ContentAddressableStorage>,
}

impl CasDoor {
    pub(crate) fn new(cas: ContentAddressableStorage) -> Self {
        let generated = ContentAddressableStorageServer::new(cas.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        CasDoor { cas, generated }
    }
}

impl NamedService for CasDoor {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for CasDoor {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != FIND_MISSING_BLOBS || is_compressed(&request) {
            return self.generated.call(request);
        }
        let service = self.cas.clone();
        async move {
            let response = serve_find_missing_blobs(&service, request.into_body()).await;
            Ok(response.unwrap_or_else(answers::refusal))
        }
        .boxed()
    }
}

async fn serve_find_missing_blobs(
    service: &ContentAddressableStorage,
    body: Body,
) -> Result<Response<Body>, Status> {
    let request = Messages::new(body).only().await?.into_bytes();
    let frame = find_missing_blobs_encoded(service, &request).await?;
    Ok(answers::encoded(frame.freeze()))
}
