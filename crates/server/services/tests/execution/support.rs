//! A server with stores in memory, a client, and a worker that does what the test tells it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use action_cache::{ActionCache, complete_only};
use blob::{Blob, Digest, DigestFunction, InstanceName};
use cas::{BlobStore, always_has_empty};
use futures::StreamExt;
use journal::Journal;
use prost::Message;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::execution::execution_client::ExecutionClient;
use reapi::execution::{self as proto, execution_stage};
use reapi::longrunning::operations_client::OperationsClient;
use reapi::longrunning::{Operation, operation};
use reapi::rpc;
use scheduler::{Entry, SchedulerOptions};
use services::{
    Execution, Instance, SchedulerActor, StorageOptions, Timeouts, WorkersDoor, WorkersOptions,
    storage_routes, tuned,
};
use tasks::Group;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use worker_api::v1 as wire;
use worker_api::v1::workers_client::WorkersClient;

pub const F: DigestFunction = DigestFunction::Sha256;
pub const TOKEN: &str = "secret";
/// Nothing in these tests takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Farm {
    pub store: Arc<dyn BlobStore>,
    pub cache: Arc<dyn ActionCache>,
    pub channel: Channel,
    endpoint: String,
    group: Group,
}

impl Farm {
    pub async fn start() -> Self {
        Self::with(SchedulerOptions {
            startup_grace: Duration::ZERO,
            ..SchedulerOptions::default()
        })
        .await
    }

    pub async fn with(options: SchedulerOptions) -> Self {
        Self::with_leases(options, cas::no_leases()).await
    }

    pub async fn with_leases(options: SchedulerOptions, leases: Arc<dyn cas::Leases>) -> Self {
        let store = always_has_empty(cas::memory(64 << 20));
        let cache = complete_only(action_cache::memory(16 << 20), store.clone());
        Self::with_all(options, leases, store, cache, None).await
    }

    /// Remembers in this file.
    pub async fn with_journal(path: &Path) -> Self {
        let store = always_has_empty(cas::memory(64 << 20));
        let cache = complete_only(action_cache::memory(16 << 20), store.clone());
        let past = Some(Journal::open(path).unwrap());
        Self::with_all(SchedulerOptions::default(), cas::no_leases(), store, cache, past).await
    }

    /// The server is gone, and another one starts with the same stores and this journal.
    pub async fn restarted(self, path: &Path, leases: Arc<dyn cas::Leases>) -> Self {
        self.group.shut_down(Duration::from_millis(200)).await;
        let past = Some(Journal::open(path).unwrap());
        let (store, cache) = (self.store.clone(), self.cache.clone());
        // Short, so that what must not be let go of shows.
        let options = SchedulerOptions {
            let_go_after: Duration::from_millis(100),
            ..SchedulerOptions::default()
        };
        Self::with_all(options, leases, store, cache, past).await
    }

    async fn with_all(
        options: SchedulerOptions,
        leases: Arc<dyn cas::Leases>,
        store: Arc<dyn BlobStore>,
        cache: Arc<dyn ActionCache>,
        past: Option<(Journal, Vec<Entry>)>,
    ) -> Self {
        let instance = Instance {
            cas: store.clone(),
            recipes: None,
            action_cache: cache.clone(),
            actions_are_elsewhere: false,
            clients_may_update_action_cache: true,
        };
        let names = ["", "team/a"].map(|name| (InstanceName::new(name).unwrap(), instance.clone()));
        let instances: services::Instances = names.into_iter().collect();
        let instances = Arc::new(instances.with_leases(leases));
        let group = Group::new("test farm");
        let workers_options = WorkersOptions {
            lease_duration: options.lease_duration,
            heartbeat: Duration::from_secs(5),
        };
        let actor = SchedulerActor::start(options, Arc::clone(&instances), past, &group);
        let timeouts = Timeouts {
            default: Duration::from_secs(60),
            max: Duration::from_secs(600),
        };
        let storage = StorageOptions {
            scheduler: Some(actor.clone()),
            ..StorageOptions::default()
        };
        let execution = Execution::new(actor.clone(), instances.clone(), timeouts, group.stopping());
        let door = WorkersDoor::new(actor, TOKEN, workers_options);
        let router = tuned(tonic::transport::Server::builder())
            .add_routes(storage_routes(instances, &group, storage))
            .add_service(proto::execution_server::ExecutionServer::new(execution.clone()))
            .add_service(reapi::longrunning::operations_server::OperationsServer::new(
                execution,
            ))
            .add_service(wire::workers_server::WorkersServer::new(door));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let stopping = group.stopping();
        group.spawn("server", async move {
            let incoming = services::incoming(listener);
            router
                .serve_with_incoming_shutdown(incoming, stopping.cancelled_owned())
                .await
                .unwrap();
        });
        let channel = Channel::from_shared(endpoint.clone())
            .unwrap()
            .connect()
            .await
            .unwrap();
        Farm {
            store,
            cache,
            channel,
            endpoint,
            group,
        }
    }

    /// Another connection: it ends with the last clone of this.
    pub async fn connection(&self) -> Channel {
        let endpoint = Channel::from_shared(self.endpoint.clone()).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub fn execution(&self) -> ExecutionClient<Channel> {
        ExecutionClient::new(self.channel.clone())
    }

    pub fn byte_stream(&self) -> ByteStreamClient<Channel> {
        ByteStreamClient::new(self.channel.clone())
    }

    pub fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(self.channel.clone())
    }

    /// Ends the server, as `farrier up` does after its worker has drained.
    pub fn stop(&self) {
        self.group.stop();
    }

    /// Stores a blob.
    pub async fn put(&self, bytes: impl Into<bytes::Bytes>) -> Digest {
        let blob = Blob::from_bytes(F, bytes.into());
        let digest = blob.digest();
        self.store.put(blob).await.unwrap();
        digest
    }

    /// Stores an action with its command and an input root, and returns its digest.
    pub async fn action(
        &self,
        command: proto::Command,
        action: proto::Action,
        root: proto::Directory,
    ) -> Digest {
        let command = self.put(command.encode_to_vec()).await;
        let root = self.put(root.encode_to_vec()).await;
        let action = proto::Action {
            command_digest: Some(command.to_proto()),
            input_root_digest: Some(root.to_proto()),
            ..action
        };
        self.put(action.encode_to_vec()).await
    }

    /// An ordinary action; different words make different actions.
    pub async fn echo(&self, word: &str) -> Digest {
        self.action(
            command(&["echo", word]),
            proto::Action::default(),
            proto::Directory::default(),
        )
        .await
    }

    pub async fn execute(&self, action: Digest) -> Result<Watch, Status> {
        self.execute_with(request(action)).await
    }

    pub async fn execute_with(&self, request: proto::ExecuteRequest) -> Result<Watch, Status> {
        let states = self.execution().execute(request).await?.into_inner();
        Ok(Watch { states })
    }

    pub async fn wait(&self, name: &str) -> Result<Watch, Status> {
        let request = proto::WaitExecutionRequest {
            name: name.to_owned(),
        };
        let states = self.execution().wait_execution(request).await?.into_inner();
        Ok(Watch { states })
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.group.stop();
    }
}

pub fn command(arguments: &[&str]) -> proto::Command {
    proto::Command {
        arguments: arguments.iter().map(|word| word.to_string()).collect(),
        ..Default::default()
    }
}

pub fn request(action: Digest) -> proto::ExecuteRequest {
    proto::ExecuteRequest {
        action_digest: Some(action.to_proto()),
        ..Default::default()
    }
}

/// A client's stream of one operation.
pub struct Watch {
    pub states: Streaming<Operation>,
}

impl Watch {
    pub async fn next(&mut self) -> Option<Operation> {
        let next = tokio::time::timeout(PATIENCE, self.states.next())
            .await
            .expect("the stream says nothing");
        next.transpose().unwrap()
    }

    /// The next state, or the error that ends the stream.
    pub async fn next_result(&mut self) -> Option<Result<Operation, Status>> {
        tokio::time::timeout(PATIENCE, self.states.next())
            .await
            .expect("the stream says nothing")
    }

    /// Skips to the first state in this stage.
    pub async fn until(&mut self, stage: execution_stage::Value) -> Operation {
        loop {
            let operation = self.next().await.expect("the stream ended early");
            if metadata(&operation).stage() == stage {
                return operation;
            }
        }
    }

    /// Skips to the end, and makes sure that it is one.
    pub async fn done(mut self) -> proto::ExecuteResponse {
        let operation = self.until(execution_stage::Value::Completed).await;
        assert!(operation.done);
        assert!(self.next().await.is_none(), "nothing may follow `done`");
        response(&operation)
    }
}

pub fn metadata(operation: &Operation) -> proto::ExecuteOperationMetadata {
    operation.metadata.as_ref().unwrap().to_msg().unwrap()
}

pub fn response(operation: &Operation) -> proto::ExecuteResponse {
    match operation.result.as_ref().unwrap() {
        operation::Result::Response(response) => response.to_msg().unwrap(),
        operation::Result::Error(error) => panic!("Operation.error must never be set (E1): {error:?}"),
    }
}

/// The subjects of the MISSING violations in a status.
pub fn missing(status: &rpc::Status) -> Vec<String> {
    assert_eq!(
        status.code,
        rpc::Code::FailedPrecondition as i32,
        "{}",
        status.message
    );
    assert_eq!(
        status.details.len(),
        1,
        "any other detail would keep Bazel from trying again (G1)"
    );
    let failure: rpc::PreconditionFailure = status.details[0].to_msg().unwrap();
    let mut subjects = Vec::new();
    for violation in failure.violations {
        assert_eq!(violation.r#type, "MISSING");
        subjects.push(violation.subject);
    }
    subjects.sort();
    subjects
}

pub fn details(status: &Status) -> rpc::Status {
    rpc::Status::decode(status.details()).unwrap()
}

/// A worker that does what the test tells it.
pub struct FakeWorker {
    state: wire::WorkerState,
    sender: mpsc::Sender<wire::WorkerState>,
    desired: Streaming<wire::DesiredState>,
    latest: wire::DesiredState,
}

impl FakeWorker {
    pub async fn join(farm: &Farm, id: &str, slots: u32) -> Self {
        Self::join_with(farm, id, slots, &[]).await
    }

    pub async fn join_with(farm: &Farm, id: &str, slots: u32, properties: &[(&str, &str)]) -> Self {
        let properties = properties
            .iter()
            .map(|(name, value)| wire::Property {
                name: name.to_string(),
                value: value.to_string(),
            })
            .collect();
        let state = wire::WorkerState {
            worker_id: id.to_owned(),
            name: id.to_owned(),
            properties,
            slots,
            sequence: 1,
            ..Default::default()
        };
        Self::connect(farm, state).await.unwrap()
    }

    /// Opens a stream with this state as its first message.
    pub async fn connect(farm: &Farm, state: wire::WorkerState) -> Result<Self, Status> {
        let (sender, receiver) = mpsc::channel(16);
        sender.send(state.clone()).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(receiver));
        let bearer = MetadataValue::try_from(format!("Bearer {TOKEN}")).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let mut desired = WorkersClient::new(farm.channel.clone())
            .max_decoding_message_size(64 << 20)
            .synchronize(request)
            .await?
            .into_inner();
        let latest = next(&mut desired).await;
        assert_eq!(latest.acknowledged_sequence, state.sequence);
        Ok(FakeWorker {
            state,
            sender,
            desired,
            latest,
        })
    }

    /// Leases it should have now.
    pub fn leases(&self) -> &[wire::Lease] {
        &self.latest.leases
    }

    /// Waits until it should have this many leases.
    pub async fn until_leases(&mut self, count: usize) -> Vec<wire::Lease> {
        while self.latest.leases.len() != count {
            self.latest = next(&mut self.desired).await;
        }
        self.latest.leases.clone()
    }

    /// Waits until this many outputs of its only lease are read by somebody.
    pub async fn until_followed(&mut self, count: usize) -> Vec<wire::FollowedOutput> {
        while self.latest.leases[0].followed_outputs.len() != count {
            self.latest = next(&mut self.desired).await;
        }
        self.latest.leases[0].followed_outputs.clone()
    }

    /// Says that it runs everything it should.
    pub async fn run_all(&mut self) {
        let running = wire::Running {
            phase: wire::running::Phase::Executing as i32,
            partial_metadata: Some(proto::ExecutedActionMetadata {
                worker: self.state.name.clone(),
                ..Default::default()
            }),
        };
        let state = wire::lease_state::State::Running(running);
        self.state.leases = self
            .latest
            .leases
            .iter()
            .map(|lease| wire::LeaseState {
                lease_id: lease.lease_id,
                state: Some(state.clone()),
            })
            .collect();
        self.sync().await;
    }

    /// Says that it runs exactly these.
    pub async fn hold(&mut self, lease_ids: &std::collections::BTreeSet<u64>) {
        let running = |lease_id: &u64| wire::LeaseState {
            lease_id: *lease_id,
            state: Some(wire::lease_state::State::Running(wire::Running::default())),
        };
        self.state.leases = lease_ids.iter().map(running).collect();
        self.sync().await;
    }

    /// Reports a lease as completed, until the server has heard it.
    pub async fn complete(&mut self, lease_id: u64, response: proto::ExecuteResponse) {
        let state = wire::lease_state::State::Completed(wire::Completed {
            response: Some(response),
        });
        self.state.leases.retain(|lease| lease.lease_id != lease_id);
        self.state.leases.push(wire::LeaseState {
            lease_id,
            state: Some(state),
        });
        self.sync().await;
        self.state.leases.retain(|lease| lease.lease_id != lease_id);
    }

    pub async fn drain(&mut self) {
        self.state.draining = true;
        self.sync().await;
    }

    async fn sync(&mut self) {
        self.state.sequence += 1;
        self.sender.send(self.state.clone()).await.unwrap();
        loop {
            self.latest = next(&mut self.desired).await;
            if self.latest.acknowledged_sequence == self.state.sequence {
                return;
            }
        }
    }

    pub fn state(&self) -> wire::WorkerState {
        self.state.clone()
    }
}

async fn next(desired: &mut Streaming<wire::DesiredState>) -> wire::DesiredState {
    let next = tokio::time::timeout(PATIENCE, desired.next())
        .await
        .expect("the server says nothing to the worker");
    next.expect("the stream ended").unwrap()
}

/// A successful response with this exit code and text on stdout.
pub fn finished(exit_code: i32, stdout: &str) -> proto::ExecuteResponse {
    proto::ExecuteResponse {
        result: Some(proto::ActionResult {
            exit_code,
            stdout_raw: stdout.to_owned().into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn stdout(response: &proto::ExecuteResponse) -> String {
    let status = response.status.clone().unwrap_or_default();
    assert_eq!(status.code, 0, "{}", status.message);
    String::from_utf8(response.result.as_ref().unwrap().stdout_raw.to_vec()).unwrap()
}
