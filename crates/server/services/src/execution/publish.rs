//! Makes a finished action's result visible: outputs first, then the action cache, then `done` (checklist E33).

use std::sync::Arc;

use action::{Report, check_action_result};
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use scheduler::Work;

use crate::Instances;

/// Stores a cacheable result and returns the response to give to every waiter. A result whose outputs are not
/// (or no longer) stored is never shown as a success: the client is told to try again.
pub(crate) async fn publish(
    instances: &Instances,
    work: &Arc<Work>,
    response: Arc<ExecuteResponse>,
    cacheable: bool,
) -> Arc<ExecuteResponse> {
    let Some(result) = &response.result else {
        return response;
    };
    let instance = match instances.get(&work.instance) {
        Ok(instance) => instance,
        Err(error) => return failed(Code::Internal, error.to_string()),
    };
    let function = work.action_digest.digest().function();
    let references = match check_action_result(function, result) {
        Ok(references) => references,
        Err(error) => {
            return failed(
                Code::Internal,
                format!("the worker returned a malformed result: {error}"),
            );
        }
    };
    match instance.cas.find_missing(&references.direct()).await {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let reason = format!(
                "{} outputs were not stored, among them {:?}",
                missing.len(),
                missing.as_slice()[0]
            );
            return failed(
                Code::Unavailable,
                format!("the result could not be published: {reason}; try again"),
            );
        }
        Err(error) => {
            return failed(
                Code::Unavailable,
                format!("the result could not be published: {error}"),
            );
        }
    }
    if cacheable
        && let Err(error) = instance
            .action_cache
            .put(&work.action_digest, result.clone())
            .await
    {
        // The build goes on without the cache entry; the operator sees why the next build is slower.
        tracing::warn!(action = %work.action_digest, %error, "a result could not be stored in the action cache");
    }
    response
}

fn failed(code: Code, message: String) -> Arc<ExecuteResponse> {
    Arc::new(Report::failed(code, message).into_response())
}
