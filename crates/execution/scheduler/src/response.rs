//! The responses the scheduler gives by itself, and what it reads out of a worker's.

use action::Report;
use reapi::execution::ExecuteResponse;
use reapi::rpc::{Code, Status};

/// Why an operation is over before it began.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// A response without a result. It names its cause in the status and in the message, where some clients look.
pub(crate) fn failed(code: Code, message: impl Into<String>) -> ExecuteResponse {
    let message = message.into();
    Report::failed(code, message.clone())
        .with_message(message)
        .into_response()
}

/// The status of a response that says the worker's own set-up failed, not the action: another worker may do better.
pub(crate) fn infrastructure_failure(response: &ExecuteResponse) -> Option<&Status> {
    const RETRYABLE: [Code; 3] = [Code::Unavailable, Code::Internal, Code::Aborted];
    let status = response.status.as_ref()?;
    RETRYABLE
        .iter()
        .any(|code| *code as i32 == status.code)
        .then_some(status)
}
