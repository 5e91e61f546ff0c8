//! The one owner of the scheduler: events go in here, effects come out and are acted on.
//!
//! The scheduler itself is pure; this shell brings it time, keeps its timer, wakes whoever watches an operation or a
//! worker, writes its journal, and publishes results. Locks are held for the length of one `handle`, and of the write to
//! the journal that it may need, never across an await.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use action::{Report, is_cacheable};
use blob::CommandOutput;
use cas::{Hold, Invocation};
use futures::FutureExt;
use journal::Journal;
use parking_lot::Mutex;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use scheduler::{
    Desired, Effect, Entry, Event, LeaseId, OperationName, OperationView, QueueView, Scheduler,
    SchedulerOptions, TaskId, Time, Work, WorkerId,
};
use tasks::{CancellationToken, Group};
use tokio::sync::{Notify, watch};
use tonic::Status;
use worker_api::v1::FollowedOutput;

use super::follows::Follows;
use super::holds::{Holds, invocation};
use super::live_output::{Following, Outlook};
use super::publish::publish;
use crate::log_streams::{LogReader, LogStream, LogStreams};
use crate::{ConnectionLife, Instances};

/// How much a power cut may take from the journal.
const JOURNAL_SYNCED_EVERY: Duration = Duration::from_secs(1);

/// How long it takes at most until the streams of a connection that was cut have ended with it, and a little more.
const STREAMS_END_WITHIN: Duration = Duration::from_millis(20);

/// Runs the scheduler. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct SchedulerActor {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    started: Instant,
    /// When that was: times of two lives of a server can be compared.
    started_at: Time,
    wakeup_moved: Notify,
    instances: Arc<Instances>,
    group: Group,
    /// Results on their way to whoever waits for them.
    publications: Group,
    log_streams: LogStreams,
}

struct State {
    scheduler: Scheduler,
    /// One entry for each operation or worker that somebody watches; removed with its last watcher.
    operations: HashMap<OperationName, watch::Sender<()>>,
    workers: HashMap<WorkerId, watch::Sender<()>>,
    effects: Vec<Effect>,
    journal: Option<Journal>,
    timer_at: Option<Time>,
    holds: Holds,
    follows: Follows,
}

impl fmt::Debug for SchedulerActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerActor").finish_non_exhaustive()
    }
}

impl SchedulerActor {
    /// Starts the scheduler and its timer in `group`, where the one before stopped. Without a past a restart forgets all
    /// that is queued or runs.
    pub fn start(
        options: SchedulerOptions,
        instances: Arc<Instances>,
        past: Option<(Journal, Vec<Entry>)>,
        group: &Group,
    ) -> Self {
        let (journal, entries) =
            past.map_or((None, Vec::new()), |(journal, entries)| (Some(journal), entries));
        let mut effects = Vec::new();
        let since_1970 = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let started_at = Time::from_micros(since_1970.as_micros() as u64);
        let scheduler = Scheduler::restored(options, started_at, entries, &mut effects);
        let state = State {
            scheduler,
            operations: HashMap::new(),
            workers: HashMap::new(),
            effects,
            journal,
            timer_at: None,
            holds: Holds::default(),
            follows: Follows::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            started: Instant::now(),
            started_at,
            wakeup_moved: Notify::new(),
            instances,
            group: group.clone(),
            publications: group.child("publications"),
            log_streams: LogStreams::start(group),
        };
        let actor = SchedulerActor {
            shared: Arc::new(shared),
        };
        actor.go_on();
        group.spawn("scheduler timer", actor.clone().run_timer());
        group.spawn("journal", actor.clone().keep_synced());
        actor
    }

    /// Gives the scheduler one event and acts on what it decides.
    pub fn dispatch(&self, event: Event) {
        let accepted = match &event {
            Event::Execute(request) => Some(request.operation.clone()),
            _ => None,
        };
        let decided = {
            let mut state = self.shared.state.lock();
            state.handle(self.now(), event);
            if let Some(operation) = accepted.and_then(|name| state.scheduler.operation(&name)) {
                state.holds.accepted(self.shared.instances.leases(), &operation);
            }
            state.carry_out(&self.shared)
        };
        self.publish_all(decided);
    }

    /// After a restart: inputs are held again for whatever was queued or running, a new journal begins, and what was
    /// being stored is stored.
    fn go_on(&self) {
        let decided = {
            let mut state = self.shared.state.lock();
            // An event starts the scheduler's clock, so that the start-up grace counts from here.
            state.handle(self.now(), Event::Tick);
            let live = state.scheduler.operations(None, usize::MAX);
            let live: Vec<OperationView> = live.into_iter().filter(|view| view.response.is_none()).collect();
            for operation in &live {
                state.holds.accepted(self.shared.instances.leases(), operation);
            }
            if !live.is_empty() {
                tracing::info!(operations = live.len(), "goes on with what was queued or running");
            }
            state.carry_out(&self.shared)
        };
        self.publish_all(decided);
    }

    fn publish_all(&self, decided: Decided) {
        for (task, work, response) in decided.publications {
            self.spawn_publication(task, work, response);
        }
    }

    /// What the scheduler knows of an operation.
    pub fn operation(&self, name: &OperationName) -> Option<OperationView> {
        self.shared.state.lock().scheduler.operation(name)
    }

    /// Operations in name order, after `after`, at most `limit`.
    pub fn operations(&self, after: Option<&OperationName>, limit: usize) -> Vec<OperationView> {
        self.shared.state.lock().scheduler.operations(after, limit)
    }

    /// What a worker should be doing, and what it is to send of its actions' output: nothing, most of the time.
    pub(crate) fn desired_and_followed(
        &self,
        worker: &WorkerId,
    ) -> (Desired, HashMap<LeaseId, Vec<FollowedOutput>>) {
        let state = self.shared.state.lock();
        let desired = state.scheduler.desired(worker).unwrap_or_default();
        let followed = state.follows.wanted(&desired);
        (desired, followed)
    }

    /// The whole queue at a glance.
    pub fn view(&self) -> QueueView {
        self.shared.state.lock().scheduler.view()
    }

    /// The patterns of names of workers that are out of service.
    pub(crate) fn drained(&self) -> Vec<String> {
        self.shared
            .state
            .lock()
            .scheduler
            .drained()
            .map(str::to_owned)
            .collect()
    }

    /// Is told of every change of an operation from now on.
    pub(crate) fn watch_operation(&self, name: &OperationName) -> watch::Receiver<()> {
        subscribe(&mut self.shared.state.lock().operations, name)
    }

    /// Is told of every change of a worker's desired state from now on.
    pub(crate) fn watch_worker(&self, worker: &WorkerId) -> watch::Receiver<()> {
        subscribe(&mut self.shared.state.lock().workers, worker)
    }

    /// To be called after a receiver of [`watch_operation`](Self::watch_operation) is dropped.
    pub(crate) fn unwatch_operation(&self, name: &OperationName) {
        unsubscribe(&mut self.shared.state.lock().operations, name);
    }

    /// To be called after a receiver of [`watch_worker`](Self::watch_worker) is dropped.
    pub(crate) fn unwatch_worker(&self, worker: &WorkerId) {
        unsubscribe(&mut self.shared.state.lock().workers, worker);
    }

    /// Looks at an output of an operation from `offset` on. If a worker has the operation, the caller is a reader from now
    /// on, and the worker is told to send. RESOURCE_EXHAUSTED if there are too many readers.
    pub(super) fn follow(
        &self,
        name: &OperationName,
        output: CommandOutput,
        offset: u64,
    ) -> Result<Outlook, Status> {
        let mut state = self.shared.state.lock();
        let State {
            scheduler,
            follows,
            workers,
            ..
        } = &mut *state;
        let Some(operation) = scheduler.operation(name) else {
            return Ok(Outlook::Unknown);
        };
        let work = operation.work;
        if let Some(response) = operation.response {
            return Ok(Outlook::Over(work, response));
        }
        let Some((lease, worker)) = scheduler.holder(name) else {
            return Ok(Outlook::Later);
        };
        let make = |keeps| self.shared.log_streams.create(&work.instance, keeps);
        let (stream, fate) = follows.follow(name, (lease, worker.clone()), (output, offset), make)?;
        wake(workers, &worker);
        Ok(Outlook::Live(Following {
            actor: self.clone(),
            operation: name.clone(),
            work,
            reader: LogReader::new(stream.clone(), offset),
            stream,
            fate,
        }))
    }

    /// A reader less.
    pub(super) fn unfollow(&self, name: &OperationName, stream: &Arc<LogStream>) {
        let mut state = self.shared.state.lock();
        let unfollowed = state.follows.unfollow(name, stream, &self.shared.log_streams);
        if let Some(worker) = unfollowed {
            wake(&state.workers, &worker);
        }
    }

    /// Where outputs of actions come in.
    pub(crate) fn log_streams(&self) -> &LogStreams {
        &self.shared.log_streams
    }

    pub(super) fn instances(&self) -> &Instances {
        &self.shared.instances
    }

    /// Waits until every result that workers have handed over is with those who wait for it, at most `patience`: a
    /// worker that has drained is done, but its last results may still be on their way.
    pub async fn finish_publications(&self, patience: Duration) {
        self.shared.publications.shut_down(patience).await;
    }

    /// A client has dropped its stream of an operation: on purpose, unless its connection was cut.
    pub(crate) fn see_whether_let_go(&self, name: OperationName, life: ConnectionLife) {
        let actor = self.clone();
        let stopping = self.shared.group.stopping();
        self.shared.group.spawn("see whether let go", async move {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(STREAMS_END_WITHIN) => {}
            }
            let was_cut = life.was_cut();
            tracing::debug!(operation = %name, was_cut, "a client has left");
            if !was_cut {
                actor.dispatch(Event::LetGo(name));
            }
        });
    }

    /// Fires when the server ends.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.shared.group.stopping()
    }

    fn now(&self) -> Time {
        self.shared.started_at + self.shared.started.elapsed()
    }

    fn spawn_publication(&self, task: TaskId, work: Arc<Work>, response: Arc<ExecuteResponse>) {
        let actor = self.clone();
        self.shared.publications.spawn("publish result", async move {
            let cacheable = is_cacheable(work.do_not_cache, &response);
            let publishing = publish(&actor.shared.instances, &work, response, cacheable);
            // Outputs are promised to the build that wanted them.
            let published = AssertUnwindSafe(Invocation::scope(invocation(&work), publishing));
            // Somebody waits for this operation: whatever happens here, it ends.
            let response = published.catch_unwind().await.unwrap_or_else(|_| {
                let message = "publishing the result failed inside the server; its log says more";
                Arc::new(Report::failed(Code::Internal, message).into_response())
            });
            actor.dispatch(Event::Published(task, response));
        });
    }

    /// Brings the journal to the disk every now and then, so that a power cut takes little of it.
    async fn keep_synced(self) {
        let stopping = self.shared.group.stopping();
        loop {
            let stopped = tokio::time::timeout(JOURNAL_SYNCED_EVERY, stopping.cancelled())
                .await
                .is_ok();
            let unsynced = {
                let mut state = self.shared.state.lock();
                state.journal.as_mut().and_then(Journal::take_unsynced)
            };
            if let Some(unsynced) = unsynced {
                match tokio::task::spawn_blocking(move || unsynced.sync()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "the journal may not be on the disk"),
                    Err(error) => tracing::error!(%error, "syncing the journal panicked"),
                }
            }
            if stopped {
                return;
            }
        }
    }

    async fn run_timer(self) {
        let stopping = self.shared.group.stopping();
        loop {
            let wakeup = self.shared.state.lock().timer_at;
            let timer = async {
                match wakeup {
                    Some(at) => {
                        let at = self.shared.started + (at - self.shared.started_at);
                        tokio::time::sleep_until(at.into()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.shared.wakeup_moved.notified() => {}
                () = timer => self.dispatch(Event::Tick),
            }
        }
    }
}

impl State {
    fn handle(&mut self, now: Time, event: Event) {
        self.scheduler.handle(now, event, &mut self.effects);
    }

    /// Remembers what has to be, then tells who has to know.
    fn carry_out(&mut self, shared: &Shared) -> Decided {
        let mut records = Vec::new();
        let mut others = Vec::new();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Record(entry) => records.push(entry),
                other => others.push(other),
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.record(&records, || self.scheduler.entries());
        }
        let mut decided = Decided::default();
        for effect in others {
            match effect {
                Effect::Update(operation) => {
                    let look = || self.scheduler.operation(&operation);
                    decided.let_go.extend(self.holds.changed(&operation, look));
                    let unfollowed = self.follows.changed(&operation, &shared.log_streams, || {
                        let holder = self.scheduler.holder(&operation);
                        (look(), holder.map(|(lease, _)| lease))
                    });
                    // The lease may go on for other operations.
                    if let Some(worker) = unfollowed {
                        wake(&self.workers, &worker);
                    }
                    wake(&self.operations, &operation);
                }
                Effect::Sync(worker) => wake(&self.workers, &worker),
                Effect::Publish(task, work, response) => decided.publications.push((task, work, response)),
                Effect::Record(_) => unreachable!("sorted out above"),
            }
        }
        let wakeup = self.scheduler.next_wakeup();
        if wakeup != self.timer_at {
            self.timer_at = wakeup;
            shared.wakeup_moved.notify_one();
        }
        decided
    }
}

/// What is left to do where nothing is locked.
#[derive(Default)]
struct Decided {
    publications: Vec<(TaskId, Arc<Work>, Arc<ExecuteResponse>)>,
    /// Dropping these may take a moment.
    let_go: Vec<Hold>,
}

fn wake<K: Eq + std::hash::Hash>(watched: &HashMap<K, watch::Sender<()>>, key: &K) {
    if let Some(sender) = watched.get(key) {
        sender.send_replace(());
    }
}

fn subscribe<K: Eq + std::hash::Hash + Clone>(
    watched: &mut HashMap<K, watch::Sender<()>>,
    key: &K,
) -> watch::Receiver<()> {
    watched
        .entry(key.clone())
        .or_insert_with(|| watch::channel(()).0)
        .subscribe()
}

fn unsubscribe<K: Eq + std::hash::Hash>(watched: &mut HashMap<K, watch::Sender<()>>, key: &K) {
    if watched
        .get(key)
        .is_some_and(|sender| sender.receiver_count() == 0)
    {
        watched.remove(key);
    }
}
