//! Other people's clients reach our services: every method under its path, and streaming in the same directions.
//!
//! The clients of `bazel-remote-apis` talk straight to our generated servers, without a socket between. A method that
//! we named differently would answer UNIMPLEMENTED; one that streams differently would not compile here.

use bazel_remote_apis as theirs;
use reapi::asset::fetch_server::{Fetch, FetchServer};
use reapi::asset::push_server::{Push, PushServer};
use reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use reapi::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use reapi::execution::action_cache_server::{ActionCache, ActionCacheServer};
use reapi::execution::capabilities_server::{Capabilities, CapabilitiesServer};
use reapi::execution::content_addressable_storage_server::{
    ContentAddressableStorage, ContentAddressableStorageServer,
};
use reapi::execution::execution_server::{Execution, ExecutionServer};
use reapi::longrunning::Operation;
use reapi::longrunning::operations_server::{Operations, OperationsServer};
use reapi::{asset, execution, logstream, longrunning};
use tonic::codegen::{BoxStream, tokio_stream};
use tonic::{Code, Request, Response, Status, Streaming};

/// Every service at once. Each method refuses with its own name, except where a stream has something to show.
#[derive(Clone)]
struct Everything;

/// Implements methods that only say that they were reached.
macro_rules! refusing {
    ($($method:ident($request:ty) -> $response:ty;)+) => {
        fn refuse<T>(method: &str) -> Result<T, Status> {
            Err(Status::aborted(method))
        }
        $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
            refuse(stringify!($method))
        })+
    };
}
