//! A real S3 server on loopback (s3s with files behind it), and what may go wrong on the way to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cas_object::{Credentials, Options};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ETAG, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

use super::Random;

pub(crate) const BUCKET: &str = "bucket";
const KEY: &str = "test-key";
const SECRET: &str = "test-secret";

/// What may happen to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 500 without doing anything.
    Internal,
    /// 503 without doing anything.
    SlowDown,
    /// Done, but the answer takes its time.
    Slow,
    /// Done, but no answer ever comes.
    Silent,
    /// Done, but the connection breaks before the answer.
    Lost,
    /// The connection breaks in the middle of the answer's body.
    Short,
    /// The answer names another ETag.
    WrongEtag,
    /// A bit of the answer's body is another one. Not among [`Fault::ORDINARY`]: TCP and TLS prevent it on the way.
    Flipped,
}

impl Fault {
    pub(crate) const ORDINARY: [Fault; 7] = [
        Fault::Internal,
        Fault::SlowDown,
        Fault::Slow,
        Fault::Silent,
        Fault::Lost,
        Fault::Short,
        Fault::WrongEtag,
    ];
}

/// A server with an empty bucket; it ends, and its files go, when this is dropped.
pub(crate) struct S3Server {
    address: SocketAddr,
    state: Arc<State>,
    group: tasks::Group,
    directory: tempfile::TempDir,
}

struct State {
    service: S3Service,
    /// Of a thousand requests, so many go wrong.
    faults_per_mille: AtomicU32,
    kinds: Mutex<Vec<Fault>>,
    random: Mutex<Random>,
    requests: AtomicU64,
    aborts: AtomicU64,
    /// Requests that these credentials may not make.
    denied: Mutex<Vec<(Method, bool)>>,
    faulted: Mutex<BTreeMap<Fault, u64>>,
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let state = Arc::new(State {
            service: builder.build(),
            faults_per_mille: AtomicU32::new(0),
            kinds: Mutex::new(Fault::ORDINARY.to_vec()),
            random: Mutex::new(Random(1)),
            requests: AtomicU64::new(0),
            aborts: AtomicU64::new(0),
            denied: Mutex::default(),
            faulted: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let group = tasks::Group::new("s3 server");
        group.spawn("accept", accept(listener, state.clone(), group.clone()));
        S3Server {
            address,
            state,
            group,
            directory,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("s3://{BUCKET}/farrier")
    }

    /// How to reach it, with the right key.
    pub(crate) fn options(&self) -> Options {
        Options {
            endpoint: Some(format!("http://{}", self.address)),
            path_style: true,
            allow_http: true,
            credentials: Credentials::Aws {
                access_key_id: KEY.into(),
                secret_access_key: SECRET.into(),
                session_token: None,
            },
            refresh_interval: Duration::ZERO,
            request_timeout: Duration::from_secs(3),
            ..Options::default()
        }
    }

    pub(crate) fn go_wrong(&self, per_mille: u32, kinds: &[Fault]) {
        *self.state.kinds.lock() = kinds.to_vec();
        self.state.faults_per_mille.store(per_mille, Ordering::SeqCst);
    }

    /// From now on, requests with this method are denied, to objects or to the bucket itself: listing, and removing many
    /// at once.
    pub(crate) fn deny(&self, method: Method, of_bucket: bool) {
        *self.state.denied.lock() = vec![(method, of_bucket)];
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Files of the bucket.
    pub(crate) fn objects(&self) -> usize {
        fn files(directory: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(directory)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            entries
                .map(|path| if path.is_dir() { files(&path) } else { 1 })
                .sum()
        }
        files(&self.directory.path().join(BUCKET))
    }

    /// How many uploads in parts were aborted.
    pub(crate) fn aborts(&self) -> u64 {
        self.state.aborts.load(Ordering::SeqCst)
    }

    /// How many requests went wrong, by kind.
    pub(crate) fn faulted(&self) -> BTreeMap<Fault, u64> {
        self.state.faulted.lock().clone()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.group.stop();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, group: tasks::Group) {
    let stopping = group.stopping();
    while let Some(Ok((socket, _))) = stopping.run_until_cancelled(listener.accept()).await {
        // Or every answer waits for a delayed acknowledgement.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        let (state, stopping) = (state.clone(), stopping.clone());
        group.spawn("connection", async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            // An error is one of ours, made on purpose, or a client that has gone.
            let _ended = stopping.run_until_cancelled(connection).await;
        });
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, std::io::Error> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    if request.method() == Method::DELETE
        && request
            .uri()
            .query()
            .is_some_and(|query| query.contains("uploadId"))
    {
        state.aborts.fetch_add(1, Ordering::SeqCst);
    }
    if state.denies(&request) {
        return Ok(refusal(StatusCode::FORBIDDEN, "AccessDenied"));
    }
    let fault = state.fault(&request);
    if let Some(fault) = fault {
        *state.faulted.lock().entry(fault).or_default() += 1;
    }
    match fault {
        Some(Fault::Internal) => return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
        Some(Fault::SlowDown) => return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
        _ => {}
    }
    let answer = state.service.call(request.map(s3s::Body::from)).await;
    let mut answer = answer.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    match fault {
        Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(30)).await,
        Some(Fault::Silent) => futures::future::pending().await,
        Some(Fault::Lost) => return Err(std::io::Error::other("lost on purpose")),
        Some(Fault::WrongEtag) => {
            answer
                .headers_mut()
                .insert(ETAG, HeaderValue::from_static("\"wrong\""));
        }
        Some(Fault::Short) => return broken_off(answer).await,
        Some(Fault::Flipped) => return flipped(answer).await,
        _ => {}
    }
    Ok(answer)
}

impl State {
    fn denies(&self, request: &Request<Incoming>) -> bool {
        let is_of_bucket = request.uri().path().trim_matches('/') == BUCKET;
        let denied = self.denied.lock();
        denied.contains(&(request.method().clone(), is_of_bucket))
    }

    fn fault(&self, request: &Request<Incoming>) -> Option<Fault> {
        let mut random = self.random.lock();
        if random.below(1000) >= u64::from(self.faults_per_mille.load(Ordering::SeqCst)) {
            return None;
        }
        let kinds = self.kinds.lock();
        let fault = kinds[random.below(kinds.len() as u64) as usize];
        match fault {
            // Costs the time of a client's patience, so it is rarer.
            Fault::Silent if random.below(24) > 0 => Some(Fault::Lost),
            // Only a GET has a body that matters, and a flipped name in a listing is nobody's to notice.
            Fault::Short if request.method() != Method::GET => None,
            Fault::Flipped if request.method() != Method::GET || request.uri().query().is_some() => None,
            fault => Some(fault),
        }
    }
}

fn refusal(status: StatusCode, code: &str) -> Response<s3s::Body> {
    let xml =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
    let mut response = Response::new(s3s::Body::from(xml));
    *response.status_mut() = status;
    response
}

/// Half of the body, under the length of the whole.
async fn broken_off(answer: Response<s3s::Body>) -> Result<Response<s3s::Body>, std::io::Error> {
    let (mut parts, body) = whole(answer).await?;
    parts
        .headers
        .insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let frames = [
        Ok(Frame::data(body.slice(..body.len() / 2))),
        Err(std::io::Error::other("broken off on purpose")),
    ];
    let body = s3s::Body::http_body_unsync(StreamBody::new(stream::iter(frames)));
    Ok(Response::from_parts(parts, body))
}

async fn flipped(answer: Response<s3s::Body>) -> Result<Response<s3s::Body>, std::io::Error> {
    let (parts, body) = whole(answer).await?;
    let mut body = body.to_vec();
    let middle = body.len() / 2;
    if let Some(byte) = body.get_mut(middle) {
        *byte ^= 4;
    }
    Ok(Response::from_parts(parts, s3s::Body::from(body)))
}

async fn whole(answer: Response<s3s::Body>) -> Result<(hyper::http::response::Parts, Bytes), std::io::Error> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?;
    Ok((parts, body.to_bytes()))
}
