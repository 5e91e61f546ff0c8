//! A bug fails one action, not the worker.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use action::Report;
use async_trait::async_trait;
use futures::FutureExt;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use tokio_util::sync::CancellationToken;

use super::failure::with_cause;
use super::{Executor, Progress};
use crate::assignment::Assignment;

/// Answers also when `inner` panics: otherwise the lease would be held, and its client kept waiting, for ever.
pub(crate) fn fault_guarded(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
    Arc::new(FaultGuarded { inner })
}

struct FaultGuarded {
    inner: Arc<dyn Executor>,
}

#[async_trait]
impl Executor for FaultGuarded {
    async fn execute(
        &self,
        assignment: Assignment,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> ExecuteResponse {
        let action_digest = assignment.action_digest;
        let guarded = AssertUnwindSafe(self.inner.execute(assignment, progress, cancel)).catch_unwind();
        guarded.await.unwrap_or_else(|_| {
            tracing::error!(%action_digest, "executing an action panicked; this is a bug");
            let message =
                format!("the worker failed with a bug while executing action {action_digest}; see its log");
            with_cause(Report::failed(Code::Internal, message).into_response())
        })
    }
}
