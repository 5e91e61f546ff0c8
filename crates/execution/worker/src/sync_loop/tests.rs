use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use reapi::execution::ExecuteResponse;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use worker_api::v1::lease_state::State;
use worker_api::v1::workers_server::{Workers, WorkersServer};

use super::*;

/// A server whose every stream is handed to the test, which plays it.
struct Scripted {
    streams: mpsc::Sender<ServerStream>,
    refuse: Option<tonic::Code>,
}

/// The server's end of one stream.
struct ServerStream {
    states: Streaming<proto::WorkerState>,
    desired: mpsc::Sender<Result<proto::DesiredState, Status>>,
    authorization: Option<String>,
}

#[tonic::async_trait]
impl Workers for Scripted {
    type SynchronizeStream = ReceiverStream<Result<proto::DesiredState, Status>>;

    async fn synchronize(
        &self,
        request: Request<Streaming<proto::WorkerState>>,
    ) -> Result<Response<Self::SynchronizeStream>, Status> {
        if let Some(code) = self.refuse {
            return Err(Status::new(code, "go away"));
        }
        let authorization = request
            .metadata()
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        let (desired, answers) = mpsc::channel(10);
        let stream = ServerStream {
            states: request.into_inner(),
            desired,
            authorization,
        };
        self.streams
            .send(stream)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl ServerStream {
    async fn state(&mut self) -> proto::WorkerState {
        let state = tokio::time::timeout(PATIENCE, self.states.message()).await;
        state
            .expect("the worker speaks in time")
            .unwrap()
            .expect("the worker has not ended the stream")
    }

    /// The first state from here on that fits.
    async fn state_where(&mut self, fits: impl Fn(&proto::WorkerState) -> bool) -> proto::WorkerState {
        loop {
            let state = self.state().await;
            if fits(&state) {
                return state;
            }
        }
    }

    async fn desire(&self, lease_ids: &[u64], acknowledged_sequence: u64) {
        self.desire_for(Duration::from_secs(9), lease_ids, acknowledged_sequence)
            .await;
    }

    async fn desire_for(&self, lease_duration: Duration, lease_ids: &[u64], acknowledged_sequence: u64) {
        let assignment = |lease_id: u64| proto::Assignment {
            operation_name: lease_id.to_string(),
            digest_function: 1,
            action_digest: Some(digest()),
            action: Some(reapi::execution::Action {
                command_digest: Some(digest()),
                input_root_digest: Some(digest()),
                ..Default::default()
            }),
            command: Some(reapi::execution::Command {
                arguments: vec!["x".into()],
                ..Default::default()
            }),
            timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let lease = |lease_id: &u64| proto::Lease {
            lease_id: *lease_id,
            assignment: Some(assignment(*lease_id)),
            ..Default::default()
        };
        let desired = proto::DesiredState {
            leases: lease_ids.iter().map(lease).collect(),
            lease_duration: Some(lease_duration.try_into().unwrap()),
            heartbeat: Some(prost_types::Duration {
                seconds: 0,
                nanos: 150_000_000,
            }),
            acknowledged_sequence,
        };
        self.desired.send(Ok(desired)).await.unwrap();
    }
}

fn digest() -> reapi::execution::Digest {
    blob::Digest::of(blob::DigestFunction::Sha256, b"x").to_proto()
}

const PATIENCE: Duration = Duration::from_secs(10);

/// Actions that run until the test lets them end.
#[derive(Default)]
struct Stage {
    started: AtomicUsize,
    running: AtomicUsize,
    cancelled: AtomicUsize,
    finish: tokio::sync::Notify,
    /// What the next action leaves behind is gone when this fires.
    undead_until: std::sync::Mutex<Option<CancellationToken>>,
    changed: tokio::sync::Notify,
}

struct Running<'a>(&'a Stage);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

#[async_trait]
impl Executor for Arc<Stage> {
    async fn execute(
        &self,
        assignment: Assignment,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> ExecuteResponse {
        if let Some(gone) = self.undead_until.lock().unwrap().take() {
            progress.lose_slot(async move { gone.cancelled().await });
            return Report::failed(Code::Unavailable, "undead").into_response();
        }
        self.started.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(self);
        self.changed.notify_waiters();
        tokio::select! {
            () = self.finish.notified() => {
                ExecuteResponse { message: assignment.operation_name, ..Default::default() }
            }
            () = cancel.cancelled() => {
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                Report::cancelled().into_response()
            }
        }
    }
}

impl Stage {
    async fn until(&self, reached: impl Fn(&Stage) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if reached(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the actions get there in time");
    }
}

struct Fixture {
    streams: mpsc::Receiver<ServerStream>,
    stage: Arc<Stage>,
    leave: watch::Sender<Option<Instant>>,
    ended: tokio::sync::oneshot::Receiver<Result<(), SyncError>>,
}

async fn fixture(refuse: Option<tonic::Code>, token: Option<&str>) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (to_streams, streams) = mpsc::channel(10);
    let group = Group::new("test");
    let server = WorkersServer::new(Scripted {
        streams: to_streams,
        refuse,
    });
    let serving = tonic::transport::Server::builder().add_service(server);
    group.spawn("server", async move {
        serving
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    });
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    let identity = Identity {
        worker_id: "id".into(),
        name: "name".into(),
        properties: vec![("ISA".into(), "x".into())],
        slots: 2,
        memory_bytes: 0,
        resources: Vec::new(),
        host_tools: watch::channel(None).1,
    };
    let stage = Arc::new(Stage::default());
    let executor: Arc<dyn Executor> = Arc::new(stage.clone());
    let server = Server::new(channel, token).unwrap();
    let sync_loop = SyncLoop::new(identity, server, executor, group.clone());
    let ((leave, leaving), (end, ended)) = (watch::channel(None), tokio::sync::oneshot::channel());
    group.spawn("sync loop", async move {
        // The test may have ended before.
        let _told = end.send(sync_loop.run(leaving).await);
    });
    Fixture {
        streams,
        stage,
        leave,
        ended,
    }
}

impl Fixture {
    async fn stream(&mut self) -> ServerStream {
        let stream = tokio::time::timeout(PATIENCE, self.streams.recv()).await;
        stream.expect("the worker connects in time").unwrap()
    }

    fn leave_within(&self, left: Duration) {
        self.leave.send(Some(Instant::now() + left)).unwrap();
    }

    async fn ended(self) -> Result<(), SyncError> {
        tokio::time::timeout(PATIENCE, self.ended)
            .await
            .expect("the worker ends in time")
            .unwrap()
    }
}

fn completed(state: &proto::WorkerState) -> bool {
    matches!(
        state.leases.first(),
        Some(proto::LeaseState {
            state: Some(State::Completed(_)),
            ..
        })
    )
}

#[tokio::test]
async fn a_lease_is_taken_finished_and_kept_until_the_server_has_it() {
    let mut fixture = fixture(None, Some("secret")).await;
    let mut stream = fixture.stream().await;
    assert_eq!(stream.authorization.as_deref(), Some("Bearer secret"));
    let first = stream.state().await;
    assert_eq!(
        (&*first.worker_id, &*first.name, first.slots, first.sequence),
        ("id", "name", 2, 1)
    );
    assert_eq!(
        (&*first.properties[0].name, first.draining, first.leases.len()),
        ("ISA", false, 0)
    );
    stream.desire(&[7], 1).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 1)
        .await;
    let running = stream.state().await;
    assert!(matches!(running.leases[0].state, Some(State::Running(_))));
    stream.desire(&[7], running.sequence).await;
    fixture.stage.finish.notify_one();
    for _ in 0..3 {
        // Heard, but still desired: it is told again and again.
        let state = stream.state_where(completed).await;
        let Some(State::Completed(proto::Completed { response })) = &state.leases[0].state else {
            unreachable!()
        };
        assert_eq!(response.as_ref().unwrap().message, "7");
        stream.desire(&[7], state.sequence).await;
    }
    stream.desire(&[], 0).await;
    let empty = stream.state_where(|state| state.leases.is_empty()).await;
    stream.desire(&[], empty.sequence).await;
    assert_eq!(fixture.stage.started.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn work_goes_on_over_a_broken_stream() {
    let mut fixture = fixture(None, None).await;
    let mut first = fixture.stream().await;
    assert_eq!(first.authorization, None);
    let sequence = first.state().await.sequence;
    first.desire(&[1], sequence).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 1)
        .await;
    first
        .desired
        .send(Err(Status::unavailable("restarting")))
        .await
        .unwrap();
    drop(first);
    let mut second = fixture.stream().await;
    let state = second.state().await;
    assert_eq!((&*state.worker_id, state.leases.len()), ("id", 1));
    assert!(state.sequence > sequence);
    second.desire(&[1], state.sequence).await;
    fixture.stage.finish.notify_one();
    second.state_where(completed).await;
    let stage = &fixture.stage;
    assert_eq!(
        (
            stage.started.load(Ordering::SeqCst),
            stage.cancelled.load(Ordering::SeqCst)
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn a_withdrawn_lease_is_killed_and_forgotten() {
    let mut fixture = fixture(None, None).await;
    let mut stream = fixture.stream().await;
    let sequence = stream.state().await.sequence;
    stream.desire(&[1, 2], sequence).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 2)
        .await;
    stream.desire(&[2], sequence).await;
    fixture
        .stage
        .until(|stage| stage.cancelled.load(Ordering::SeqCst) == 1)
        .await;
    let state = stream.state_where(|state| state.leases.len() == 1).await;
    assert_eq!(state.leases[0].lease_id, 2);
    assert_eq!(fixture.stage.running.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_run_than_there_are_slots() {
    let mut fixture = fixture(None, None).await;
    let mut stream = fixture.stream().await;
    let sequence = stream.state().await.sequence;
    stream.desire(&[1, 2, 3], sequence).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 2)
        .await;
    let state = stream.state_where(|state| state.leases.len() == 3).await;
    stream.desire(&[1, 2, 3], state.sequence).await;
    assert_eq!(fixture.stage.started.load(Ordering::SeqCst), 2);
    fixture.stage.finish.notify_one();
    fixture
        .stage
        .until(|stage| stage.started.load(Ordering::SeqCst) == 3)
        .await;
}

#[tokio::test]
async fn when_leases_cannot_be_renewed_the_work_is_given_up_but_not_the_server() {
    let mut fixture = fixture(None, None).await;
    let mut first = fixture.stream().await;
    let sequence = first.state().await.sequence;
    first.desire_for(Duration::from_millis(600), &[1], sequence).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 1)
        .await;
    // Silence: the stream stays open, and nothing is acknowledged any more.
    fixture
        .stage
        .until(|stage| stage.cancelled.load(Ordering::SeqCst) == 1)
        .await;
    let mut again = fixture.stream().await;
    let state = again.state_where(|state| state.leases.is_empty()).await;
    // Still wanted: then from the beginning.
    again.desire(&[1], state.sequence).await;
    fixture
        .stage
        .until(|stage| stage.started.load(Ordering::SeqCst) == 2)
        .await;
}

#[tokio::test]
async fn who_has_to_go_says_when_and_gives_back_what_is_not_done_by_then() {
    let mut fixture = fixture(None, None).await;
    let mut stream = fixture.stream().await;
    let sequence = stream.state().await.sequence;
    stream.desire(&[1, 2], sequence).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 2)
        .await;
    fixture.leave_within(Duration::from_millis(1500));
    let left = |state: &proto::WorkerState| -> Option<Duration> { state.leaves_in?.try_into().ok() };
    let leaving = stream.state_where(|state| state.draining).await;
    assert!(left(&leaving).is_some_and(|left| left > Duration::from_millis(500)));
    // One is known to take longer, and goes elsewhere at once.
    stream.desire(&[2], leaving.sequence).await;
    fixture
        .stage
        .until(|stage| stage.cancelled.load(Ordering::SeqCst) == 1)
        .await;
    let at_last = stream
        .state_where(|state| left(state) == Some(Duration::ZERO))
        .await;
    assert_eq!(at_last.leases.len(), 1);
    stream.desire(&[], at_last.sequence).await;
    fixture
        .stage
        .until(|stage| stage.cancelled.load(Ordering::SeqCst) == 2)
        .await;
    fixture.ended().await.unwrap();
}

#[tokio::test]
async fn draining_finishes_what_runs_and_hands_it_over() {
    let mut fixture = fixture(None, None).await;
    let mut stream = fixture.stream().await;
    let sequence = stream.state().await.sequence;
    stream.desire(&[1], sequence).await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 1)
        .await;
    fixture.leave_within(PATIENCE);
    let draining = stream.state_where(|state| state.draining).await;
    assert_eq!(draining.leases.len(), 1);
    stream.desire(&[1], draining.sequence).await;
    fixture.stage.finish.notify_one();
    let state = stream.state_where(completed).await;
    assert!(fixture.ended.try_recv().is_err(), "not before the server has it");
    stream.desire(&[], state.sequence).await;
    assert_eq!(fixture.stage.cancelled.load(Ordering::SeqCst), 0);
    fixture.ended().await.unwrap();
}

#[tokio::test]
async fn draining_with_nothing_to_do_ends_once_the_server_knows() {
    let mut fixture = fixture(None, None).await;
    let mut stream = fixture.stream().await;
    let sequence = stream.state().await.sequence;
    stream.desire(&[], sequence).await;
    // The second message shows that the first answer has arrived.
    stream.state().await;
    fixture.leave_within(PATIENCE);
    let state = stream.state_where(|state| state.draining).await;
    assert!(fixture.ended.try_recv().is_err());
    stream.desire(&[], state.sequence).await;
    fixture.ended().await.unwrap();
}

#[tokio::test]
async fn draining_ends_also_when_the_server_is_gone_for_good() {
    let mut fixture = fixture(None, None).await;
    let mut stream = fixture.stream().await;
    let sequence = stream.state().await.sequence;
    stream
        .desire_for(Duration::from_millis(600), &[1], sequence)
        .await;
    fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 1)
        .await;
    fixture.leave_within(PATIENCE);
    fixture.stage.finish.notify_one();
    // Nobody answers, neither here nor on the streams that follow.
    fixture.ended().await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_fatal_and_clear() {
    let refused = fixture(Some(tonic::Code::Unauthenticated), Some("wrong"))
        .await
        .ended()
        .await
        .unwrap_err();
    assert!(matches!(refused, SyncError::Unauthenticated { .. }));
    assert_eq!(
        refused.to_string(),
        "the server does not accept this worker: go away"
    );
    let refused = fixture(Some(tonic::Code::Unimplemented), None)
        .await
        .ended()
        .await
        .unwrap_err();
    assert!(matches!(refused, SyncError::NotAServer { .. }));
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let fixture = fixture(Some(tonic::Code::Unavailable), None).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    fixture.leave_within(PATIENCE);
    fixture.ended().await.unwrap();
}

#[tokio::test]
async fn when_the_loop_is_dropped_everything_stops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", listener.local_addr().unwrap()))
        .unwrap()
        .connect_lazy();
    let identity = Identity {
        worker_id: "id".into(),
        name: "n".into(),
        properties: vec![],
        slots: 1,
        memory_bytes: 0,
        resources: Vec::new(),
        host_tools: watch::channel(None).1,
    };
    let stage = Arc::new(Stage::default());
    let group = Group::new("test");
    let executor: Arc<dyn Executor> = Arc::new(stage.clone());
    let mut sync_loop = SyncLoop::new(
        identity,
        Server::new(channel, None).unwrap(),
        executor,
        group.clone(),
    );
    let lease = proto::Lease {
        lease_id: 1,
        assignment: Some(proto::Assignment::default()),
        ..Default::default()
    };
    let (mut starts, _) = sync_loop.leases.obey(vec![lease]);
    sync_loop.start(starts.remove(0));
    // Without an assignment it completes at once, as a mistake of the server.
    let (_, report) = tokio::time::timeout(PATIENCE, sync_loop.reports.recv())
        .await
        .unwrap()
        .unwrap();
    let RunReport::Completed(response) = report else {
        panic!("no phases without an assignment")
    };
    assert_eq!(response.status.unwrap().message, "Assignment.action is not set");
    drop(sync_loop);
    assert!(group.shut_down(PATIENCE).await);
}

#[tokio::test]
async fn a_slot_with_something_undead_in_it_is_announced_no_more_until_that_is_dead() {
    let mut fixture = fixture(None, None).await;
    let gone = CancellationToken::new();
    *fixture.stage.undead_until.lock().unwrap() = Some(gone.clone());
    let mut stream = fixture.stream().await;
    assert_eq!(stream.state().await.slots, 2);
    stream.desire(&[7], 1).await;
    let state = stream.state_where(completed).await;
    assert_eq!(state.slots, 1, "told together with the end of the action");
    stream.desire(&[8, 9], state.sequence).await;
    let only_one_runs = fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 1);
    only_one_runs.await;
    for _ in 0..2 {
        assert_eq!(stream.state_where(|state| state.leases.len() == 2).await.slots, 1);
    }
    assert_eq!(fixture.stage.started.load(Ordering::SeqCst), 1);
    gone.cancel();
    stream.state_where(|state| state.slots == 2).await;
    let both_run = fixture
        .stage
        .until(|stage| stage.running.load(Ordering::SeqCst) == 2);
    both_run.await;
}
