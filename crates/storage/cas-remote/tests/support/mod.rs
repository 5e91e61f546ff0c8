//! A real server with memory stores, over loopback.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blob::InstanceName;
use cas::{BlobStore, Recipes};
use cas_remote::{Compression, RemoteChannel, RemoteOptions};
use services::{Instance, Instances, StorageOptions, incoming, storage_routes, tuned};
use tasks::{CancellationToken, Group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Server;

/// A server that serves the unnamed instance and `team/x`, and ends with this value.
pub(crate) struct RunningServer {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    _group: Group,
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl RunningServer {
    pub(crate) async fn start(store: Arc<dyn BlobStore>) -> Self {
        Self::start_with(store, StorageOptions::default()).await
    }

    pub(crate) async fn start_with(store: Arc<dyn BlobStore>, options: StorageOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        Self::start_on(listener, store, options).await
    }

    /// One that holds blobs in chunks: `recipes` are of the same store.
    pub(crate) async fn start_chunked(store: Arc<dyn BlobStore>, recipes: Arc<dyn Recipes>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        Self::serve(listener, store, Some(recipes), StorageOptions::default()).await
    }

    pub(crate) async fn start_on(
        listener: TcpListener,
        store: Arc<dyn BlobStore>,
        options: StorageOptions,
    ) -> Self {
        Self::serve(listener, store, None, options).await
    }

    async fn serve(
        listener: TcpListener,
        store: Arc<dyn BlobStore>,
        recipes: Option<Arc<dyn Recipes>>,
        options: StorageOptions,
    ) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let group = Group::new("test server");
        let instance = || Instance {
            cas: store.clone(),
            recipes: recipes.clone(),
            action_cache: action_cache::complete_only(action_cache::memory(64 << 20), store.clone()),
            actions_are_elsewhere: false,
            clients_may_update_action_cache: true,
        };
        let names = ["", "team/x"].map(|name| InstanceName::new(name).expect("a good name"));
        let instances = Arc::new(
            names
                .map(|name| (name, instance()))
                .into_iter()
                .collect::<Instances>(),
        );
        let routes = storage_routes(instances, &group, options);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        group.spawn("serve", async move {
            let serving = tuned(Server::builder())
                .add_routes(routes)
                .serve_with_incoming(incoming(listener));
            tokio::select! {
                served = serving => served.expect("the server runs until it is stopped"),
                () = stopped.cancelled() => {}
            }
        });
        RunningServer {
            address,
            stop,
            _group: group,
        }
    }

    pub(crate) async fn connect(&self, compression: Compression) -> RemoteChannel {
        connect(&format!("grpc://{}", self.address), compression).await
    }
}

pub(crate) async fn connect(endpoint: &str, compression: Compression) -> RemoteChannel {
    let mut options = RemoteOptions::new(endpoint);
    options.compression = compression;
    options.call_timeout = Duration::from_secs(20);
    RemoteChannel::connect(options).await.expect("the server listens")
}

/// A way to a server that can be cut: whatever connects to it is passed on, until it is told to break.
pub(crate) struct Cable {
    pub(crate) address: SocketAddr,
    /// Bytes towards the server before every connection is cut, once. `u64::MAX` is never.
    cut_after: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Cable {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let cable = Cable {
            address,
            cut_after: Arc::new(AtomicU64::new(u64::MAX)),
            cuts: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (cut_after, cuts, stop) = (cable.cut_after.clone(), cable.cuts.clone(), cable.stop.clone());
        let group = Group::new("cable");
        let inner = group.clone();
        group.spawn("accept", async move {
            loop {
                let client = tokio::select! {
                    accepted = listener.accept() => accepted.expect("loopback accepts").0,
                    () = stop.cancelled() => return,
                };
                let (cut_after, cuts, stop) = (cut_after.clone(), cuts.clone(), stop.clone());
                inner.spawn("pass on", async move {
                    let Ok(upstream) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        () = pass_on(client, upstream, cut_after, cuts) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
        });
        cable
    }

    /// Cuts once, after so many more bytes in either direction.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.cut_after.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Passes bytes both ways until one side ends or the cut comes.
async fn pass_on(client: TcpStream, upstream: TcpStream, cut_after: Arc<AtomicU64>, cuts: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let counted = async |from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf| {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            let left = cut_after.load(Ordering::SeqCst);
            if left != u64::MAX {
                if left <= read as u64 {
                    cut_after.store(u64::MAX, Ordering::SeqCst);
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                cut_after.store(left - read as u64, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = counted(&mut from_client, &mut to_server) => {}
        () = counted(&mut from_server, &mut to_client) => {}
    }
}
