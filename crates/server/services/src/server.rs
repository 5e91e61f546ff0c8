//! The doors as a whole: settings of the connection, and the storage services with their limits.

use std::sync::Arc;
use std::time::Duration;

use reapi::execution::action_cache_server::ActionCacheServer;
use reapi::execution::capabilities_server::CapabilitiesServer;
use reapi::execution::content_addressable_storage_server::ContentAddressableStorageServer;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::admission::Admission;
use crate::byte_stream::ByteStreamDoor;
use crate::limits::{
    BLOB_SIZE_BYTES_MAX_DEFAULT, IN_FLIGHT_BYTES_MAX_DEFAULT, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
};
use crate::{ActionCache, ByteStream, Capabilities, ContentAddressableStorage, ExecutionOffer, Instances};

/// A quiet stream may have this much under way towards the server: the product of a fast network's rate and delay.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// All streams of one connection together. It also bounds what one connection can make the server hold.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// The receiver chooses the frame size; large frames more than double the rate of an upload.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// Calls of one connection at the same time.
const STREAMS_MAX: u32 = 1024;
/// Headers of one call.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// A silent connection is asked for a sign of life this often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// … and closed when none comes for so long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the storage services need besides the stores.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Largest blob taken, in bytes; must not be more than the stores can hold.
    pub blob_size_bytes_max: u64,
    /// Bytes that all calls together hold while they wait for storage.
    pub in_flight_bytes_max: u64,
    /// What the capabilities say about execution.
    pub execution: Option<ExecutionOffer>,
}

impl Default for StorageOptions {
    fn default() -> Self {
        StorageOptions {
            blob_size_bytes_max: BLOB_SIZE_BYTES_MAX_DEFAULT,
            in_flight_bytes_max: IN_FLIGHT_BYTES_MAX_DEFAULT,
            execution: None,
        }
    }
}

/// The services around storage: CAS, ByteStream, ActionCache and Capabilities. `group` gets the one task that gives
/// up uploads nobody comes back to.
///
/// gRPC-level compression is understood when a client sends it (checklist B18) and never used for answers.
pub fn storage_routes(instances: Arc<Instances>, group: &tasks::Group, options: StorageOptions) -> Routes {
    let StorageOptions {
        blob_size_bytes_max,
        in_flight_bytes_max,
        execution,
    } = options;
    let admission = Admission::new(in_flight_bytes_max);
    let cas = ContentAddressableStorage::new(instances.clone(), admission.clone(), blob_size_bytes_max);
    let byte_stream = ByteStream::new(instances.clone(), admission.clone(), blob_size_bytes_max, group);
    let action_cache = ActionCache::new(instances.clone(), admission);
    let capabilities = Capabilities::new(instances, blob_size_bytes_max, execution);
    // Three times the same: the generated servers have these methods each for itself.
    Routes::new(
        ContentAddressableStorageServer::new(cas)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX),
    )
    .add_service(ByteStreamDoor::new(byte_stream))
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

/// A server's connections, tuned for bytes in bulk and small actions alike. Whoever brings the accepted connections
/// sets TCP_NODELAY on them.
pub fn tuned(server: Server) -> Server {
    server
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}
