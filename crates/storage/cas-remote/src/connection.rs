//! The connections to one server, and the clients over them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::execution::action_cache_client::ActionCacheClient;
use reapi::execution::capabilities_client::CapabilitiesClient;
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use tasks::Group;
use thiserror::Error;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::endpoint::{EndpointError, RemoteEndpoint};
use crate::headers::{CallHeaders, HeaderError};
use crate::limits::{
    BULK_CONNECTIONS, CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, HEADERS_BYTES_MAX, KEEP_ALIVE_INTERVAL,
    KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES,
};
use crate::retry::RetryBudget;
use crate::tls::{Connector, RemoteTls};

/// Why a server could not be connected to.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The endpoint makes no sense.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The token makes no sense.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// TLS is asked for, but nobody has said whose certificates are good.
    #[error("the endpoint asks for TLS, which this command does not speak; write http:// or grpc://")]
    NobodyToTrust,
    /// Nobody answers there.
    #[error("cannot connect to {endpoint}: {reason}; is the server running, and is this its address?")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What the system said.
        reason: String,
    },
}

/// A client's way out: a channel and the headers of each call.
pub(crate) type Way = InterceptedService<Channel, CallHeaders>;

/// Everything that the stores of one channel share.
pub(crate) struct Connection {
    /// Small calls, and whatever the owner of the channel adds.
    pub(crate) calls: Channel,
    /// Streams of bytes. Connected when first used.
    bulk: [Channel; BULK_CONNECTIONS],
    next_bulk: AtomicUsize,
    /// Streams that may stand still for long, so that they hold up none of the others. Connected when first used.
    pub(crate) patient: Channel,
    pub(crate) headers: CallHeaders,
    pub(crate) retry: RetryBudget,
    call_timeout: Duration,
    /// Whether to compress what the server can take compressed.
    pub(crate) wants_zstd: bool,
    /// Runs the batches. They end by themselves, each within its call's deadline and retries; whoever waits for a
    /// batch is told if it did not.
    pub(crate) group: Group,
}

/// What a connection needs to know.
pub(crate) struct ConnectionOptions {
    pub(crate) endpoint: RemoteEndpoint,
    pub(crate) headers: CallHeaders,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) wants_zstd: bool,
    pub(crate) retries_max: u32,
    pub(crate) tls: Option<RemoteTls>,
}

/// How a channel gets its connections.
enum Connecting {
    Plainly(Box<Endpoint>),
    ByTls(Box<Endpoint>, Box<Connector>),
}

impl Connecting {
    async fn now(&self) -> Result<Channel, tonic::transport::Error> {
        match self {
            Connecting::Plainly(endpoint) => endpoint.connect().await,
            Connecting::ByTls(endpoint, connector) => {
                endpoint.connect_with_connector((**connector).clone()).await
            }
        }
    }

    fn when_used(&self) -> Channel {
        match self {
            Connecting::Plainly(endpoint) => endpoint.connect_lazy(),
            Connecting::ByTls(endpoint, connector) => {
                endpoint.connect_with_connector_lazy((**connector).clone())
            }
        }
    }
}

impl Connection {
    /// Connected; an error if nobody is there.
    pub(crate) async fn open(options: ConnectionOptions) -> Result<Self, ConnectError> {
        let (endpoint, connect_timeout) = (options.endpoint.to_string(), options.connect_timeout);
        let (mut connection, connecting) = Self::prepared(options)?;
        let unreachable = |reason: String| ConnectError::Unreachable { endpoint, reason };
        // The connector's own bound covers TCP only.
        connection.calls = match tokio::time::timeout(connect_timeout, connecting.now()).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(unreachable(innermost(&error))),
            Err(_elapsed) => return Err(unreachable(format!("no answer within {connect_timeout:?}"))),
        };
        Ok(connection)
    }

    /// Connected when it is first used. To be called within a runtime.
    pub(crate) fn later(options: ConnectionOptions) -> Result<Self, ConnectError> {
        Self::prepared(options).map(|(connection, _connecting)| connection)
    }

    fn prepared(options: ConnectionOptions) -> Result<(Self, Connecting), ConnectError> {
        let ConnectionOptions {
            endpoint,
            headers,
            connect_timeout,
            call_timeout,
            wants_zstd,
            retries_max,
            tls,
        } = options;
        let unreachable = |error: tonic::transport::Error| ConnectError::Unreachable {
            endpoint: endpoint.to_string(),
            reason: innermost(&error),
        };
        let tuned = tuned(&endpoint, connect_timeout).map_err(unreachable)?;
        let connecting = match tls {
            None => Connecting::Plainly(Box::new(tuned)),
            Some(tls) => {
                let connector = Connector::new(tls, endpoint.host(), connect_timeout);
                let connector = connector.map_err(|reason| ConnectError::Unreachable {
                    endpoint: endpoint.to_string(),
                    reason,
                })?;
                Connecting::ByTls(Box::new(tuned), Box::new(connector))
            }
        };
        let connection = Connection {
            calls: connecting.when_used(),
            bulk: std::array::from_fn(|_| connecting.when_used()),
            next_bulk: AtomicUsize::new(0),
            patient: connecting.when_used(),
            headers,
            retry: RetryBudget::new(retries_max),
            call_timeout,
            wants_zstd,
            group: Group::new("cas-remote"),
        };
        Ok((connection, connecting))
    }

    pub(crate) fn cas(&self) -> ContentAddressableStorageClient<Way> {
        ContentAddressableStorageClient::with_interceptor(self.calls.clone(), self.headers.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn action_cache(&self) -> ActionCacheClient<Way> {
        ActionCacheClient::with_interceptor(self.calls.clone(), self.headers.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn capabilities(&self) -> CapabilitiesClient<Way> {
        CapabilitiesClient::with_interceptor(self.calls.clone(), self.headers.clone())
    }

    pub(crate) fn byte_stream(&self) -> ByteStreamClient<Way> {
        let at = self.next_bulk.fetch_add(1, Ordering::Relaxed) % BULK_CONNECTIONS;
        ByteStreamClient::with_interceptor(self.bulk[at].clone(), self.headers.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Waits for a call that is not a stream, within its deadline. The deadline also covers a peer that sends
    /// headers and then nothing.
    pub(crate) async fn deadlined<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(self.call_timeout, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_elapsed) => Err(Status::deadline_exceeded(format!(
                "no answer within {:?}",
                self.call_timeout
            ))),
        }
    }
}

fn tuned(endpoint: &RemoteEndpoint, connect_timeout: Duration) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(endpoint.to_string())?
        .user_agent(concat!("farrier/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// The transport's own message is only "transport error"; what happened is at the end of the chain.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
