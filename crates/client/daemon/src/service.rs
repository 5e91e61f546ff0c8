//! The server, and what happens when it does not answer: the build goes on without, and nobody waits for it twice.
//!
//! It is up or down as a whole (`breaker.rs`), by whatever builds wait for; which failures are the server's says `outages.rs`.
//! Whether workers are asked, and whether results are stored, are questions of their own (`service/parts.rs`): a server that does
//! neither may know much.

mod parts;
mod recovery;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use blob::{Digest, DigestFunction, InstanceName};
use cas_remote::{RemoteChannel, RemoteOptions, RemoteTls};
use parking_lot::Mutex;
use reapi::execution::{RequestMetadata, ToolDetails};
use remote_action::Server;
use tasks::Group;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use self::parts::Parts;
pub(crate) use self::parts::{Part, Turn};
use crate::breaker::{Breaker, Deed, Event};
use crate::limits::{BUILDS_MAX, CONNECT_WITHIN};
use crate::moves::{Moves, timed};
use crate::outages::is_outage;
use crate::patience::Patience;
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

/// How long somebody waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Within {
    /// For all of it.
    All(Duration),
    /// For anything to move: what is large has a bound of its own, by its size.
    Still(Duration),
}

/// On whose behalf the server is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The build.
    pub(crate) build: String,
    /// What it is a part of, if somebody says so.
    pub(crate) correlated: String,
}

/// The server as the daemon sees it: up or down. Down, it is asked now and then, by a task of its own.
pub(crate) struct Service {
    options: ServiceOptions,
    breaker: watch::Sender<Breaker>,
    parts: Mutex<Parts>,
    /// Connections by caller, the latest last: each says in its headers for whom it works.
    servers: Mutex<VecDeque<(Caller, Server)>>,
    /// What builds have waited for in vain, the latest last.
    patience: Mutex<VecDeque<(String, Patience)>>,
    /// What moves between it and this machine.
    pub(crate) moves: Arc<Moves>,
    last_failure: Mutex<Option<String>>,
    /// What could not be had of it.
    withheld: Mutex<Option<Digest>>,
    token: Token,
    /// A worker was asked what a command looks at, and could not tell.
    cannot_observe: AtomicBool,
    /// Held by the one who looks whether it is still there.
    watching: Semaphore,
    tasks: Group,
}

impl Service {
    /// Taken for up until it fails.
    pub(crate) fn new(options: ServiceOptions, tasks: Group) -> Arc<Self> {
        Arc::new(Service {
            token: Token::of(options.token.clone()),
            options,
            breaker: watch::channel(Breaker::default()).0,
            parts: Mutex::default(),
            servers: Mutex::default(),
            patience: Mutex::default(),
            moves: Arc::default(),
            last_failure: Mutex::default(),
            withheld: Mutex::default(),
            cannot_observe: AtomicBool::new(false),
            watching: Semaphore::new(1),
            tasks,
        })
    }

    /// The server on behalf of somebody; `None` while it is down, and where a build has waited for it in vain for long enough.
    pub(crate) async fn server(self: &Arc<Self>, caller: &Caller) -> Option<Server> {
        if !self.is_up() {
            return None;
        }
        let patience = self.patience_of(&caller.build)?;
        self.server_within(caller, patience).await
    }

    /// The same for what nobody else can do, however long the build has waited already.
    pub(crate) async fn needed_server(self: &Arc<Self>, caller: &Caller) -> Option<Server> {
        if !self.is_up() {
            return None;
        }
        self.server_within(caller, CONNECT_WITHIN).await
    }

    async fn server_within(self: &Arc<Self>, caller: &Caller, patience: Duration) -> Option<Server> {
        if let Some(server) = self.known(caller) {
            return Some(server);
        }
        let token = tokio::select! {
            biased;
            token = self.token.get() => token,
            () = self.down() => return None,
        };
        let token = match token {
            Ok(token) => token,
            // It is not the server that is waited for.
            Err(error) => return self.noted(Deed::Connect, Err(error)).ok(),
        };
        let (begun, within) = (Instant::now(), CONNECT_WITHIN.min(patience));
        let connected = match timeout(within, self.connect(caller, token)).await {
            Ok(connected) => connected,
            // It was this build that had no time left.
            Err(_elapsed) if within < CONNECT_WITHIN => {
                self.lose(&caller.build, begun.elapsed());
                return None;
            }
            Err(_elapsed) => Err(anyhow!("no connection within {within:?}")),
        };
        let server = self
            .noted_since(Deed::Connect, connected, &caller.build, begun.elapsed())
            .ok()?;
        let mut servers = self.servers.lock();
        if servers.len() >= BUILDS_MAX {
            servers.pop_front();
        }
        servers.push_back((caller.clone(), server.clone()));
        Some(server)
    }

    /// What the server answers to somebody who waits; `None` if nothing in time, or if it goes down meanwhile.
    pub(crate) async fn answer<T>(
        self: &Arc<Self>,
        server: &Server,
        deed: Deed,
        within: Within,
        asking: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        let build = &server.request_metadata.tool_invocation_id;
        let left = self.patience_of(build)?;
        let begun = Instant::now();
        let (Within::All(limit) | Within::Still(limit)) = within;
        let (is_cut, limit) = (left < limit, limit.min(left));
        let limited = async {
            match within {
                Within::All(_) => timeout(limit, asking)
                    .await
                    .with_context(|| format!("no answer within {limit:?}")),
                Within::Still(_) => Ok(self.moves.down.while_moving(limit, asking).await?),
            }
        };
        let answered = tokio::select! {
            biased;
            answered = limited => answered,
            () = self.down() => return None,
        };
        // What moved meanwhile was not waited for in vain.
        let waited = match within {
            Within::All(_) => begun.elapsed(),
            Within::Still(_) => self.moves.down.still(begun),
        };
        let answered = match answered {
            // Another build would have waited for longer: this says nothing of the server.
            Err(error) if is_cut => {
                self.lose(build, waited);
                Err(error)
            }
            answered => self.noted_since(deed, answered.and_then(|answered| answered), build, waited),
        };
        answered
            .inspect_err(|error| {
                tracing::debug!(?deed, error = format!("{error:#}"), "nothing comes of a question")
            })
            .ok()
    }

    /// Passes on what came of a request. If that is an outage, the server is down from now on, until it answers a probe.
    pub(crate) fn noted<T>(self: &Arc<Self>, deed: Deed, outcome: Result<T>) -> Result<T> {
        self.goes_down(deed, &outcome);
        outcome
    }

    /// The same of a request that a build has waited for. Many may have waited for the same: that is lost once.
    fn noted_since<T>(
        self: &Arc<Self>,
        deed: Deed,
        outcome: Result<T>,
        build: &str,
        waited: Duration,
    ) -> Result<T> {
        if self.goes_down(deed, &outcome) {
            self.lose(build, waited);
        }
        outcome
    }

    /// Ends when the server is down.
    pub(crate) async fn down(&self) {
        let mut breaker = self.breaker.subscribe();
        // The sender lives as long as this does.
        let _ = breaker.wait_for(|breaker| !breaker.is_up()).await;
    }

    /// Starts a task that ends with the daemon.
    pub(crate) fn spawn(&self, task: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task, future);
    }

    /// The last time that it failed, for people.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().clone()
    }

    /// Why a build is done without it, if it is.
    pub(crate) fn failure_for(&self, build: &str) -> Option<String> {
        let failure = || self.last_failure().unwrap_or_default();
        if !self.is_up() {
            return Some(failure());
        }
        let is_waited_for = self.patience_of(build).is_some();
        (!is_waited_for).then(|| format!("it has cost this build enough time: {}", failure()))
    }

    /// Takes note of a blob that could not be had. It is up again when that is handed out.
    pub(crate) fn withholds(&self, digest: Option<Digest>) {
        *self.withheld.lock() = digest;
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
        self.breaker.borrow().is_up()
    }

    /// Whether a worker could not tell what a command looked at. The others are its like, as a rule.
    pub(crate) fn cannot_observe(&self) -> bool {
        self.cannot_observe.load(Ordering::Relaxed)
    }

    /// Takes note that a worker could not tell, if so.
    pub(crate) fn note_unobserved(&self, is_so: bool) {
        self.cannot_observe.fetch_or(is_so, Ordering::Relaxed);
    }

    /// Whether it goes down by this.
    fn goes_down<T>(self: &Arc<Self>, deed: Deed, outcome: &Result<T>) -> bool {
        let error = match outcome {
            Ok(_) => {
                self.change(Event::Did(deed));
                return false;
            }
            Err(error) => error,
        };
        // Of those who notice it at the same time, one is the first.
        if !is_outage(deed, error) || !self.change(Event::Failed(deed)) {
            return false;
        }
        let why = match deed {
            Deed::Connect => format!("{error:#}"),
            Deed::Lookup => format!("cannot ask the action cache: {error:#}"),
            Deed::Fetch => format!("cannot fetch a result: {error:#}"),
            // Of these it is known apart from the rest.
            Deed::Store | Deed::Execute => format!("{error:#}"),
        };
        tracing::warn!(
            endpoint = self.options.endpoint,
            why,
            "the server is down; going on without it"
        );
        *self.last_failure.lock() = Some(why);
        self.servers.lock().clear();
        self.token.forget();
        self.tasks.spawn("probes of the server", self.clone().recover());
        true
    }

    /// Whether it was up before this, and is not any more.
    fn change(&self, event: Event) -> bool {
        let mut goes_down = false;
        self.breaker.send_if_modified(|breaker| {
            let before = std::mem::replace(breaker, breaker.after(event));
            goes_down = before.is_up() && !breaker.is_up();
            before != *breaker
        });
        goes_down
    }

    fn patience_of(&self, build: &str) -> Option<Duration> {
        let patience = self.patience.lock();
        let patience = patience.iter().find(|(of, _)| of == build);
        let patience = patience.map_or_else(Patience::default, |(_, patience)| *patience);
        patience.left(Instant::now())
    }

    fn lose(&self, build: &str, time: Duration) {
        let mut all = self.patience.lock();
        let at = all.iter().position(|(of, _)| of == build).unwrap_or_else(|| {
            if all.len() >= BUILDS_MAX {
                all.pop_front();
            }
            all.push_back((build.to_owned(), Patience::default()));
            all.len() - 1
        });
        all[at].1.lose(time, Instant::now());
    }

    fn known(&self, caller: &Caller) -> Option<Server> {
        let servers = self.servers.lock();
        let known = servers.iter().find(|(of, _)| of == caller);
        known.map(|(_, server)| server.clone())
    }

    async fn connect(&self, caller: &Caller, token: Option<String>) -> Result<Server> {
        let mut options = self.remote_options(caller);
        options.token = token;
        Ok(self.over(RemoteChannel::connect(options).await?, caller))
    }

    fn remote_options(&self, caller: &Caller) -> RemoteOptions {
        let mut options = RemoteOptions::new(&self.options.endpoint);
        options.tls = self.options.tls.clone();
        options.connect_timeout = CONNECT_WITHIN;
        options.request_metadata = Some(caller.request_metadata());
        options
    }

    fn over(&self, remote: RemoteChannel, caller: &Caller) -> Server {
        Server {
            store: timed(
                remote.blob_store(self.options.instance.clone()),
                self.moves.clone(),
            ),
            remote,
            instance: self.options.instance.clone(),
            function: FUNCTION,
            request_metadata: caller.request_metadata(),
        }
    }
}

impl Caller {
    /// As every request says it.
    fn request_metadata(&self) -> RequestMetadata {
        RequestMetadata {
            tool_details: Some(ToolDetails {
                tool_name: "farrier".to_owned(),
                tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            tool_invocation_id: self.build.clone(),
            correlated_invocations_id: self.correlated.clone(),
            ..RequestMetadata::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
