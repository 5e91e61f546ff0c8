//! What actions are here: a number, and the results they have.

use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, Platform};
use blob::{Digest, DigestFunction, InstanceName};
use reapi::execution::{ActionResult, ExecuteResponse, RequestMetadata};
use reapi::rpc::{Code, Status};
use scheduler::{LeaseId, Work};

/// An action of a build.
pub(crate) fn work(action: u64, build: u64) -> Arc<Work> {
    let metadata = RequestMetadata {
        tool_invocation_id: build.to_string(),
        ..RequestMetadata::default()
    };
    let digest = Digest::of(DigestFunction::Sha256, &action.to_le_bytes());
    Arc::new(Work {
        instance: InstanceName::default(),
        action_digest: ActionDigest::new(digest),
        action: Default::default(),
        command: Default::default(),
        platform: Platform::new([]).expect("the empty platform is a good one"),
        timeout: Duration::from_secs(3600),
        do_not_cache: false,
        request_metadata: Some(metadata),
        user: String::new(),
        queued_at: Default::default(),
    })
}

/// A result, with the lease it was made under: whoever publishes it shows whose it is.
pub(crate) fn response(lease: LeaseId, code: Code) -> Box<ExecuteResponse> {
    let is_ok = code == Code::Ok;
    Box::new(ExecuteResponse {
        result: is_ok.then(ActionResult::default),
        status: (!is_ok).then(|| Status {
            code: code.into(),
            message: "it failed".to_owned(),
            ..Status::default()
        }),
        message: lease.to_string(),
        ..ExecuteResponse::default()
    })
}

/// The lease a result was made under.
pub(crate) fn made_under(response: &ExecuteResponse) -> Option<LeaseId> {
    response.message.parse().ok().map(LeaseId::new)
}
