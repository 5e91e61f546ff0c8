//! The one owner of the scheduler: events go in here, effects come out and are acted on.
//!
//! The scheduler itself is pure; this shell brings it time, keeps its timer, wakes whoever watches an operation or a
//! worker, and publishes results. Locks are held for the length of one `handle`, never across an await.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action::{Report, is_cacheable};
use cas::Invocation;
use futures::FutureExt;
use parking_lot::Mutex;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use scheduler::{
    Desired, Effect, Event, OperationName, OperationView, QueueView, Scheduler, SchedulerOptions, TaskId,
    Time, Work, WorkerId,
};
use tasks::{CancellationToken, Group};
use tokio::sync::{Notify, watch};

use super::holds::{Holds, invocation};
use super::publish::publish;
use crate::Instances;

/// Runs the scheduler. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct SchedulerActor {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    started: Instant,
    wakeup_moved: Notify,
    instances: Arc<Instances>,
    group: Group,
    /// Results on their way to whoever waits for them.
    publications: Group,
}

struct State {
    scheduler: Scheduler,
    /// One entry for each operation or worker that somebody watches; removed with its last watcher.
    operations: HashMap<OperationName, watch::Sender<()>>,
    workers: HashMap<WorkerId, watch::Sender<()>>,
    effects: Vec<Effect>,
    timer_at: Option<Time>,
    holds: Holds,
}

impl SchedulerActor {
    /// Starts the scheduler and its timer in `group`.
    pub fn start(options: SchedulerOptions, instances: Arc<Instances>, group: &Group) -> Self {
        let state = State {
            scheduler: Scheduler::new(options),
            operations: HashMap::new(),
            workers: HashMap::new(),
            effects: Vec::new(),
            timer_at: None,
            holds: Holds::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            started: Instant::now(),
            wakeup_moved: Notify::new(),
            instances,
            group: group.clone(),
            publications: group.child("publications"),
        };
        let actor = SchedulerActor {
            shared: Arc::new(shared),
        };
        // The first event starts the scheduler's clock, so that the start-up grace counts from here.
        actor.dispatch(Event::Tick);
        group.spawn("scheduler timer", actor.clone().run_timer());
        actor
    }

    /// Gives the scheduler one event and acts on what it decides.
    pub fn dispatch(&self, event: Event) {
        let mut publications = Vec::new();
        // Let go where nothing is locked.
        let mut let_go = Vec::new();
        let accepted = match &event {
            Event::Execute(request) => Some(request.operation.clone()),
            _ => None,
        };
        {
            let mut state = self.shared.state.lock();
            let state = &mut *state;
            state.scheduler.handle(self.now(), event, &mut state.effects);
            if let Some(operation) = accepted.and_then(|name| state.scheduler.operation(&name)) {
                state.holds.accepted(self.shared.instances.leases(), &operation);
            }
            for effect in state.effects.drain(..) {
                match effect {
                    Effect::Update(operation) => {
                        let look = || state.scheduler.operation(&operation);
                        let_go.extend(state.holds.changed(&operation, look));
                        wake(&state.operations, &operation);
                    }
                    Effect::Sync(worker) => wake(&state.workers, &worker),
                    Effect::Publish(task, work, response) => publications.push((task, work, response)),
                }
            }
            let wakeup = state.scheduler.next_wakeup();
            if wakeup != state.timer_at {
                state.timer_at = wakeup;
                self.shared.wakeup_moved.notify_one();
            }
        }
        for (task, work, response) in publications {
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

    /// What a worker should be doing.
    pub fn desired(&self, worker: &WorkerId) -> Option<Desired> {
        self.shared.state.lock().scheduler.desired(worker)
    }

    /// The whole queue at a glance.
    pub fn view(&self) -> QueueView {
        self.shared.state.lock().scheduler.view()
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

    /// Waits until every result that workers have handed over is with those who wait for it, at most `patience`: a
    /// worker that has drained is done, but its last results may still be on their way.
    pub async fn finish_publications(&self, patience: Duration) {
        self.shared.publications.shut_down(patience).await;
    }

    /// Fires when the server ends.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.shared.group.stopping()
    }

    fn now(&self) -> Time {
        Time::from_micros(self.shared.started.elapsed().as_micros() as u64)
    }

    fn spawn_publication(&self, task: TaskId, work: Arc<Work>, response: Box<ExecuteResponse>) {
        let actor = self.clone();
        self.shared.publications.spawn("publish result", async move {
            let cacheable = is_cacheable(work.do_not_cache, &response);
            let publishing = publish(&actor.shared.instances, &work, response, cacheable);
            // Outputs are promised to the build that wanted them.
            let published = AssertUnwindSafe(Invocation::scope(invocation(&work), publishing));
            // Somebody waits for this operation: whatever happens here, it ends.
            let response = published.catch_unwind().await.unwrap_or_else(|_| {
                let message = "publishing the result failed inside the server; its log says more";
                Box::new(Report::failed(Code::Internal, message).into_response())
            });
            actor.dispatch(Event::Published(task, response));
        });
    }

    async fn run_timer(self) {
        let stopping = self.shared.group.stopping();
        loop {
            let wakeup = self.shared.state.lock().timer_at;
            let timer = async {
                match wakeup {
                    Some(at) => {
                        let at = self.shared.started + Duration::from_micros(at.as_micros());
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
