//! `farrier.admin.v1.Queue`: what waits, what runs, and who runs it.

use std::sync::Arc;

use admin_api::v1 as proto;
use admin_api::v1::queue_server::Queue;
use admin_api::v1::worker_status::State;
use scheduler::{Event, LeaseView, Phase, PlatformView, Totals, WorkerView};
use tonic::{Request, Response, Status};

use crate::SchedulerActor;
use crate::peer::authorise;

/// Most words of a command that are told, and most bytes of each.
const WORDS_MAX: usize = 16;
const WORD_CHARS_MAX: usize = 200;
/// Longest pattern of names.
const PATTERN_BYTES_MAX: usize = 1024;

/// The service.
#[derive(Clone)]
pub struct QueueAdmin {
    actor: SchedulerActor,
    secret: Arc<str>,
}

impl QueueAdmin {
    /// Tells what this scheduler knows, and takes workers out of service for whoever has the secret of the token of
    /// workers.
    pub fn new(actor: SchedulerActor, secret: &str) -> Self {
        QueueAdmin {
            actor,
            secret: secret.into(),
        }
    }
}

#[tonic::async_trait]
impl Queue for QueueAdmin {
    async fn get_queue(
        &self,
        _: Request<proto::GetQueueRequest>,
    ) -> Result<Response<proto::GetQueueResponse>, Status> {
        let view = self.actor.view();
        Ok(Response::new(proto::GetQueueResponse {
            operations_live: view.operations_live as u64,
            operations_finished: view.operations_finished as u64,
            queued: view.tasks_queued as u64,
            running: view.tasks_running as u64,
            publishing: view.tasks_publishing as u64,
            queues: view.platforms.into_iter().map(queue).collect(),
            totals: Some(totals(view.totals)),
        }))
    }

    async fn get_workers(
        &self,
        _: Request<proto::GetWorkersRequest>,
    ) -> Result<Response<proto::GetWorkersResponse>, Status> {
        let workers = self.actor.view().workers;
        Ok(Response::new(proto::GetWorkersResponse {
            workers: workers.into_iter().map(worker).collect(),
        }))
    }

    async fn drain(
        &self,
        request: Request<proto::DrainRequest>,
    ) -> Result<Response<proto::DrainResponse>, Status> {
        authorise(&request, &self.secret)?;
        let proto::DrainRequest { pattern, undo } = request.into_inner();
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "a pattern may have at most {PATTERN_BYTES_MAX} bytes"
            )));
        }
        if !pattern.is_empty() {
            self.actor.dispatch(Event::Drain {
                pattern: pattern.clone(),
                on: !undo,
            });
        }
        let patterns = self.actor.drained();
        if !pattern.is_empty() && !undo && !patterns.contains(&pattern) {
            return Err(Status::resource_exhausted(
                "there are too many patterns; take some back",
            ));
        }
        let workers = self.actor.view().workers.into_iter();
        let draining = workers.filter(|worker| worker.draining).map(|worker| worker.name);
        Ok(Response::new(proto::DrainResponse {
            patterns,
            draining: draining.collect(),
        }))
    }
}

fn queue(view: PlatformView) -> proto::ActionQueue {
    proto::ActionQueue {
        platform: view
            .platform
            .iter()
            .map(|(name, value)| property(name, value))
            .collect(),
        slots: view.slots,
        memory_bytes: view.memory_bytes,
        queued: view.queued as u64,
        running: view.tasks.saturating_sub(view.queued) as u64,
        workers: view.workers as u64,
        reason: view.why_queued.unwrap_or_default(),
        reserved_worker: view.reserved.unwrap_or_default(),
    }
}

fn totals(totals: Totals) -> proto::Totals {
    proto::Totals {
        operations: totals.operations,
        merged: totals.merged,
        refused: totals.refused,
        cancelled: totals.cancelled,
        granted: totals.granted,
        lost: totals.lost,
        retried: totals.retried,
        handed_back: totals.handed_back,
        published: totals.published,
        hedged: totals.hedged,
    }
}

fn worker(view: WorkerView) -> proto::WorkerStatus {
    let state = match (view.connected, view.draining) {
        (false, _) => State::Away,
        (true, true) => State::Draining,
        (true, false) => State::Ready,
    };
    let resource = |(name, amount, used)| proto::ResourceStatus { name, amount, used };
    proto::WorkerStatus {
        worker_id: view.id.to_string(),
        name: view.name,
        state: state.into(),
        properties: view
            .properties
            .iter()
            .map(|(name, value)| property(name, value))
            .collect(),
        slots: view.slots,
        slots_used: view.slots_used,
        memory_bytes: view.memory_bytes,
        memory_bytes_used: view.memory_bytes_used,
        resources: view.resources.into_iter().map(resource).collect(),
        actions: view.leases.into_iter().map(running).collect(),
    }
}

fn running(lease: LeaseView) -> proto::RunningAction {
    let phase = match lease.phase {
        None => "",
        Some(Phase::FetchingInputs) => "fetching inputs",
        Some(Phase::Executing) => "executing",
        Some(Phase::UploadingOutputs) => "uploading outputs",
    };
    let words = lease.work.command.arguments.iter().take(WORDS_MAX);
    proto::RunningAction {
        operation_name: lease.operation.to_string(),
        action_digest: lease.action_digest.to_string(),
        phase: phase.to_owned(),
        arguments: words
            .map(|word| word.chars().take(WORD_CHARS_MAX).collect())
            .collect(),
    }
}

fn property(name: &str, value: &str) -> proto::PlatformProperty {
    proto::PlatformProperty {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}
