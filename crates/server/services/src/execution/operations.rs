//! `google.longrunning.Operations` over the scheduler's operations.

use std::time::Duration;

use futures::StreamExt;
use prost::Message;
use reapi::longrunning as proto;
use reapi::longrunning::operations_server::Operations;
use scheduler::{Event, OperationName};
use tonic::{Request, Response, Status};

use super::Execution;
use super::operation::{Watcher, to_proto};
use super::wait_execution::unknown;

/// Most operations in one page, also when the client asks for more or for any number.
const PAGE_OPERATIONS_MAX: usize = 500;
/// Most bytes of operations in one page: results carry inline output, and clients take 4 MiB (checklist G14).
const PAGE_BYTES_MAX: usize = 3 << 20;
/// Longest that `WaitOperation` waits when the client names no timeout.
const WAIT_DEFAULT: Duration = Duration::from_secs(60);

#[tonic::async_trait]
impl Operations for Execution {
    /// `name` is the collection: empty, or an instance name whose operations are asked for.
    async fn list_operations(
        &self,
        request: Request<proto::ListOperationsRequest>,
    ) -> Result<Response<proto::ListOperationsResponse>, Status> {
        let request = request.into_inner();
        if !request.filter.is_empty() {
            return Err(Status::invalid_argument(
                "ListOperations: filters are not supported; leave `filter` empty",
            ));
        }
        let limit = match usize::try_from(request.page_size) {
            Ok(0) => PAGE_OPERATIONS_MAX,
            Ok(size) => size.min(PAGE_OPERATIONS_MAX),
            Err(_) => return Err(Status::invalid_argument("ListOperations: page_size is negative")),
        };
        let after = (!request.page_token.is_empty()).then(|| OperationName::new(request.page_token.as_str()));
        let views = self.actor.operations(after.as_ref(), limit);
        let collection = collection_prefix(&request.name);
        let mut page = proto::ListOperationsResponse::default();
        let mut page_bytes = 0;
        let mut last = None;
        for view in &views {
            let operation = to_proto(view);
            page_bytes += operation.encoded_len();
            if page_bytes > PAGE_BYTES_MAX && last.is_some() {
                page.next_page_token = last.unwrap_or_default();
                return Ok(Response::new(page));
            }
            last = Some(operation.name.clone());
            if operation.name.starts_with(&collection) {
                page.operations.push(operation);
            }
        }
        if views.len() == limit {
            page.next_page_token = last.unwrap_or_default();
        }
        Ok(Response::new(page))
    }

    async fn get_operation(
        &self,
        request: Request<proto::GetOperationRequest>,
    ) -> Result<Response<proto::Operation>, Status> {
        let name = OperationName::new(request.into_inner().name);
        let view = self.actor.operation(&name).ok_or_else(|| unknown(&name))?;
        Ok(Response::new(to_proto(&view)))
    }

    /// Forgets a finished operation; one that still runs has to be cancelled first.
    async fn delete_operation(
        &self,
        request: Request<proto::DeleteOperationRequest>,
    ) -> Result<Response<()>, Status> {
        let name = OperationName::new(request.into_inner().name);
        let view = self.actor.operation(&name).ok_or_else(|| unknown(&name))?;
        if view.response.is_none() {
            let message = format!("operation `{name}` is not finished; cancel it before deleting it");
            return Err(Status::failed_precondition(message));
        }
        self.actor.dispatch(Event::Forget(name));
        Ok(Response::new(()))
    }

    /// Cancels this operation only: a merged execution that others wait for goes on (checklist E16).
    async fn cancel_operation(
        &self,
        request: Request<proto::CancelOperationRequest>,
    ) -> Result<Response<()>, Status> {
        let name = OperationName::new(request.into_inner().name);
        if self.actor.operation(&name).is_none() {
            return Err(unknown(&name));
        }
        self.actor.dispatch(Event::Cancel(name));
        Ok(Response::new(()))
    }

    /// The operation when it is done or when the timeout is over, whichever is first.
    async fn wait_operation(
        &self,
        request: Request<proto::WaitOperationRequest>,
    ) -> Result<Response<proto::Operation>, Status> {
        let request = request.into_inner();
        let timeout = match request.timeout {
            None => WAIT_DEFAULT,
            Some(timeout) => Duration::try_from(timeout)
                .map_err(|_| Status::invalid_argument("WaitOperation: timeout is negative"))?,
        };
        let name = OperationName::new(request.name);
        if self.actor.operation(&name).is_none() {
            return Err(unknown(&name));
        }
        // Who has waited for as long as it wanted has not let go of it.
        let mut states = std::pin::pin!(Watcher::of_existing(&self.actor, &name, None).into_stream());
        let mut latest = None;
        let until_done = async {
            while let Some(state) = states.next().await.transpose()? {
                let done = state.done;
                latest = Some(state);
                if done {
                    break;
                }
            }
            Ok::<(), Status>(())
        };
        if let Ok(outcome) = tokio::time::timeout(timeout, until_done).await {
            outcome?;
        }
        latest.map(Response::new).ok_or_else(|| unknown(&name))
    }
}

fn collection_prefix(name: &str) -> String {
    match name
        .strip_suffix("operations")
        .unwrap_or(name)
        .trim_end_matches('/')
    {
        "" => String::new(),
        instance => format!("{instance}/operations/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_instances() {
        assert_eq!(collection_prefix(""), "");
        assert_eq!(collection_prefix("operations"), "");
        assert_eq!(collection_prefix("team/a"), "team/a/operations/");
        assert_eq!(collection_prefix("team/a/operations"), "team/a/operations/");
    }
}
