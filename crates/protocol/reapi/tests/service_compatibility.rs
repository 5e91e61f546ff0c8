//! Other people's clients reach our services: every method under its path, and streaming in the same directions.
//!
//! The clients of `bazel-remote-apis` talk straight to our generated servers, without a socket between. A method that
//! we named differently would answer UNIMPLEMENTED; one that streams differently would not compile here.

use bazel_remote_apis as theirs;
use prost_reflect::DescriptorPool;
use reapi::asset::fetch_server::{Fetch, FetchServer};
use reapi::asset::push_server::{Push, PushServer};
use reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use reapi::execution::action_cache_server::{ActionCache, ActionCacheServer};
use reapi::execution::capabilities_server::{Capabilities, CapabilitiesServer};
use reapi::execution::content_addressable_storage_server::{
    ContentAddressableStorage, ContentAddressableStorageServer,
};
use reapi::execution::execution_server::{Execution, ExecutionServer};
use reapi::logstream::log_stream_service_server::{LogStreamService, LogStreamServiceServer};
use reapi::longrunning::operations_server::{Operations, OperationsServer};
use reapi::{asset, bytestream, execution, logstream, longrunning};
use tonic::codegen::{BoxStream, tokio_stream};
use tonic::{Code, Request, Response, Status, Streaming};

/// Every service at once. Each method refuses with its own name.
struct Everything;

/// Implements a service: its associated stream types in brackets, then its methods.
macro_rules! refuse_all {
    ($service:ident { [$($stream:ident = $item:ty),*] $($method:ident($request:ty) -> $response:ty;)+ }) => {
        #[tonic::async_trait]
        impl $service for Everything {
            $(type $stream = BoxStream<$item>;)*
            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::aborted(stringify!($method)))
            })+
        }
    };
}

refuse_all!(Execution {
    [ExecuteStream = longrunning::Operation, WaitExecutionStream = longrunning::Operation]
    execute(execution::ExecuteRequest) -> BoxStream<longrunning::Operation>;
    wait_execution(execution::WaitExecutionRequest) -> BoxStream<longrunning::Operation>;
});
refuse_all!(ActionCache {
    []
    get_action_result(execution::GetActionResultRequest) -> execution::ActionResult;
    update_action_result(execution::UpdateActionResultRequest) -> execution::ActionResult;
});
refuse_all!(ContentAddressableStorage {
    [GetTreeStream = execution::GetTreeResponse]
    find_missing_blobs(execution::FindMissingBlobsRequest) -> execution::FindMissingBlobsResponse;
    batch_update_blobs(execution::BatchUpdateBlobsRequest) -> execution::BatchUpdateBlobsResponse;
    batch_read_blobs(execution::BatchReadBlobsRequest) -> execution::BatchReadBlobsResponse;
    get_tree(execution::GetTreeRequest) -> BoxStream<execution::GetTreeResponse>;
    split_blob(execution::SplitBlobRequest) -> execution::SplitBlobResponse;
    splice_blob(execution::SpliceBlobRequest) -> execution::SpliceBlobResponse;
});
refuse_all!(Capabilities {
    []
    get_capabilities(execution::GetCapabilitiesRequest) -> execution::ServerCapabilities;
});
refuse_all!(Fetch {
    []
    fetch_blob(asset::FetchBlobRequest) -> asset::FetchBlobResponse;
    fetch_directory(asset::FetchDirectoryRequest) -> asset::FetchDirectoryResponse;
});
refuse_all!(Push {
    []
    push_blob(asset::PushBlobRequest) -> asset::PushBlobResponse;
    push_directory(asset::PushDirectoryRequest) -> asset::PushDirectoryResponse;
});
refuse_all!(LogStreamService {
    []
    create_log_stream(logstream::CreateLogStreamRequest) -> logstream::LogStream;
});
refuse_all!(ByteStream {
    [ReadStream = bytestream::ReadResponse]
    read(bytestream::ReadRequest) -> BoxStream<bytestream::ReadResponse>;
    write(Streaming<bytestream::WriteRequest>) -> bytestream::WriteResponse;
    query_write_status(bytestream::QueryWriteStatusRequest) -> bytestream::QueryWriteStatusResponse;
});
refuse_all!(Operations {
    []
    list_operations(longrunning::ListOperationsRequest) -> longrunning::ListOperationsResponse;
    get_operation(longrunning::GetOperationRequest) -> longrunning::Operation;
    delete_operation(longrunning::DeleteOperationRequest) -> ();
    cancel_operation(longrunning::CancelOperationRequest) -> ();
    wait_operation(longrunning::WaitOperationRequest) -> longrunning::Operation;
});

/// Calls every listed method of a client and sees that the method of that name refused. Counts them.
macro_rules! reach_all {
    ($client:expr; $($method:ident($request:expr) -> $response:ty;)+) => {{
        let mut client = $client;
        let mut reached = 0;
        $(
            let outcome: Result<Response<$response>, Status> = client.$method($request).await;
            let status = outcome.expect_err("every method refuses");
            assert_eq!((status.code(), status.message()), (Code::Aborted, stringify!($method)));
            reached += 1;
        )+
        reached
    }};
}

#[tokio::test]
async fn every_method_is_reached_by_other_peoples_clients() {
    use theirs::build::bazel::remote::asset::v1 as their_asset;
    use theirs::build::bazel::remote::execution::v2 as their_execution;
    use theirs::build::bazel::remote::logstream::v1 as their_logstream;
    use theirs::google::bytestream as their_bytestream;
    use theirs::google::longrunning as their_longrunning;

    let mut reached = 0;
    reached += reach_all!(
        their_execution::execution_client::ExecutionClient::new(ExecutionServer::new(Everything));
        execute(their_execution::ExecuteRequest::default()) -> Streaming<their_longrunning::Operation>;
        wait_execution(their_execution::WaitExecutionRequest::default()) -> Streaming<their_longrunning::Operation>;
    );
    reached += reach_all!(
        their_execution::action_cache_client::ActionCacheClient::new(ActionCacheServer::new(Everything));
        get_action_result(their_execution::GetActionResultRequest::default()) -> their_execution::ActionResult;
        update_action_result(their_execution::UpdateActionResultRequest::default()) -> their_execution::ActionResult;
    );
    reached += reach_all!(
        their_execution::content_addressable_storage_client::ContentAddressableStorageClient::new(
            ContentAddressableStorageServer::new(Everything)
        );
        find_missing_blobs(their_execution::FindMissingBlobsRequest::default())
            -> their_execution::FindMissingBlobsResponse;
        batch_update_blobs(their_execution::BatchUpdateBlobsRequest::default())
            -> their_execution::BatchUpdateBlobsResponse;
        batch_read_blobs(their_execution::BatchReadBlobsRequest::default())
            -> their_execution::BatchReadBlobsResponse;
        get_tree(their_execution::GetTreeRequest::default()) -> Streaming<their_execution::GetTreeResponse>;
        split_blob(their_execution::SplitBlobRequest::default()) -> their_execution::SplitBlobResponse;
        splice_blob(their_execution::SpliceBlobRequest::default()) -> their_execution::SpliceBlobResponse;
    );
    reached += reach_all!(
        their_execution::capabilities_client::CapabilitiesClient::new(CapabilitiesServer::new(Everything));
        get_capabilities(their_execution::GetCapabilitiesRequest::default()) -> their_execution::ServerCapabilities;
    );
    reached += reach_all!(
        their_asset::fetch_client::FetchClient::new(FetchServer::new(Everything));
        fetch_blob(their_asset::FetchBlobRequest::default()) -> their_asset::FetchBlobResponse;
        fetch_directory(their_asset::FetchDirectoryRequest::default()) -> their_asset::FetchDirectoryResponse;
    );
    reached += reach_all!(
        their_asset::push_client::PushClient::new(PushServer::new(Everything));
        push_blob(their_asset::PushBlobRequest::default()) -> their_asset::PushBlobResponse;
        push_directory(their_asset::PushDirectoryRequest::default()) -> their_asset::PushDirectoryResponse;
    );
    reached += reach_all!(
        their_logstream::log_stream_service_client::LogStreamServiceClient::new(
            LogStreamServiceServer::new(Everything)
        );
        create_log_stream(their_logstream::CreateLogStreamRequest::default()) -> their_logstream::LogStream;
    );
    reached += reach_all!(
        their_bytestream::byte_stream_client::ByteStreamClient::new(ByteStreamServer::new(Everything));
        read(their_bytestream::ReadRequest::default()) -> Streaming<their_bytestream::ReadResponse>;
        write(tokio_stream::once(their_bytestream::WriteRequest::default())) -> their_bytestream::WriteResponse;
        query_write_status(their_bytestream::QueryWriteStatusRequest::default())
            -> their_bytestream::QueryWriteStatusResponse;
    );
    reached += reach_all!(
        their_longrunning::operations_client::OperationsClient::new(OperationsServer::new(Everything));
        list_operations(their_longrunning::ListOperationsRequest::default())
            -> their_longrunning::ListOperationsResponse;
        get_operation(their_longrunning::GetOperationRequest::default()) -> their_longrunning::Operation;
        delete_operation(their_longrunning::DeleteOperationRequest::default()) -> theirs::google::protobuf::Empty;
        cancel_operation(their_longrunning::CancelOperationRequest::default()) -> theirs::google::protobuf::Empty;
        wait_operation(their_longrunning::WaitOperationRequest::default()) -> their_longrunning::Operation;
    );

    let descriptors =
        DescriptorPool::decode(reapi::DESCRIPTORS).expect("the committed descriptors are a valid set");
    let declared: usize = descriptors
        .services()
        // No client of theirs; `tests/build_events.rs` looks after it.
        .filter(|service| service.package_name() != "google.devtools.build.v1")
        .map(|service| service.methods().len())
        .sum();
    assert_eq!(reached, declared, "a method is declared but not tried here");
}
