//! How an execution ended.

use std::time::Duration;

use blob::{Digest, DigestSet};
use reapi::execution::{ActionResult, ExecuteResponse, ExecutedActionMetadata, LogFile};
use reapi::rpc::{Code, Status};

use crate::missing_blobs::missing_blobs_status;

/// Makes an `ExecuteResponse`. One constructor for each way to end; a command that failed is a success here,
/// with an exit code in its result.
#[derive(Clone, Debug)]
pub struct Report {
    response: ExecuteResponse,
}

impl Report {
    /// The command ran to its end, whatever its exit code.
    pub fn success(result: ActionResult) -> Self {
        Report::new(Code::Ok, String::new()).with_result(result)
    }

    /// The result comes from the action cache (checklist E11).
    pub fn cached(result: ActionResult) -> Self {
        let mut report = Report::success(result);
        report.response.cached_result = true;
        report
    }

    /// The command was killed because its time was over. `result` keeps what it had printed by then (E13).
    pub fn timed_out(result: ActionResult, timeout: Duration) -> Self {
        let message = format!("the command was killed: it ran longer than its timeout of {timeout:?}");
        Report::new(Code::DeadlineExceeded, message).with_result(result)
    }

    /// The execution failed, for a reason that is not the command's exit code. `message` says what failed, on
    /// what, and what to do. `code` is not OK; there is no success without a result.
    pub fn failed(code: Code, message: impl Into<String>) -> Self {
        let (code, message) = match (code, message.into()) {
            (Code::Ok, message) => (Code::Internal, format!("a failure was reported as OK: {message}")),
            other => other,
        };
        Report::new(code, message)
    }

    /// Somebody cancelled the operation.
    pub fn cancelled() -> Self {
        Report::failed(Code::Cancelled, "the execution was cancelled")
    }

    /// Inputs are missing (E3).
    pub fn missing(missing: &DigestSet) -> Self {
        let response = ExecuteResponse {
            status: Some(missing_blobs_status(missing)),
            ..ExecuteResponse::default()
        };
        Report { response }
    }

    fn new(code: Code, message: String) -> Self {
        let status = Status {
            code: code as i32,
            message,
            details: Vec::new(),
        };
        Report {
            response: ExecuteResponse {
                status: Some(status),
                ..ExecuteResponse::default()
            },
        }
    }

    /// Adds or replaces the result, for failures that have a partial one.
    pub fn with_result(mut self, result: ActionResult) -> Self {
        self.response.result = Some(result);
        self
    }

    /// Sets the metadata of the result. A report without a result stays without one: clients take the presence of
    /// a result as a sign that the command ran.
    pub fn with_metadata(mut self, metadata: ExecutedActionMetadata) -> Self {
        if let Some(result) = &mut self.response.result {
            result.execution_metadata = Some(metadata);
        }
        self
    }

    /// A remark for the user; not about success or failure, which the status says.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.response.message = message.into();
        self
    }

    /// A log in the content-addressable storage that helps to understand what happened (E30).
    pub fn with_server_log(mut self, name: impl Into<String>, digest: Digest, human_readable: bool) -> Self {
        let log = LogFile {
            digest: Some(digest.to_proto()),
            human_readable,
        };
        self.response.server_logs.insert(name.into(), log);
        self
    }

    /// The response.
    pub fn into_response(self) -> ExecuteResponse {
        self.response
    }
}

impl From<Report> for ExecuteResponse {
    fn from(report: Report) -> Self {
        report.into_response()
    }
}

/// Whether a response may go into the action cache: the execution succeeded, the command too (exit code 0, as
/// clients expect, A4), and the action does not forbid it (E10).
pub fn is_cacheable(do_not_cache: bool, response: &ExecuteResponse) -> bool {
    let succeeded = response
        .status
        .as_ref()
        .is_none_or(|status| status.code == Code::Ok as i32);
    let exited_with_zero = response
        .result
        .as_ref()
        .is_some_and(|result| result.exit_code == 0);
    !do_not_cache && succeeded && exited_with_zero
}

#[cfg(test)]
mod tests;
