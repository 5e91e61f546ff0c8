//! Why there is no ordinary result, and how that is told to the client.

use std::io;

use action::Report;
use blob::{BlobError, DigestSet};
use cas::StoreError;
use reapi::execution::ExecuteResponse;
use reapi::rpc::{Code, Status};
use runner_api::RunError;

use crate::build_directory::{LayoutError, PrepareError};
use crate::file_cache::FileCacheError;
use crate::input_tree::InputTreeError;
use crate::lazy_inputs::LazyError;
use crate::outputs::OutputError;
use crate::tree_cache::TreeError;

/// The first thing that went wrong. `UNAVAILABLE` and `INTERNAL` are this worker's trouble, so that the server tries
/// another one; everything else is the action's own and would fail anywhere.
#[derive(Debug)]
pub(super) enum Failure {
    Missing(DigestSet),
    Cancelled,
    Status(Code, String),
}

impl Failure {
    pub(super) fn into_report(self) -> Report {
        match self {
            Failure::Missing(missing) => Report::missing(&missing),
            Failure::Cancelled => Report::cancelled(),
            Failure::Status(code, message) => Report::failed(code, message),
        }
    }

    /// The worker's own files cannot be read or written.
    pub(super) fn disk(what: &str, error: io::Error) -> Self {
        Failure::Status(Code::Unavailable, format!("this worker's disk: {what}: {error}"))
    }
}

impl From<InputTreeError> for Failure {
    fn from(error: InputTreeError) -> Self {
        match error {
            InputTreeError::Store(error) => store("fetching input directories", error),
            invalid => Failure::Status(Code::InvalidArgument, invalid.to_string()),
        }
    }
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        Failure::Status(Code::InvalidArgument, error.to_string())
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Files(FileCacheError::Missing(missing)) => Failure::Missing(missing),
            PrepareError::Files(FileCacheError::Store(error)) => store("fetching input files", error),
            PrepareError::Files(error @ FileCacheError::TooLarge { .. }) => {
                Failure::Status(Code::ResourceExhausted, error.to_string())
            }
            PrepareError::OutputParent { .. } => Failure::Status(Code::InvalidArgument, error.to_string()),
            PrepareError::Unstable => Failure::Status(Code::Internal, error.to_string()),
            PrepareError::Files(FileCacheError::Disk { .. }) | PrepareError::Disk { .. } => {
                Failure::Status(Code::Unavailable, format!("this worker's disk: {error}"))
            }
        }
    }
}

impl From<LazyError> for Failure {
    fn from(error: LazyError) -> Self {
        match error {
            LazyError::Prepare(error) => error.into(),
            LazyError::TooSlow { .. } => Failure::Status(Code::Unavailable, error.to_string()),
            LazyError::Directory(_) => Failure::Status(Code::Internal, error.to_string()),
        }
    }
}

impl From<TreeError> for Failure {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Layout(error) => error.into(),
            TreeError::Prepare(error) => error.into(),
            error @ TreeError::TooLarge { .. } => Failure::Status(Code::ResourceExhausted, error.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let code = match &error {
            RunError::Cancelled => return Failure::Cancelled,
            RunError::Invalid(_) => Code::InvalidArgument,
            RunError::Connect { .. }
            | RunError::Busy { .. }
            | RunError::Lost { .. }
            | RunError::Undead { .. } => Code::Unavailable,
            RunError::Refused { .. } | RunError::Frame(_) => Code::Internal,
        };
        Failure::Status(code, error.to_string())
    }
}

/// The same with the cause of a failure in its message too: that is where some clients look, also beside a result.
pub(super) fn with_cause(mut response: ExecuteResponse) -> ExecuteResponse {
    let failed = |status: &&Status| status.code != Code::Ok as i32;
    let Some(Status { message: cause, .. }) = response.status.as_ref().filter(failed) else {
        return response;
    };
    response.message = match response.message.as_str() {
        "" => cause.clone(),
        said => format!("{cause}\n{said}"),
    };
    response
}

/// Which of the client's and the worker's troubles an unusable output is.
pub(super) fn output_code(error: &OutputError) -> Code {
    match error {
        OutputError::WrongKind { .. }
        | OutputError::ThroughSymlink { .. }
        | OutputError::Special { .. }
        | OutputError::Name { .. }
        | OutputError::TargetNotUtf8 { .. }
        | OutputError::Directory { .. }
        | OutputError::PathTooLong { .. } => Code::FailedPrecondition,
        OutputError::TooMany
        | OutputError::TooLarge
        | OutputError::TooDeep { .. }
        | OutputError::Tree { .. } => Code::ResourceExhausted,
        OutputError::Disk { .. } => Code::Unavailable,
    }
}

/// A store failed while doing `what`.
pub(super) fn store(what: &str, error: StoreError) -> Failure {
    let code = match &error {
        StoreError::Unavailable { .. } | StoreError::Blob(BlobError::Io(_)) => Code::Unavailable,
        StoreError::TooLarge { .. } | StoreError::NoSpace { .. } => Code::ResourceExhausted,
        StoreError::ReadOnly { .. } => Code::PermissionDenied,
        StoreError::Io { .. } | StoreError::Blob(_) | StoreError::OutOfRange { .. } => Code::Internal,
    };
    Failure::Status(code, format!("{what}: {error}"))
}
