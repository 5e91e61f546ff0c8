//! `Execution.Execute`: from an action digest to a stream of its progress.

use std::sync::Arc;
use std::time::SystemTime;

use action::{ActionDigest, Report};
use blob::{Digest, DigestFunction};
use futures::StreamExt;
use futures::stream::BoxStream;
use reapi::execution::ExecuteRequest;
use reapi::longrunning::Operation;
use scheduler::{Event, OperationName, Request, Work};
use tonic::Status;

use super::operation::{Watcher, done};
use super::prepare::{Prepared, Unprepared, prepare};
use super::{Execution, PRIORITIES};
use crate::{Caller, Instance, request_metadata, status};

/// A stream of one operation's states.
pub(crate) type OperationStream = BoxStream<'static, Result<Operation, Status>>;

/// Most missing blobs that are listed in the call's own status: its details travel in a header, and headers are small
/// (8 KiB in grpc-java). More are listed in the response of an operation that is over at once; clients treat both alike.
const MISSING_IN_STATUS_MAX: usize = 30;

/// The journey: cache, then checks, then the queue.
pub(crate) async fn execute(
    execution: &Execution,
    request: tonic::Request<ExecuteRequest>,
) -> Result<OperationStream, Status> {
    let caller: Option<&Caller> = request.extensions().get();
    let life = caller.map(|caller| caller.life.clone());
    let user = request_metadata::user(request.metadata());
    let request_metadata = request_metadata::of(request.metadata());
    let request = request.into_inner();
    let instance_name = status::instance_name(&request.instance_name)?;
    let instance = execution.instances.get(&instance_name)?;
    let function = DigestFunction::of_request(request.digest_function, request.action_digest.as_ref())
        .map_err(status::digest_error)?;
    let digest = Digest::required(
        function,
        request.action_digest.as_ref(),
        "ExecuteRequest.action_digest",
    )
    .map_err(status::digest_error)?;
    let action_digest = ActionDigest::new(digest);
    let priority = priority(&request)?;
    let operation = new_name(&request.instance_name);

    if !request.skip_cache_lookup
        && let Some(hit) = cached(instance, &action_digest, &operation).await?
    {
        return Ok(one(hit));
    }
    if execution.closing.is_cancelled() {
        return Err(Status::unavailable(
            "this server is shutting down; try again when it is back",
        ));
    }
    let prepared = {
        let _turn = execution
            .preparing
            .acquire()
            .await
            .expect("this semaphore is never closed");
        prepare(&*instance.cas, &action_digest, execution.timeouts).await
    };
    let Prepared {
        action,
        action_proto,
        command_proto,
        platform,
        timeout,
    } = match prepared {
        Ok(prepared) => prepared,
        Err(Unprepared::Missing(missing)) if missing.len() > MISSING_IN_STATUS_MAX => {
            let response = Report::missing(&missing).into_response();
            return Ok(one(done(&operation, &digest, &response)));
        }
        Err(Unprepared::Missing(missing)) => return Err(status::missing_blobs(&missing)),
        Err(Unprepared::Refused(status)) => return Err(status),
    };
    let work = Work {
        instance: instance_name,
        action_digest,
        do_not_cache: action.do_not_cache(),
        action: action_proto,
        command: command_proto,
        platform,
        timeout,
        request_metadata,
        user,
        queued_at: SystemTime::now().into(),
    };
    let watcher = Watcher::of_new(&execution.actor, &operation, life);
    let skip_cache_lookup = request.skip_cache_lookup;
    execution.actor.dispatch(Event::Execute(Request {
        operation,
        work: Arc::new(work),
        priority,
        skip_cache_lookup,
    }));
    Ok(watcher.into_stream().boxed())
}

/// An operation that has nothing more to say.
fn one(operation: Operation) -> OperationStream {
    futures::stream::once(std::future::ready(Ok(operation))).boxed()
}

/// A result from the action cache, as an operation that is over.
async fn cached(
    instance: &Instance,
    action_digest: &ActionDigest,
    operation: &OperationName,
) -> Result<Option<Operation>, Status> {
    let hit = instance
        .action_cache
        .get(action_digest)
        .await
        .map_err(status::store_error)?;
    Ok(hit.map(|result| {
        done(
            operation,
            &action_digest.digest(),
            &Report::cached(result).into_response(),
        )
    }))
}

/// Lower is sooner; outside the advertised range is an error, not a wish (checklist E12).
fn priority(request: &ExecuteRequest) -> Result<i32, Status> {
    let priority = request
        .execution_policy
        .as_ref()
        .map_or(0, |policy| policy.priority);
    if !PRIORITIES.contains(&priority) {
        return Err(status::invalid(format!(
            "execution_policy.priority {priority} is outside {}..={}, the range in the capabilities",
            PRIORITIES.start(),
            PRIORITIES.end()
        )));
    }
    Ok(priority)
}

/// `{instance/}operations/{uuid}`.
fn new_name(instance_name: &str) -> OperationName {
    let prefix = if instance_name.is_empty() {
        String::new()
    } else {
        format!("{instance_name}/")
    };
    OperationName::new(format!("{prefix}operations/{}", uuid::Uuid::new_v4()))
}
