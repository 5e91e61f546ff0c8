//! The server, and what happens when it does not answer: the build goes on without, and nobody waits for it twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blob::{DigestFunction, InstanceName};
use cas_remote::{RemoteChannel, RemoteOptions, RemoteTls};
use parking_lot::Mutex;
use reapi::execution::{RequestMetadata, ToolDetails};
use remote_action::Server;
use tasks::Group;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::limits::{BUILDS_MAX, CONNECT_WITHIN, PROBE_EVERY};
use crate::token::{Token, TokenSource};

/// The function of all digests that the daemon makes.
pub(crate) const FUNCTION: DigestFunction = DigestFunction::Sha256;

/// Which server.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// `http://HOST:PORT` and the like.
    pub endpoint: String,
    /// TLS, where the endpoint wants it.
    pub tls: Option<RemoteTls>,
    /// The instance name.
    pub instance: InstanceName,
    /// Who has a token to show to the server.
    pub token: Option<TokenSource>,
}

/// The server as the daemon sees it: up or down. Down, it is asked now and then, by a task of its own.
pub(crate) struct Service {
    options: ServiceOptions,
    is_up: watch::Sender<bool>,
    /// Connections by build, the latest last: each says in its headers which build it works for.
    servers: Mutex<VecDeque<(String, Server)>>,
    last_failure: Mutex<Option<String>>,
    token: Token,
    /// A worker was asked what a command looks at, and could not tell.
    cannot_observe: AtomicBool,
    tasks: Group,
}

impl Service {
    /// Taken for up until it fails.
    pub(crate) fn new(options: ServiceOptions, tasks: Group) -> Arc<Self> {
        Arc::new(Service {
            token: Token::of(options.token.clone()),
            options,
            is_up: watch::channel(true).0,
            servers: Mutex::default(),
            last_failure: Mutex::default(),
            cannot_observe: AtomicBool::new(false),
            tasks,
        })
    }

    /// The server on behalf of a build; `None` while it is down.
    pub(crate) async fn server(self: &Arc<Self>, build: &str) -> Option<Server> {
        if !*self.is_up.borrow() {
            return None;
        }
        if let Some(server) = self.known(build) {
            return Some(server);
        }
        let token = match self.token.get().await {
            Ok(token) => token,
            Err(error) => return self.failed(&format!("{error:#}")),
        };
        match timeout(CONNECT_WITHIN, self.connect(build, token)).await {
            Ok(Ok(server)) => {
                let mut servers = self.servers.lock();
                if servers.len() >= BUILDS_MAX {
                    servers.pop_front();
                }
                servers.push_back((build.to_owned(), server.clone()));
                Some(server)
            }
            Ok(Err(error)) => self.failed(&format!("{error:#}")),
            Err(_elapsed) => self.failed(&format!("no connection within {CONNECT_WITHIN:?}")),
        }
    }

    /// Ends when the server is down.
    pub(crate) async fn down(&self) {
        let mut is_up = self.is_up.subscribe();
        // The sender lives as long as this does.
        let _ = is_up.wait_for(|is_up| !is_up).await;
    }

    /// Says that it did not answer. From now on it is down, until it answers a probe.
    pub(crate) fn failed<T>(self: &Arc<Self>, why: &str) -> Option<T> {
        *self.last_failure.lock() = Some(why.to_owned());
        let was_up = self.is_up.send_replace(false);
        if was_up {
            tracing::warn!(
                endpoint = self.options.endpoint,
                why,
                "the server is down; going on without it"
            );
            self.servers.lock().clear();
            self.token.forget();
            self.tasks.spawn("probe of the server", self.clone().probe());
        }
        None
    }

    /// Starts a task that ends with the daemon.
    pub(crate) fn spawn(&self, task: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task, future);
    }

    /// The last time that it failed, for people.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().clone()
    }

    /// Where it is, for people.
    pub(crate) fn endpoint(&self) -> &str {
        &self.options.endpoint
    }

    /// Which instance of it.
    pub(crate) fn instance(&self) -> &str {
        self.options.instance.as_str()
    }

    /// Whether it is asked.
    pub(crate) fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Whether a worker could not tell what a command looked at. The others are its like, as a rule.
    pub(crate) fn cannot_observe(&self) -> bool {
        self.cannot_observe.load(Ordering::Relaxed)
    }

    /// Takes note that a worker could not tell, if so.
    pub(crate) fn note_unobserved(&self, is_so: bool) {
        self.cannot_observe.fetch_or(is_so, Ordering::Relaxed);
    }

    async fn probe(self: Arc<Self>) {
        let stopping = self.tasks.stopping();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(PROBE_EVERY) => {}
            }
            let Ok(token) = self.token.get().await else {
                continue;
            };
            let asked = async {
                let server = self.connect("probe", token).await?;
                anyhow::Ok(server.remote.capabilities(&server.instance).await?)
            };
            if let Ok(Ok(_)) = timeout(CONNECT_WITHIN, asked).await {
                tracing::info!(endpoint = self.options.endpoint, "the server is back");
                self.is_up.send_replace(true);
                return;
            }
        }
    }

    fn known(&self, build: &str) -> Option<Server> {
        let servers = self.servers.lock();
        servers
            .iter()
            .find(|(of, _)| of == build)
            .map(|(_, server)| server.clone())
    }

    async fn connect(&self, build: &str, token: Option<String>) -> anyhow::Result<Server> {
        let tool_details = ToolDetails {
            tool_name: "farrier".to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let request_metadata = RequestMetadata {
            tool_details: Some(tool_details),
            tool_invocation_id: build.to_owned(),
            ..RequestMetadata::default()
        };
        let mut options = RemoteOptions::new(&self.options.endpoint);
        options.tls = self.options.tls.clone();
        options.connect_timeout = CONNECT_WITHIN;
        options.token = token;
        options.request_metadata = Some(request_metadata.clone());
        let remote = RemoteChannel::connect(options).await?;
        Ok(Server {
            store: remote.blob_store(self.options.instance.clone()),
            remote,
            instance: self.options.instance.clone(),
            function: FUNCTION,
            request_metadata,
        })
    }
}
