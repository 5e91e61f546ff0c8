//! An operation as clients see it, and the stream that follows one to its end.

use std::time::Duration;

use admin_api::v1::Waiting;
use blob::{CommandOutput, Digest};
use futures::Stream;
use futures::stream;
use prost::{Message, Name};
use prost_types::Any;
use reapi::execution::{ExecuteOperationMetadata, ExecuteResponse, ExecutedActionMetadata, execution_stage};
use reapi::longrunning::{Operation, operation};
use scheduler::{Event, OperationName, OperationView, Stage};
use tokio::sync::watch;
use tonic::Status;

use super::SchedulerActor;
use super::live_output::stream_name;
use crate::ConnectionLife;

/// A quiet stream repeats its state this often, so that proxies and clients with a call timeout (Bazel puts 60 s on
/// each) see it is alive (checklist E6).
const REPEAT_AFTER: Duration = Duration::from_secs(20);

/// The scheduler's view as a protocol message.
pub(crate) fn to_proto(view: &OperationView) -> Operation {
    let stage = match view.stage {
        Stage::Queued => execution_stage::Value::Queued,
        Stage::Executing => execution_stage::Value::Executing,
        Stage::Completed => execution_stage::Value::Completed,
    };
    let digest = view.work.action_digest.digest();
    let mut partial = view.partial_metadata.as_deref().cloned();
    if let Some(waiting) = waiting(view) {
        let metadata = partial.get_or_insert_default();
        metadata.auxiliary_metadata.push(any(&waiting));
    }
    let mut metadata = metadata(&digest, stage, partial);
    // Set as soon as there is somebody to ask for the output (E31).
    if view.stage == Stage::Executing {
        metadata.stdout_stream_name = stream_name(&view.name, CommandOutput::Stdout);
        metadata.stderr_stream_name = stream_name(&view.name, CommandOutput::Stderr);
    }
    operation(&view.name, &metadata, view.response.as_deref())
}

/// Why it is queued, if it is.
fn waiting(view: &OperationView) -> Option<Waiting> {
    let position = view.position?;
    Some(Waiting {
        reason: view.why_queued.clone().unwrap_or_default(),
        ahead: u32::try_from(position.ahead).unwrap_or(u32::MAX),
        more_ahead: !position.exact,
        attempt: view.attempt,
        estimate: view.estimate.and_then(|estimate| estimate.try_into().ok()),
    })
}

/// An operation that was over before it was queued.
pub(crate) fn done(name: &OperationName, digest: &Digest, response: &ExecuteResponse) -> Operation {
    let metadata = metadata(digest, execution_stage::Value::Completed, None);
    operation(name, &metadata, Some(response))
}

fn metadata(
    digest: &Digest,
    stage: execution_stage::Value,
    partial_execution_metadata: Option<ExecutedActionMetadata>,
) -> ExecuteOperationMetadata {
    ExecuteOperationMetadata {
        stage: stage as i32,
        action_digest: Some(digest.to_proto()),
        partial_execution_metadata,
        digest_function: digest.function().to_proto() as i32,
        ..Default::default()
    }
}

/// `done` if and only if there is a response (E5); `error` is never set (E1).
fn operation(
    name: &OperationName,
    metadata: &ExecuteOperationMetadata,
    response: Option<&ExecuteResponse>,
) -> Operation {
    Operation {
        name: name.to_string(),
        metadata: Some(any(metadata)),
        done: response.is_some(),
        result: response.map(|response| operation::Result::Response(any(response))),
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// A client's hold on an operation. While one lives the operation is wanted; the scheduler decides what happens
/// some time after the last is gone (E15).
pub(crate) struct Watcher {
    actor: SchedulerActor,
    name: OperationName,
    changes: Option<watch::Receiver<()>>,
    /// Of the connection that it came over, where that is known and where leaving means something.
    life: Option<ConnectionLife>,
}

impl Watcher {
    /// Watches an operation that is about to be created by `Event::Execute`, which counts its first watcher itself.
    pub(crate) fn of_new(actor: &SchedulerActor, name: &OperationName, life: Option<ConnectionLife>) -> Self {
        Watcher {
            actor: actor.clone(),
            name: name.clone(),
            changes: Some(actor.watch_operation(name)),
            life,
        }
    }

    /// Watches an operation that exists.
    pub(crate) fn of_existing(
        actor: &SchedulerActor,
        name: &OperationName,
        life: Option<ConnectionLife>,
    ) -> Self {
        let watcher = Self::of_new(actor, name, life);
        actor.dispatch(Event::WatcherCame(name.clone()));
        watcher
    }

    /// The state now, then every change, then the end. Dropping the stream lets go of the operation.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Operation, Status>> + Send + 'static {
        stream::unfold(Some((self, false)), |state| async move {
            let (mut watcher, seen) = state?;
            if seen && watcher.changed().await.is_err() {
                let message = "this server is shutting down; execute again when it is back";
                return Some((Err(Status::unavailable(message)), None));
            }
            if let Some(changes) = &mut watcher.changes {
                changes.mark_unchanged();
            }
            let Some(view) = watcher.actor.operation(&watcher.name) else {
                let gone = Status::not_found(format!("operation `{}` was deleted", watcher.name));
                return Some((Err(gone), None));
            };
            let operation = to_proto(&view);
            let next = (!operation.done).then_some((watcher, true));
            Some((Ok(operation), next))
        })
    }

    /// Returns at the next change, or after a while without one; an error when the server stops.
    async fn changed(&mut self) -> Result<(), Stopping> {
        let stopping = self.actor.stopping();
        let Some(changes) = &mut self.changes else {
            return Ok(());
        };
        tokio::select! {
            biased;
            // The sender lives as long as this watcher, so this cannot fail.
            _ = changes.changed() => Ok(()),
            () = stopping.cancelled() => Err(Stopping),
            () = tokio::time::sleep(REPEAT_AFTER) => Ok(()),
        }
    }
}

/// The server ends, and with it every stream.
struct Stopping;

impl Drop for Watcher {
    fn drop(&mut self) {
        self.changes = None;
        self.actor.unwatch_operation(&self.name);
        self.actor.dispatch(Event::WatcherLeft(self.name.clone()));
        let is_live = self
            .actor
            .operation(&self.name)
            .is_some_and(|view| view.response.is_none());
        if let Some(life) = self.life.take().filter(|_| is_live) {
            self.actor.see_whether_let_go(self.name.clone(), life);
        }
    }
}
