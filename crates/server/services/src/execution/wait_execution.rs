//! `Execution.WaitExecution`: pick up an operation where another stream left it.

use futures::StreamExt;
use reapi::execution::WaitExecutionRequest;
use scheduler::OperationName;
use tonic::{Request, Status};

use super::Execution;
use super::execute::OperationStream;
use super::operation::Watcher;
use crate::Caller;

/// The state now, then every change, then the end; `NOT_FOUND` for an operation that was never here or is long over,
/// which tells the client to execute again (checklist E8).
pub(crate) fn wait_execution(
    execution: &Execution,
    request: Request<WaitExecutionRequest>,
) -> Result<OperationStream, Status> {
    let caller: Option<&Caller> = request.extensions().get();
    let life = caller.map(|caller| caller.life.clone());
    let name = OperationName::new(request.into_inner().name);
    if execution.actor.operation(&name).is_none() {
        return Err(unknown(&name));
    }
    Ok(Watcher::of_existing(&execution.actor, &name, life)
        .into_stream()
        .boxed())
}

pub(crate) fn unknown(name: &OperationName) -> Status {
    Status::not_found(format!(
        "operation `{name}` is not known here (finished long ago, or before a restart)"
    ))
}
