//! A worker with a real runner, and a server of its own that hands it one action after the other.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

pub(crate) mod watched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use action_cache::ActionCache;
use blob::{Blob, ByteRange, Digest, DigestFunction};
use cas::BlobStore;
use merkle::TreeBuilder;
use prost::Message;
use reapi::execution as proto;
use reapi::execution::ExecuteResponse;
use runner_api::{Capabilities, UnixRunner};
use tasks::Group;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use worker::{ActionLimits, HostTools, LazyOptions, Worker, WorkerOptions, WorkerParts, default_properties};
use worker_api::v1 as wire;
use worker_api::v1::lease_state::State;
use worker_api::v1::workers_server::{Workers, WorkersServer};

pub(crate) const F: DigestFunction = DigestFunction::Sha256;

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Farm {
    scratch: TempDir,
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) results: Arc<dyn ActionCache>,
    pub(crate) capabilities: Capabilities,
    states: Streaming<wire::WorkerState>,
    desired: mpsc::Sender<Result<wire::DesiredState, Status>>,
    next_lease: u64,
    group: Group,
    _runner: (Child, Option<ChildStdin>),
}

/// An action to be: the Command, and how it is treated.
pub(crate) struct Job {
    pub(crate) command: proto::Command,
    pub(crate) input_root: Digest,
    pub(crate) timeout: Duration,
}

impl Farm {
    /// A worker with `slots`, its runner confined as `sandbox` says.
    pub(crate) async fn start(sandbox: &str, slots: u32) -> Farm {
        Self::start_with(sandbox, slots, 0).await
    }

    /// The same with as many persistent processes.
    pub(crate) async fn start_with(sandbox: &str, slots: u32, persistent_processes_max: u32) -> Farm {
        let store = cas::memory(1 << 30);
        let lazy_inputs = LazyOptions::default();
        Self::start_by(sandbox, slots, persistent_processes_max, store, lazy_inputs).await
    }

    /// The same with a store, and inputs that may come when they are opened.
    pub(crate) async fn start_by(
        sandbox: &str,
        slots: u32,
        persistent_processes_max: u32,
        store: Arc<dyn BlobStore>,
        lazy_inputs: LazyOptions,
    ) -> Farm {
        let more = (lazy_inputs, HostTools::Unsaid);
        Self::start_all(sandbox, slots, persistent_processes_max, store, more).await
    }

    /// A worker that says this of its machine's tools.
    pub(crate) async fn start_with_tools(tools: HostTools) -> Farm {
        let more = (LazyOptions::default(), tools);
        Self::start_all("best-effort", 1, 0, cas::memory(1 << 30), more).await
    }

    async fn start_all(
        sandbox: &str,
        slots: u32,
        persistent_processes_max: u32,
        store: Arc<dyn BlobStore>,
        (lazy_inputs, host_tools): (LazyOptions, HostTools),
    ) -> Farm {
        let scratch = tempfile::tempdir().unwrap();
        let socket = scratch.path().join("runner.sock");
        let runner = start_runner(&socket, sandbox).await;
        let unix_runner = UnixRunner::new(&socket);
        let capabilities = unix_runner.capabilities().await.expect("the runner answers");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to_streams, mut streams) = mpsc::channel(1);
        let group = Group::new("test");
        let server = WorkersServer::new(Door { streams: to_streams });
        let serving = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .add_service(server);
        group.spawn("server", async move {
            serving
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });

        let given = store.clone();
        let results = action_cache::memory(1 << 20);
        let given_results = results.clone();
        let options = WorkerOptions {
            name: "test".into(),
            slots,
            properties: default_properties(),
            directory: scratch.path().join("worker"),
            cache_bytes_max: 1 << 30,
            tree_cache_bytes_max: 1 << 30,
            log_bytes_max: 1 << 20,
            surroundings: Default::default(),
            limits: ActionLimits::default(),
            memory_bytes: 0,
            resources: Vec::new(),
            persistent_processes_max,
            lazy_inputs,
            host_tools,
        };
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .tcp_nodelay(true)
            .connect_lazy();
        let parts = WorkerParts {
            runner: Arc::new(unix_runner),
            capabilities: capabilities.clone(),
            stores: Arc::new(move |_| given.clone()),
            results: Arc::new(move |_| given_results.clone()),
            output_channel: channel.clone(),
            channel,
            token: None,
        };
        let worker = Worker::open(options, parts, &group).await.unwrap();
        let stopping = group.stopping();
        // Nobody tells it to go.
        let (_, leave) = tokio::sync::watch::channel(None);
        group.spawn("worker", async move {
            tokio::select! {
                ended = worker.run(leave) => ended.unwrap(),
                () = stopping.cancelled() => {}
            }
        });
        let (states, desired) = streams.recv().await.expect("the worker connects");
        Farm {
            scratch,
            store,
            results,
            capabilities,
            states,
            desired,
            next_lease: 0,
            group,
            _runner: runner,
        }
    }

    pub(crate) async fn put(&self, bytes: impl Into<Vec<u8>>) -> Digest {
        let blob = Blob::from_bytes(F, bytes.into());
        let digest = blob.digest();
        self.store.put(blob).await.unwrap();
        digest
    }

    /// Uploads the directories of a tree.
    pub(crate) async fn put_tree(&self, tree: TreeBuilder) -> Digest {
        let built = tree.build(F).unwrap();
        for blob in built.blobs() {
            self.store.put(blob).await.unwrap();
        }
        built.root
    }

    pub(crate) async fn read(&self, digest: &Option<proto::Digest>) -> Vec<u8> {
        let digest = Digest::required(F, digest.as_ref(), "digest").unwrap();
        let Some(stream) = self.store.get(&digest, ByteRange::FULL).await.unwrap() else {
            panic!("{digest} is not in the store")
        };
        Blob::checked(digest, stream)
            .into_bytes(1 << 30)
            .await
            .unwrap()
            .to_vec()
    }

    /// A shell script, with no inputs.
    pub(crate) async fn script(&mut self, script: &str, outputs: &[&str]) -> ExecuteResponse {
        let input_root = self.put_tree(TreeBuilder::new()).await;
        let command = shell(script, outputs);
        self.execute(Job {
            command,
            input_root,
            timeout: PATIENCE,
        })
        .await
    }

    /// Gives one action to the worker and waits for its end.
    pub(crate) async fn execute(&mut self, job: Job) -> ExecuteResponse {
        let lease_id = self.begin(job).await;
        let response = self.completed(lease_id).await;
        self.want(vec![]).await;
        response
    }

    /// Gives several actions to the worker at once and waits for the end of all.
    pub(crate) async fn execute_all(&mut self, jobs: Vec<Job>) -> Vec<ExecuteResponse> {
        let leases: Vec<wire::Lease> = jobs.into_iter().map(|job| self.lease(job)).collect();
        let ids: Vec<u64> = leases.iter().map(|lease| lease.lease_id).collect();
        self.want(leases).await;
        let mut responses = BTreeMap::new();
        while responses.len() < ids.len() {
            for lease in self.state().await.leases {
                if let Some(State::Completed(completed)) = lease.state {
                    responses.insert(lease.lease_id, completed.response.expect("always set"));
                }
            }
        }
        self.want(vec![]).await;
        ids.iter().filter_map(|id| responses.remove(id)).collect()
    }

    /// Gives one action to the worker.
    pub(crate) async fn begin(&mut self, job: Job) -> u64 {
        let lease = self.lease(job);
        self.want(vec![lease]).await;
        self.next_lease
    }

    fn lease(&mut self, job: Job) -> wire::Lease {
        self.next_lease += 1;
        let digest = Some(Digest::of(F, &self.next_lease.to_le_bytes()).to_proto());
        let assignment = wire::Assignment {
            action_digest: digest,
            action: Some(proto::Action {
                command_digest: Some(Digest::of(F, &job.command.encode_to_vec()).to_proto()),
                input_root_digest: Some(job.input_root.to_proto()),
                ..Default::default()
            }),
            command: Some(job.command),
            timeout: Some(job.timeout.try_into().unwrap()),
            ..Default::default()
        };
        wire::Lease {
            lease_id: self.next_lease,
            assignment: Some(assignment),
            ..Default::default()
        }
    }

    pub(crate) async fn want(&mut self, leases: Vec<wire::Lease>) {
        let desired = wire::DesiredState {
            leases,
            lease_duration: Some(PATIENCE.try_into().unwrap()),
            heartbeat: Some(Duration::from_secs(1).try_into().unwrap()),
            acknowledged_sequence: 0,
        };
        self.desired.send(Ok(desired)).await.unwrap();
    }

    pub(crate) async fn state(&mut self) -> wire::WorkerState {
        let state = tokio::time::timeout(PATIENCE, self.states.message())
            .await
            .expect("the worker speaks in time");
        state.unwrap().expect("the worker keeps its stream")
    }

    async fn completed(&mut self, lease_id: u64) -> ExecuteResponse {
        loop {
            for lease in self.state().await.leases {
                if let (true, Some(State::Completed(completed))) = (lease.lease_id == lease_id, lease.state) {
                    return completed.response.expect("always set");
                }
            }
        }
    }

    /// The worker's own.
    pub(crate) fn directory(&self) -> PathBuf {
        self.scratch.path().join("worker")
    }

    /// Where the worker lays out inputs.
    pub(crate) fn builds(&self) -> PathBuf {
        self.directory().join("builds")
    }

    /// Stops everything; nothing of any action is left.
    pub(crate) async fn end(self) {
        let Farm {
            group,
            states,
            desired,
            ..
        } = &self;
        let _ = (states, desired);
        group.stop();
        let builds = self.builds();
        let clear = async {
            while std::fs::read_dir(&builds).unwrap().count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, clear)
            .await
            .expect("build directories are removed");
    }
}

pub(crate) fn shell(script: &str, outputs: &[&str]) -> proto::Command {
    proto::Command {
        arguments: ["/bin/sh", "-c", script].map(String::from).to_vec(),
        output_paths: outputs.iter().map(|text| (*text).to_owned()).collect(),
        ..Default::default()
    }
}

async fn start_runner(socket: &Path, sandbox: &str) -> (Child, Option<ChildStdin>) {
    // Tests run in target/<profile>/deps.
    let test = std::env::current_exe().unwrap();
    let program = test
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("farrier-runner");
    assert!(
        program.exists(),
        "{} is not there; run `cargo build -p runner` first",
        program.display()
    );
    let mut child = Command::new(program)
        .arg("--socket")
        .arg(socket)
        .args(["--sandbox", sandbox, "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    let listening = async {
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        () = listening => {}
        status = child.wait() => panic!("the runner ended: {status:?}"),
        () = tokio::time::sleep(PATIENCE) => panic!("the runner does not listen"),
    }
    (child, stdin)
}

type ServerStream = (
    Streaming<wire::WorkerState>,
    mpsc::Sender<Result<wire::DesiredState, Status>>,
);

struct Door {
    streams: mpsc::Sender<ServerStream>,
}

#[tonic::async_trait]
impl Workers for Door {
    type SynchronizeStream = ReceiverStream<Result<wire::DesiredState, Status>>;

    async fn synchronize(
        &self,
        request: Request<Streaming<wire::WorkerState>>,
    ) -> Result<Response<Self::SynchronizeStream>, Status> {
        let (desired, answers) = mpsc::channel(10);
        let stream = (request.into_inner(), desired);
        self.streams
            .send(stream)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
