//! The way in: one channel to one server, and from it a store for each instance.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use action_cache::ActionCache;
use blob::InstanceName;
use cas::{BlobStore, Recipes, StoreError, always_has_empty};
use parking_lot::Mutex;
use reapi::execution::{RequestMetadata, ServerCapabilities};
use tonic::transport::Channel;

use crate::action_cache::RemoteActionCache;
use crate::capabilities;
use crate::chunks::ChunkedDownloads;
use crate::connection::{ConnectError, Connection, ConnectionOptions};
use crate::endpoint::RemoteEndpoint;
use crate::headers::CallHeaders;
use crate::limits::{CALL_TIMEOUT, CONNECT_TIMEOUT, INSTANCES_MAX, RETRIES_MAX};
use crate::retry::Retries;
use crate::store::RemoteStore;
use crate::tls::RemoteTls;

/// What can be said about a server before connecting to it.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// `http://HOST:PORT`, `grpc://HOST:PORT` or `HOST:PORT`, with TLS also `https://` and `grpcs://`; the port is [`DEFAULT_PORT`](crate::DEFAULT_PORT) if
    /// it is left out.
    pub endpoint: String,
    /// Sent as `authorization: Bearer` with each call.
    pub token: Option<String>,
    /// Who asks, for the server's logs and pages.
    pub request_metadata: Option<RequestMetadata>,
    /// Whether blobs travel compressed.
    pub compression: Compression,
    /// TLS, whatever the endpoint's scheme. Without it, an endpoint that is written `https://` or `grpcs://` is an error:
    /// nobody has said whom to trust.
    pub tls: Option<RemoteTls>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one call that is not a stream may take.
    pub call_timeout: Duration,
    /// How often one call is tried again without any progress between, when the server or the network was to blame. Few
    /// where another server can stand in.
    pub retries_max: u32,
}

/// Whether blobs travel compressed. Only what the server offers is ever used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// When the server is on another machine: over loopback, bytes are faster than any compressor.
    #[default]
    Auto,
    /// Whenever the server offers it.
    Always,
    /// Not at all.
    Never,
}

impl RemoteOptions {
    /// Everything at its default.
    pub fn new(endpoint: &str) -> Self {
        RemoteOptions {
            endpoint: endpoint.to_owned(),
            token: None,
            request_metadata: None,
            compression: Compression::Auto,
            tls: None,
            connect_timeout: CONNECT_TIMEOUT,
            call_timeout: CALL_TIMEOUT,
            retries_max: RETRIES_MAX,
        }
    }
}

/// A server, connected. Cheap to clone; all clones share connections, batches and the retry budget. A connection
/// that breaks is made again when it is next needed.
#[derive(Clone)]
pub struct RemoteChannel {
    connection: Arc<Connection>,
    /// Kept so that everybody who speaks to one instance shares its batches and asks for its capabilities once.
    stores: Arc<Mutex<HashMap<InstanceName, RemoteStore>>>,
}

impl RemoteChannel {
    /// Connects; an error if nobody is there. Nothing is asked of the server yet.
    pub async fn connect(options: RemoteOptions) -> Result<Self, ConnectError> {
        let connection = Connection::open(connection_options(options)?).await?;
        Ok(Self::over(connection))
    }

    /// Connects when it is first used: for servers that others can stand in for. An error only if the options make no
    /// sense. To be called within a runtime.
    pub fn connect_later(options: RemoteOptions) -> Result<Self, ConnectError> {
        let connection = Connection::later(connection_options(options)?)?;
        Ok(Self::over(connection))
    }

    fn over(connection: Connection) -> Self {
        RemoteChannel {
            connection: Arc::new(connection),
            stores: Arc::default(),
        }
    }

    /// The blobs of an instance. Large ones are uploaded in chunks where the server offers that.
    pub fn blob_store(&self, instance: InstanceName) -> Arc<dyn BlobStore> {
        // The empty blob is present everywhere (checklist G6): no call needs to say so.
        always_has_empty(Arc::new(self.store(instance)))
    }

    /// As [`blob_store`](Self::blob_store), with large blobs downloaded in chunks where the server offers that: those in
    /// `local` are taken from there, the others are fetched and put there. Whatever `local` says is checked.
    pub fn blob_store_with_chunks(
        &self,
        instance: InstanceName,
        local: Arc<dyn BlobStore>,
    ) -> Arc<dyn BlobStore> {
        let remote = self.store(instance);
        always_has_empty(Arc::new(ChunkedDownloads { remote, local }))
    }

    /// The blobs of an instance as lists of chunks.
    pub fn recipes(&self, instance: InstanceName) -> Arc<dyn Recipes> {
        Arc::new(self.store(instance))
    }

    /// The same for everybody who asks.
    fn store(&self, instance: InstanceName) -> RemoteStore {
        let mut stores = self.stores.lock();
        if let Some(store) = stores.get(&instance) {
            return store.clone();
        }
        let store = RemoteStore::new(self.connection.clone(), instance.clone());
        if stores.len() < INSTANCES_MAX {
            stores.insert(instance, store.clone());
        }
        store
    }

    /// The action results of an instance.
    pub fn action_cache(&self, instance: InstanceName) -> Arc<dyn ActionCache> {
        Arc::new(RemoteActionCache::new(self.connection.clone(), instance))
    }

    /// What an instance of the server can do.
    pub async fn capabilities(&self, instance: &InstanceName) -> Result<ServerCapabilities, StoreError> {
        capabilities::ask(&self.connection, instance).await
    }

    /// The connection for small calls, for clients of other services. It carries no headers by itself; see
    /// [`headers`](Self::headers).
    pub fn channel(&self) -> Channel {
        self.connection.calls.clone()
    }

    /// A connection of its own for streams that may stand still for long: what they have under way counts against all of a
    /// connection, and would hold up small calls and blobs. It is connected when first used, and carries no headers.
    pub fn patient_channel(&self) -> Channel {
        self.connection.patient.clone()
    }

    /// Retries for one call of another client over [`channel`](Self::channel), out of the budget that all share.
    pub fn retries(&self) -> Retries {
        self.connection.retry.start()
    }

    /// Adds token and metadata to the calls of other clients over [`channel`](Self::channel).
    pub fn headers(&self) -> CallHeaders {
        self.connection.headers.clone()
    }
}

fn connection_options(options: RemoteOptions) -> Result<ConnectionOptions, ConnectError> {
    let RemoteOptions {
        endpoint,
        token,
        request_metadata,
        compression,
        tls,
        connect_timeout,
        call_timeout,
        retries_max,
    } = options;
    let endpoint = RemoteEndpoint::parse(&endpoint)?;
    if endpoint.wants_tls() && tls.is_none() {
        return Err(ConnectError::NobodyToTrust);
    }
    let wants_zstd = match compression {
        Compression::Auto => !endpoint.is_loopback(),
        Compression::Always => true,
        Compression::Never => false,
    };
    let headers = CallHeaders::new(token.as_deref(), request_metadata.as_ref())?;
    Ok(ConnectionOptions {
        endpoint,
        headers,
        connect_timeout,
        call_timeout,
        wants_zstd,
        retries_max,
        tls,
    })
}
