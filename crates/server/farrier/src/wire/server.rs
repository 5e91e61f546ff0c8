//! The server's services on one port.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use scheduler::SchedulerOptions;
use services::{
    Execution, ExecutionOffer, Instances, PRIORITIES, SchedulerActor, StorageOptions, Timeouts, WorkersDoor,
    WorkersOptions, storage_routes,
};
use tasks::{CancellationToken, Group};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// What the server is made of, beside its stores.
pub(crate) struct ServerOptions {
    pub(crate) timeouts: Timeouts,
    pub(crate) worker_token: String,
    pub(crate) blob_size_bytes_max: u64,
}

/// Most bytes of one message from a worker: a finished action with everything it inlines.
const WORKER_MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How often a worker reports when nothing changes; several of these fit into a lease.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Serves on `listener` until `stop`; `closing` comes first and refuses new actions.
pub(crate) async fn serve(
    listener: TcpListener,
    instances: Arc<Instances>,
    options: ServerOptions,
    closing: CancellationToken,
    stop: CancellationToken,
) -> Result<()> {
    let group = Group::new("server");
    let scheduler_options = SchedulerOptions::default();
    let workers_options = WorkersOptions {
        lease_duration: scheduler_options.lease_duration,
        heartbeat: HEARTBEAT,
    };
    let actor = SchedulerActor::start(scheduler_options, instances.clone(), &group);
    let execution = Execution::new(actor.clone(), instances.clone(), options.timeouts, closing);
    let door = WorkersDoor::new(actor, &options.worker_token, workers_options);

    let (health, health_service) = tonic_health::server::health_reporter();
    for service in SERVICES {
        health
            .set_service_status(service, tonic_health::ServingStatus::Serving)
            .await;
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(reapi::DESCRIPTORS)
        .register_encoded_file_descriptor_set(worker_api::DESCRIPTORS)
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
        execution: Some(offer),
        ..StorageOptions::default()
    };
    let routes = storage_routes(instances, &group, storage_options)
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
        .add_service(health_service)
        .add_service(reflection);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = services::tuned(tonic::transport::Server::builder())
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .context("the server stopped");
    group.shut_down(Duration::from_secs(5)).await;
    served
}

/// What the health service answers for, beside the whole.
const SERVICES: [&str; 7] = [
    "",
    "build.bazel.remote.execution.v2.Capabilities",
    "build.bazel.remote.execution.v2.ContentAddressableStorage",
    "build.bazel.remote.execution.v2.ActionCache",
    "build.bazel.remote.execution.v2.Execution",
    "google.bytestream.ByteStream",
    "google.longrunning.Operations",
];
