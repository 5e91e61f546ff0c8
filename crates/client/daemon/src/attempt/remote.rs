//! By a worker.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use reapi::execution::{ActionResult, ExecuteResponse};
use reapi::rpc::Code;
use remote_action::{Execution, OperationSlot, Server, describe, nobody};

use super::shown::{self, Fetched};
use crate::not_executed::NotExecuted;
use crate::plan::Plan;
use crate::service::Service;
use crate::uploads::Upload;

/// What a worker has made of a command.
pub(crate) struct Executed {
    pub(crate) fetched: Fetched,
    /// It was known already, under the name that workers know it by.
    pub(crate) is_cached: bool,
    /// To be kept under the name that it is looked for by; or why not.
    pub(crate) upload: Result<Upload, &'static str>,
}

impl Executed {
    /// It is known to have failed before.
    pub(crate) fn is_cached_failure(&self) -> bool {
        self.is_cached && self.fetched.exit_code != 0
    }
}

/// Has a worker run it, `again` even if the result is known. An error says why none did; what the command itself does
/// wrong is a result.
pub(crate) async fn run(
    service: &Arc<Service>,
    server: &Server,
    plan: &Plan,
    again: bool,
) -> Result<Executed> {
    let operation = CancelledOnDrop {
        operation: OperationSlot::default(),
        service: service.clone(),
    };
    let executing = async {
        let execution = Execution {
            server,
            action_digest: plan.executed_digest,
            skip_cache_lookup: again,
            priority: 0,
            observer: nobody(),
            operation: &operation.operation,
        };
        let response = execution.run_with(&plan.sources).await?;
        let is_cached = response.cached_result;
        let result = result_of(response)?;
        let fetched = shown::fetch_made(&*server.store, &plan.subject, result.clone()).await?;
        let fetched = fetched.ok_or_else(|| anyhow!("an output is missing"))?;
        let subject = &plan.subject;
        let (kept, is_at_server) = match (&subject.moved, fetched.exit_code) {
            (None, _) => (Ok((result, fetched.blobs())), true),
            (Some(_), 0) => (fetched.kept(subject, &result), false),
            (Some(_), _) => (Err("the command failed"), false),
        };
        let upload = kept.map(|(result, blobs)| Upload {
            action: subject.action_digest,
            result,
            blobs,
            messages: Vec::new(),
            is_at_server,
        });
        anyhow::Ok(Executed {
            fetched,
            is_cached,
            upload,
        })
    };
    tokio::select! {
        outcome = executing => outcome,
        () = service.down() => bail!("the server went down"),
    }
}

fn result_of(response: ExecuteResponse) -> Result<ActionResult> {
    let status = response.status.unwrap_or_default();
    if status.code == Code::DeadlineExceeded as i32 {
        return Err(NotExecuted::ExecTimeout.into());
    }
    if status.code != Code::Ok as i32 {
        bail!(
            "the worker could not run it: {}",
            describe(status.code, &status.message)
        );
    }
    response
        .result
        .context("the server reports success without a result")
}

/// An execution that nobody waits for any more is cancelled.
struct CancelledOnDrop {
    operation: OperationSlot,
    service: Arc<Service>,
}

impl Drop for CancelledOnDrop {
    fn drop(&mut self) {
        let operation = self.operation.clone();
        self.service.spawn("cancelling an execution", async move {
            if let Some(outcome) = operation.cancel().await {
                tracing::debug!(outcome, "an execution that nobody waits for");
            }
        });
    }
}
