//! The door of the workers: `farrier.worker.v1.Workers`.
//!
//! Level-triggered both ways: each message is its sender's complete state, so a repeated or lost one is harmless.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use journal::assignment;
use parking_lot::Mutex;
use prost::Message;
use scheduler::{Desired, Event, LeaseId, LeaseState, Phase, Usage, WorkerId, WorkerReport};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use worker_api::v1 as proto;
use worker_api::v1::workers_server::Workers;

use crate::execution::SchedulerActor;
use crate::peer::{Admitted, Peer, admit, bearer};

/// Longest id, name or property of a worker, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Most properties a worker may announce.
const PROPERTIES_MAX: usize = 1000;
/// Most slots a worker may announce.
const SLOTS_MAX: u32 = 4096;
/// Most bytes of assignments in one message to a worker, as long as there is more than one.
const ASSIGNMENTS_BYTES_MAX: usize = 16 << 20;
/// Most workers connected at once.
const WORKERS_MAX: usize = 20_000;

/// Serves workers that have a certificate, and the server's own.
#[derive(Clone)]
pub struct WorkersDoor {
    actor: SchedulerActor,
    own_token: Arc<str>,
    options: WorkersOptions,
    connections: Arc<Connections>,
}

/// What workers are told about time.
#[derive(Clone, Copy, Debug)]
pub struct WorkersOptions {
    /// A worker that could not renew its leases for this long drops them; the same length as the scheduler's.
    pub lease_duration: Duration,
    /// How often a worker reports when nothing changes.
    pub heartbeat: Duration,
}

/// Which connection speaks for a worker: the newest, when it comes back before its old one is noticed to be dead.
#[derive(Default)]
struct Connections {
    newest: Mutex<(u64, HashMap<WorkerId, u64>)>,
}

impl WorkersDoor {
    /// `own_token` is what the worker that the server starts itself sends as `authorization: Bearer`, from the same machine
    /// and without TLS. All others have come by [`JoiningDoor`](crate::JoiningDoor).
    pub fn new(actor: SchedulerActor, own_token: &str, options: WorkersOptions) -> Self {
        WorkersDoor {
            actor,
            own_token: own_token.into(),
            options,
            connections: Arc::default(),
        }
    }
}

#[tonic::async_trait]
impl Workers for WorkersDoor {
    type SynchronizeStream = BoxStream<'static, Result<proto::DesiredState, Status>>;

    async fn synchronize(
        &self,
        request: Request<Streaming<proto::WorkerState>>,
    ) -> Result<Response<Self::SynchronizeStream>, Status> {
        let (peer, now) = (Peer::of_call(&request), SystemTime::now());
        let admitted = admit(&peer, bearer(request.metadata()), &self.own_token, now)?;
        let mut states = request.into_inner();
        let Some(first) = states.next().await.transpose()? else {
            return Err(Status::invalid_argument(
                "Synchronize: the stream ended before the first WorkerState",
            ));
        };
        // Checked before it takes over from an older stream: a malformed message must not cost a live worker its leases.
        check_state(&first)?;
        check_name(&first.name, &admitted)?;
        let mut connection = Connection::open(self, &first.worker_id, admitted)?;
        let first = connection.sync(first)?;
        let later = stream::unfold(Some((connection, states)), |state| async move {
            let (mut connection, mut states) = state?;
            match connection.next(&mut states).await {
                Ok(Some(desired)) => Some((Ok(desired), Some((connection, states)))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        let answers = stream::once(std::future::ready(Ok(first))).chain(later);
        Ok(Response::new(answers.boxed()))
    }
}

/// One worker's stream. Dropping it tells the scheduler that the worker is gone, for now or for good.
struct Connection {
    door: WorkersDoor,
    worker: WorkerId,
    admitted: Admitted,
    number: u64,
    changes: Option<watch::Receiver<()>>,
    acknowledged_sequence: u64,
    /// What the worker held when it last said so: it needs no second copy of their assignments.
    reported: HashSet<LeaseId>,
}

impl Connection {
    fn open(door: &WorkersDoor, worker_id: &str, admitted: Admitted) -> Result<Self, Status> {
        let worker = WorkerId::new(worker_id);
        let number = {
            let (last, newest) = &mut *door.connections.newest.lock();
            if newest.len() >= WORKERS_MAX && !newest.contains_key(&worker) {
                return Err(Status::resource_exhausted(format!(
                    "{WORKERS_MAX} workers are connected already"
                )));
            }
            *last += 1;
            newest.insert(worker.clone(), *last);
            *last
        };
        let changes = Some(door.actor.watch_worker(&worker));
        Ok(Connection {
            door: door.clone(),
            worker,
            admitted,
            number,
            changes,
            acknowledged_sequence: 0,
            reported: HashSet::new(),
        })
    }

    /// The next thing to tell the worker: after a change of what is desired, or in answer to its report.
    async fn next(
        &mut self,
        states: &mut Streaming<proto::WorkerState>,
    ) -> Result<Option<proto::DesiredState>, Status> {
        let Some(changes) = &mut self.changes else {
            return Ok(None);
        };
        tokio::select! {
            state = states.next() => match state.transpose()? {
                Some(state) => self.sync(state).map(Some),
                None => Ok(None),
            },
            // The sender lives as long as this receiver does.
            _ = changes.changed() => Ok(Some(self.desired())),
        }
    }

    fn sync(&mut self, state: proto::WorkerState) -> Result<proto::DesiredState, Status> {
        if state.worker_id != self.worker.as_str() {
            return Err(Status::invalid_argument(
                "WorkerState.worker_id changed within a stream",
            ));
        }
        check_state(&state)?;
        check_name(&state.name, &self.admitted)?;
        if !self.is_newest() {
            return Err(Status::aborted("this worker has opened another stream since"));
        }
        self.acknowledged_sequence = state.sequence;
        self.reported = state
            .leases
            .iter()
            .map(|lease| LeaseId::new(lease.lease_id))
            .collect();
        let report = report(state);
        self.door
            .actor
            .dispatch(Event::WorkerSynced(self.worker.clone(), report));
        // What this report changes is told in its own answer, not once more as a change.
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
        Ok(self.desired())
    }

    fn is_newest(&self) -> bool {
        let (_, newest) = &*self.door.connections.newest.lock();
        newest.get(&self.worker) == Some(&self.number)
    }

    fn desired(&self) -> proto::DesiredState {
        let (desired, followed) = self.door.actor.desired_and_followed(&self.worker);
        proto::DesiredState {
            leases: leases(desired, &self.reported, followed),
            lease_duration: duration(self.door.options.lease_duration),
            heartbeat: duration(self.door.options.heartbeat),
            acknowledged_sequence: self.acknowledged_sequence,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.changes = None;
        self.door.actor.unwatch_worker(&self.worker);
        let was_newest = {
            let (_, newest) = &mut *self.door.connections.newest.lock();
            let was_newest = newest.get(&self.worker) == Some(&self.number);
            if was_newest {
                newest.remove(&self.worker);
            }
            was_newest
        };
        if was_newest {
            self.door.actor.dispatch(Event::WorkerGone(self.worker.clone()));
        }
    }
}

/// Bounds what a worker says of itself.
fn check_state(state: &proto::WorkerState) -> Result<(), Status> {
    check_text("worker_id", &state.worker_id)?;
    if state.worker_id.is_empty() {
        return Err(Status::invalid_argument("WorkerState.worker_id is empty"));
    }
    check_text("name", &state.name)?;
    if state.properties.len() > PROPERTIES_MAX {
        return Err(Status::invalid_argument(format!(
            "a worker may announce at most {PROPERTIES_MAX} properties"
        )));
    }
    for property in &state.properties {
        check_text("property name", &property.name)?;
        check_text("property value", &property.value)?;
    }
    if state.resources.len() > PROPERTIES_MAX {
        return Err(Status::invalid_argument(format!(
            "a worker may announce at most {PROPERTIES_MAX} resources"
        )));
    }
    for resource in &state.resources {
        check_text("resource name", &resource.name)?;
    }
    Ok(())
}

/// A worker speaks for itself only: what another one's name is, people drain and blame.
fn check_name(name: &str, admitted: &Admitted) -> Result<(), Status> {
    match admitted {
        Admitted::Certified { name: certified } if certified != name => {
            Err(Status::permission_denied(format!(
                "a worker with the certificate of `{certified}` calls itself `{name}`; start it with its --token to get one of \
             that name"
            )))
        }
        _ => Ok(()),
    }
}

fn report(state: proto::WorkerState) -> WorkerReport {
    let usages = state.leases.iter().filter_map(usage).collect();
    WorkerReport {
        name: state.name,
        properties: state
            .properties
            .into_iter()
            .map(|property| (property.name, property.value))
            .collect(),
        slots: state.slots.min(SLOTS_MAX),
        draining: state.draining,
        // A negative one is over.
        leaves_in: state.leaves_in.map(|left| left.try_into().unwrap_or_default()),
        memory_bytes: state.memory_bytes,
        resources: state
            .resources
            .into_iter()
            .map(|resource| (resource.name, resource.amount))
            .collect(),
        usages,
        leases: state.leases.into_iter().filter_map(lease_state).collect(),
    }
}

/// What a completed action has used, if its worker measured that.
fn usage(lease: &proto::LeaseState) -> Option<(LeaseId, Usage)> {
    let Some(proto::lease_state::State::Completed(completed)) = &lease.state else {
        return None;
    };
    let metadata = completed
        .response
        .as_ref()?
        .result
        .as_ref()?
        .execution_metadata
        .as_ref()?;
    let mut told = metadata.auxiliary_metadata.iter();
    let used: proto::ResourceUsage = told.find_map(|any| any.to_msg().ok())?;
    let wall: Duration = metadata.virtual_execution_duration?.try_into().ok()?;
    let cpu = [used.user_time, used.system_time].into_iter().flatten();
    let cpu = cpu.filter_map(|time| Duration::try_from(time).ok()).sum();
    let memory_bytes = match used.crowded_out {
        true => used.memory_peak_bytes,
        // One process is often all there is; and of the peak of all together, a good part is files that could have been
        // dropped.
        false => used.max_rss_bytes.max(used.memory_peak_bytes / 2),
    };
    let usage = Usage {
        wall,
        cpu,
        memory_bytes,
        crowded_out: used.crowded_out,
    };
    Some((LeaseId::new(lease.lease_id), usage))
}

/// `None` for a lease whose state this server does not know: it is simply not renewed.
fn lease_state(lease: proto::LeaseState) -> Option<(LeaseId, LeaseState)> {
    use proto::lease_state::State;
    let state = match lease.state? {
        State::Running(running) => LeaseState::Running {
            phase: match running.phase() {
                proto::running::Phase::Unspecified | proto::running::Phase::FetchingInputs => {
                    Phase::FetchingInputs
                }
                proto::running::Phase::Executing => Phase::Executing,
                proto::running::Phase::UploadingOutputs => Phase::UploadingOutputs,
            },
            metadata: running.partial_metadata.map(Box::new),
        },
        State::Completed(completed) => LeaseState::Completed(Box::new(completed.response?)),
    };
    Some((LeaseId::new(lease.lease_id), state))
}

/// Every lease by its number; the assignment only where the worker needs it, and as many as a message carries. The
/// rest follow when the worker has reported what it got.
fn leases(
    desired: Desired,
    reported: &HashSet<LeaseId>,
    mut followed: HashMap<LeaseId, Vec<proto::FollowedOutput>>,
) -> Vec<proto::Lease> {
    let mut room_bytes = ASSIGNMENTS_BYTES_MAX;
    let mut carries_any = false;
    let mut leases = Vec::with_capacity(desired.len());
    for (id, operation, work) in desired {
        let size_bytes = work.action.encoded_len() + work.command.encoded_len();
        // The first always goes, however large it is: each message gets the worker further.
        let carried = !reported.contains(&id) && (size_bytes <= room_bytes || !carries_any);
        if carried {
            carries_any = true;
            room_bytes = room_bytes.saturating_sub(size_bytes);
        }
        let assignment = carried.then(|| assignment(&operation, &work));
        leases.push(proto::Lease {
            lease_id: id.as_u64(),
            assignment,
            followed_outputs: followed.remove(&id).unwrap_or_default(),
        });
    }
    leases
}

fn check_text(what: &str, text: &str) -> Result<(), Status> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "a worker's {what} may have at most {TEXT_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: duration.as_secs() as i64,
        nanos: duration.subsec_nanos() as i32,
    })
}

pub(crate) fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |differences, (x, y)| differences | (x ^ y))
            == 0
}
