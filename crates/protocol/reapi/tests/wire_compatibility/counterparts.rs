//! Which types of ours and of others claim to be the same.

use bazel_remote_apis as theirs;
use prost::{DecodeError, Message, Name};

/// Decodes and encodes again; a field that the type does not know is lost on the way.
pub(crate) type Recode = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// One message type in both worlds.
pub(crate) struct Pair {
    pub(crate) name: String,
    /// Under which ours is packed into an `Any`.
    pub(crate) type_url: String,
    pub(crate) ours: Recode,
    pub(crate) theirs: Recode,
}

/// One enum in both worlds: what each calls a number.
pub(crate) struct Enum {
    pub(crate) name: &'static str,
    pub(crate) ours: fn(i32) -> Option<&'static str>,
    pub(crate) theirs: fn(i32) -> Option<&'static str>,
}

fn recode<T: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    T::decode(bytes).map(|message| message.encode_to_vec())
}

fn pair<Ours: Message + Name + Default, Theirs: Message + Default>() -> Pair {
    Pair {
        name: Ours::full_name(),
        type_url: Ours::type_url(),
        ours: recode::<Ours>,
        theirs: recode::<Theirs>,
    }
}

/// Pairs types of the same path below two modules.
macro_rules! pairs {
    ($table:ident, $ours:path, $theirs:path: $($($segment:ident)::+),+ $(,)?) => {{
        use $ours as ours;
        use $theirs as theirs;
        $($table.push(pair::<ours::$($segment)::+, theirs::$($segment)::+>());)+
    }};
}

/// Every message that has a counterpart.
pub(crate) fn messages() -> Vec<Pair> {
    let mut table = Vec::new();
    pairs!(table, reapi::execution, theirs::build::bazel::remote::execution::v2:
        Action, ActionCacheUpdateCapabilities, ActionResult, BatchReadBlobsRequest, BatchReadBlobsResponse,
        BatchUpdateBlobsRequest, BatchUpdateBlobsResponse, CacheCapabilities, ChunkingFunction, Command, Compressor,
        Digest, DigestFunction, Directory, DirectoryNode, ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse,
        ExecutedActionMetadata, ExecutionCapabilities, ExecutionPolicy, ExecutionStage, FastCdc2020Params, FileNode,
        FindMissingBlobsRequest, FindMissingBlobsResponse, GetActionResultRequest, GetCapabilitiesRequest,
        GetTreeRequest, GetTreeResponse, LogFile, NodeProperties, NodeProperty, OutputDirectory, OutputFile,
        OutputSymlink, Platform, PriorityCapabilities, RepMaxCdcParams, RequestMetadata, ResultsCachePolicy,
        ServerCapabilities, SpliceBlobRequest, SpliceBlobResponse, SplitBlobRequest, SplitBlobResponse,
        SymlinkAbsolutePathStrategy, SymlinkNode, ToolDetails, Tree, UpdateActionResultRequest, WaitExecutionRequest,
        batch_read_blobs_response::Response, batch_update_blobs_request::Request,
        batch_update_blobs_response::Response, command::EnvironmentVariable, platform::Property,
        priority_capabilities::PriorityRange,
    );
    pairs!(table, reapi::semver, theirs::build::bazel::semver: SemVer);
    pairs!(table, reapi::asset, theirs::build::bazel::remote::asset::v1:
        FetchBlobRequest, FetchBlobResponse, FetchDirectoryRequest, FetchDirectoryResponse, PushBlobRequest,
        PushBlobResponse, PushDirectoryRequest, PushDirectoryResponse, Qualifier,
    );
    pairs!(table, reapi::logstream, theirs::build::bazel::remote::logstream::v1: CreateLogStreamRequest, LogStream);
    pairs!(table, reapi::bytestream, theirs::google::bytestream:
        QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
    );
    pairs!(table, reapi::longrunning, theirs::google::longrunning:
        CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
        ListOperationsResponse, Operation, OperationInfo, WaitOperationRequest,
    );
    pairs!(table, reapi::rpc, theirs::google::rpc: Status);
    pairs!(table, reapi::rpc, tonic_types::pb:
        BadRequest, DebugInfo, ErrorInfo, Help, LocalizedMessage, PreconditionFailure, QuotaFailure, RequestInfo,
        ResourceInfo, RetryInfo, bad_request::FieldViolation, help::Link, precondition_failure::Violation,
        quota_failure::Violation,
    );
    table
}

/// Pairs enums of the same path below the REAPI module.
macro_rules! execution_enums {
    ($($name:literal => $($segment:ident)::+),+ $(,)?) => {{
        use reapi::execution as ours;
        use theirs::build::bazel::remote::execution::v2 as theirs;
        vec![$(Enum {
            name: concat!("build.bazel.remote.execution.v2.", $name),
            ours: |number| Some(ours::$($segment)::+::try_from(number).ok()?.as_str_name()),
            theirs: |number| Some(theirs::$($segment)::+::try_from(number).ok()?.as_str_name()),
        }),+]
    }};
}

/// Every enum that has a counterpart. All of them belong to REAPI.
pub(crate) fn enums() -> Vec<Enum> {
    execution_enums! {
        "ChunkingFunction.Value" => chunking_function::Value,
        "Command.OutputDirectoryFormat" => command::OutputDirectoryFormat,
        "Compressor.Value" => compressor::Value,
        "DigestFunction.Value" => digest_function::Value,
        "ExecutionStage.Value" => execution_stage::Value,
        "SymlinkAbsolutePathStrategy.Value" => symlink_absolute_path_strategy::Value,
    }
}
