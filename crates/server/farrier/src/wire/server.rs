//! The server's services on one port.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use journal::Journal;
use scheduler::SchedulerOptions;
use services::{
    Doors, Execution, ExecutionOffer, Instances, JoiningDoor, PRIORITIES, QueueAdmin, SchedulerActor,
    StorageOptions, Timeouts, WorkersDoor, WorkersOptions, storage_routes,
};
use tasks::{CancellationToken, Group};
use tokio::net::TcpListener;
use tonic_health::server::HealthReporter;
use trust::Authority;

use super::storage_admin::StorageAdmin;
use crate::local_storage::LocalStorage;

/// What the server is made of, beside its stores.
pub(crate) struct ServerOptions {
    pub(crate) timeouts: Timeouts,
    pub(crate) scheduler: SchedulerOptions,
    /// Whom workers trust, and who signs for them.
    pub(crate) authority: Arc<Authority>,
    /// The secret of the token that brings workers in.
    pub(crate) join_secret: String,
    /// What the worker shows that is started with the server.
    pub(crate) own_token: String,
    /// How long a worker's certificate is good.
    pub(crate) certificates_last: Duration,
    /// How connections come.
    pub(crate) doors: Doors,
    /// Where the scheduler's journal is.
    pub(crate) journal: PathBuf,
    pub(crate) blob_size_bytes_max: u64,
    /// The disks that it tells about.
    pub(crate) local: LocalStorage,
    /// Whether actions are run; nothing of execution is offered otherwise.
    pub(crate) runs_actions: bool,
}

/// Most bytes of one message from a worker: a finished action with everything it inlines.
const WORKER_MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How long results that drained workers left may take to be stored.
const LAST_RESULTS_MAX: Duration = Duration::from_secs(2);
/// How often a worker reports when nothing changes; several of these fit into a lease.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Serves on `listener` until `stop`; `closing` comes first: new actions are refused, and the health service
/// tells load balancers to go elsewhere.
pub(crate) async fn serve(
    listener: TcpListener,
    instances: Arc<Instances>,
    options: ServerOptions,
    closing: CancellationToken,
    stop: CancellationToken,
) -> Result<()> {
    let group = Group::new("server");
    let scheduler_options = options.scheduler;
    let workers_options = WorkersOptions {
        lease_duration: scheduler_options.lease_duration,
        heartbeat: HEARTBEAT,
    };
    let past = Journal::open(&options.journal)
        .with_context(|| format!("cannot read {}", options.journal.display()))?;
    let actor = SchedulerActor::start(scheduler_options, instances.clone(), Some(past), &group);
    let execution = Execution::new(
        actor.clone(),
        instances.clone(),
        options.timeouts,
        closing.clone(),
    );
    let last_results = actor.clone();
    let queue = QueueAdmin::new(actor.clone(), &options.join_secret);
    let door = WorkersDoor::new(actor.clone(), &options.own_token, workers_options);
    let joining = JoiningDoor::new(options.authority, &options.join_secret, options.certificates_last);

    let (health, health_service) = tonic_health::server::health_reporter();
    set_status(
        &health,
        options.runs_actions,
        tonic_health::ServingStatus::Serving,
    )
    .await;
    let (stopping, runs_actions) = (group.stopping(), options.runs_actions);
    group.spawn("health", async move {
        tokio::select! {
            () = closing.cancelled() => set_status(&health, runs_actions, tonic_health::ServingStatus::NotServing).await,
            () = stopping.cancelled() => {}
        }
    });
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(reapi::DESCRIPTORS)
        .register_encoded_file_descriptor_set(worker_api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(admin_api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the committed protocol descriptors are damaged")?;

    // Workers report properties of outputs where asked, but do not apply those of inputs: none are offered.
    let offer = ExecutionOffer {
        priorities: PRIORITIES,
        node_properties: Vec::new(),
    };
    let storage_options = StorageOptions {
        blob_size_bytes_max: options.blob_size_bytes_max,
        execution: options.runs_actions.then_some(offer),
        scheduler: Some(actor),
        ..StorageOptions::default()
    };
    let served = instances.names().cloned().collect();
    let admin = StorageAdmin::new(options.local, served, group.stopping());
    let mut routes = storage_routes(instances, &group, storage_options);
    if options.runs_actions {
        routes = routes
            .add_service(reapi::execution::execution_server::ExecutionServer::new(
                execution.clone(),
            ))
            .add_service(reapi::longrunning::operations_server::OperationsServer::new(
                execution,
            ))
            .add_service(
                worker_api::v1::workers_server::WorkersServer::new(door)
                    .max_decoding_message_size(WORKER_MESSAGE_BYTES_MAX),
            )
            .add_service(worker_api::v1::joining_server::JoiningServer::new(joining));
    }
    let routes = routes
        .add_service(admin_api::v1::storage_server::StorageServer::new(admin))
        .add_service(admin_api::v1::queue_server::QueueServer::new(queue))
        .add_service(health_service)
        .add_service(reflection);
    // Streams that follow an operation have no end of their own: they are told, or the server would wait for them.
    let streams = group.clone();
    let ending = async move {
        stop.cancelled_owned().await;
        last_results.finish_publications(LAST_RESULTS_MAX).await;
        streams.stop();
    };
    let served = services::tuned(tonic::transport::Server::builder())
        .add_routes(routes)
        .serve_with_incoming_shutdown(services::incoming_by(listener, options.doors), ending)
        .await
        .context("the server stopped");
    group.shut_down(Duration::from_secs(5)).await;
    served
}

async fn set_status(health: &HealthReporter, runs_actions: bool, status: tonic_health::ServingStatus) {
    let execution = EXECUTION_SERVICES.iter().filter(|_| runs_actions);
    for service in SERVICES.iter().chain(execution) {
        health.set_service_status(*service, status).await;
    }
}

/// What the health service answers for, beside the whole.
const SERVICES: [&str; 6] = [
    "",
    "build.bazel.remote.execution.v2.Capabilities",
    "build.bazel.remote.execution.v2.ContentAddressableStorage",
    "build.bazel.remote.execution.v2.ActionCache",
    "build.bazel.remote.logstream.v1.LogStreamService",
    "google.bytestream.ByteStream",
];
/// The same where actions are run.
const EXECUTION_SERVICES: [&str; 2] = [
    "build.bazel.remote.execution.v2.Execution",
    "google.longrunning.Operations",
];

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use blob::InstanceName;
    use tonic::transport::Channel;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::byte_size::ByteSize;
    use crate::data_directory::DataDirectory;
    use crate::wire::storage;

    #[tokio::test]
    async fn health_says_when_draining_begins() {
        let scratch = tempfile::tempdir().unwrap();
        let size = ByteSize(1 << 20);
        let sizes = storage::Sizes {
            cas: size,
            action_cache: size,
            worker_cache: size,
        };
        let directory = DataDirectory::open(scratch.path()).unwrap();
        let unnamed = storage::InstanceChoice {
            name: InstanceName::default(),
            base: None,
        };
        let choices = storage::StorageChoices::default();
        let storage = storage::open(&directory, sizes, &[unnamed], choices)
            .await
            .unwrap();
        // What is promised is what is kept: a blob pays for its checksums out of the same room.
        assert!((1..size.0).contains(&storage.blob_size_bytes_max));
        let authority = Arc::new(directory.authority().unwrap());
        let options = ServerOptions {
            timeouts: Timeouts {
                default: Duration::from_secs(1),
                max: Duration::from_secs(1),
            },
            scheduler: SchedulerOptions::default(),
            join_secret: "secret".to_owned(),
            own_token: "token".to_owned(),
            certificates_last: Duration::from_secs(3600),
            doors: Doors {
                tls: Arc::new(trust::server_config(&authority, None, SystemTime::now()).unwrap()),
                plain_from_afar: true,
            },
            authority,
            journal: directory.journal_file(),
            runs_actions: true,
            blob_size_bytes_max: storage.blob_size_bytes_max,
            local: storage.local,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
        let serving = serve(
            listener,
            Arc::new(storage.instances),
            options,
            closing.clone(),
            stop.clone(),
        );
        let asking = async {
            let channel = Channel::from_shared(endpoint).unwrap().connect().await.unwrap();
            let mut health = HealthClient::new(channel);
            for service in SERVICES {
                let service = service.to_owned();
                let watch = health.watch(HealthCheckRequest { service }).await;
                let mut statuses = watch.unwrap().into_inner();
                let first = statuses.message().await.unwrap().unwrap();
                // Draining has begun with the first service; the others follow it.
                if !closing.is_cancelled() {
                    assert_eq!(first.status(), ServingStatus::Serving);
                    closing.cancel();
                } else if first.status() == ServingStatus::NotServing {
                    continue;
                }
                let second = statuses.message().await.unwrap().unwrap();
                assert_eq!(second.status(), ServingStatus::NotServing);
            }
            stop.cancel();
        };
        let (served, ()) =
            tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(serving, asking) })
                .await
                .expect("it ends in time");
        served.unwrap();
    }
}
