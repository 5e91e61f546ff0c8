//! The storage services as a whole, with their limits.

use std::sync::Arc;
use std::time::Duration;

use reapi::execution::action_cache_server::ActionCacheServer;
use reapi::execution::capabilities_server::CapabilitiesServer;
use reapi::logstream::log_stream_service_server::LogStreamServiceServer;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use crate::admission::Admission;
use crate::byte_stream::ByteStreamDoor;
use crate::cas::CasDoor;
use crate::limits::{
    BLOB_SIZE_BYTES_MAX_DEFAULT, IN_FLIGHT_BYTES_MAX_DEFAULT, READ_IDLE_MAX, REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
};
use crate::log_streams::{LogStreamService, LogStreams};
use crate::{
    ActionCache, ByteStream, Capabilities, ContentAddressableStorage, ExecutionOffer, Instances,
    SchedulerActor,
};

/// What the storage services need besides the stores.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Largest blob taken, in bytes; must not be more than the stores can hold.
    pub blob_size_bytes_max: u64,
    /// Bytes that all calls together hold while they wait for storage.
    pub in_flight_bytes_max: u64,
    /// How long a client may take no further piece of a blob that it reads.
    pub read_idle_max: Duration,
    /// What the capabilities say about execution.
    pub execution: Option<ExecutionOffer>,
    /// Runs actions, whose outputs can then be read while they run (checklist E31).
    pub scheduler: Option<SchedulerActor>,
}

impl Default for StorageOptions {
    fn default() -> Self {
        StorageOptions {
            blob_size_bytes_max: BLOB_SIZE_BYTES_MAX_DEFAULT,
            in_flight_bytes_max: IN_FLIGHT_BYTES_MAX_DEFAULT,
            read_idle_max: READ_IDLE_MAX,
            execution: None,
            scheduler: None,
        }
    }
}

/// The services around storage: CAS, ByteStream, LogStream, ActionCache and Capabilities. `group` gets the tasks that give
/// up uploads nobody comes back to, downloads nobody takes, and log streams.
///
/// gRPC-level compression is understood when a client sends it (checklist B18) and never used for answers.
pub fn storage_routes(instances: Arc<Instances>, group: &tasks::Group, options: StorageOptions) -> Routes {
    let StorageOptions {
        blob_size_bytes_max,
        in_flight_bytes_max,
        read_idle_max,
        execution,
        scheduler,
    } = options;
    let log_streams = match &scheduler {
        Some(scheduler) => scheduler.log_streams().clone(),
        None => LogStreams::start(group),
    };
    let admission = Admission::new(in_flight_bytes_max);
    let cas = ContentAddressableStorage::new(instances.clone(), admission.clone(), blob_size_bytes_max);
    let byte_stream = ByteStream::new(
        instances.clone(),
        admission.clone(),
        blob_size_bytes_max,
        read_idle_max,
        group,
        log_streams.clone(),
        scheduler,
    );
    let log_stream_service = LogStreamService::new(instances.clone(), log_streams);
    let action_cache = ActionCache::new(instances.clone(), admission);
    let capabilities = Capabilities::new(instances, blob_size_bytes_max, execution);
    // The generated servers have these methods each for itself.
    Routes::new(CasDoor::new(cas))
        .add_service(ByteStreamDoor::new(byte_stream))
        .add_service(LogStreamServiceServer::new(log_stream_service))
        .add_service(
            ActionCacheServer::new(action_cache)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .max_encoding_message_size(RESPONSE_BYTES_MAX),
        )
        .add_service(
            CapabilitiesServer::new(capabilities)
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .max_encoding_message_size(RESPONSE_BYTES_MAX),
        )
}
