//! The service that finds included files, for reclient's own reproxy: `depsscanner_address` may name ours.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use reclient_api::scandeps::cpp_deps_scanner_server::{CppDepsScanner, CppDepsScannerServer};
use reclient_api::scandeps::{
    CapabilitiesResponse, CppProcessInputsRequest, CppProcessInputsResponse, StatusResponse,
};
use tokio::sync::{Notify, Semaphore};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The compiler's command line.
    pub arguments: Vec<OsString>,
    /// The source.
    pub file: PathBuf,
    /// Where the command runs.
    pub directory: PathBuf,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// All files that the compiler would read.
    pub files: Vec<PathBuf>,
    /// Nothing had to be read for it.
    pub was_known: bool,
}

/// Finds included files.
#[async_trait]
pub trait Scanner: Send + Sync + 'static {
    /// All of them, or why that cannot be said.
    async fn scan(&self, scan: Scan) -> Result<Found, String>;
}

/// The service, ready to be served: at most `concurrent` scans at once. `stop` is notified when somebody ends it.
pub fn routes(scanner: Arc<dyn Scanner>, concurrent: usize, stop: Arc<Notify>) -> Routes {
    Routes::new(CppDepsScannerServer::new(Service {
        scanner,
        stop,
        started: Instant::now(),
        places: Semaphore::new(concurrent.max(1)),
        scans: Mutex::default(),
    }))
}

struct Service {
    scanner: Arc<dyn Scanner>,
    stop: Arc<Notify>,
    started: Instant,
    places: Semaphore,
    scans: Mutex<Scans>,
}

/// Those that run, by number, and how many do not any more.
#[derive(Default)]
struct Scans {
    next: u64,
    running: BTreeMap<u64, Instant>,
    completed: i32,
}

/// A scan that runs; also one whose caller goes is over when this is dropped.
struct Running<'a> {
    service: &'a Service,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut scans = self.service.scans.lock();
        scans.running.remove(&self.number);
        scans.completed = scans.completed.saturating_add(1);
    }
}

impl Service {
    fn begin(&self) -> Running<'_> {
        let mut scans = self.scans.lock();
        let number = scans.next;
        scans.next += 1;
        scans.running.insert(number, Instant::now());
        Running {
            service: self,
            number,
        }
    }

    fn status_response(&self) -> StatusResponse {
        let scans = self.scans.lock();
        let longest = scans.running.values().map(Instant::elapsed).max();
        StatusResponse {
            name: "farrier".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: Some(proto(self.started.elapsed())),
            completed_actions: scans.completed,
            running_actions: i32::try_from(scans.running.len()).unwrap_or(i32::MAX),
            longest_current_action: longest.map(proto),
        }
    }
}

fn proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[async_trait]
impl CppDepsScanner for Service {
    async fn process_inputs(
        &self,
        request: Request<CppProcessInputsRequest>,
    ) -> Result<Response<CppProcessInputsResponse>, Status> {
        let request = request.into_inner();
        let scan = Scan {
            arguments: request.command.into_iter().map(OsString::from).collect(),
            file: request.filename.into(),
            directory: request.directory.into(),
            environment: request.cmd_env.iter().map(|variable| pair(variable)).collect(),
        };
        if scan.arguments.is_empty() || !scan.directory.is_absolute() {
            return Err(Status::invalid_argument(
                "a scan needs a command and an absolute directory",
            ));
        }
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|_| Status::unavailable("the scanner has ended"))?;
        let _running = self.begin();
        // An error is an answer: the caller has its own words for it.
        Ok(Response::new(match self.scanner.scan(scan).await {
            Ok(found) => CppProcessInputsResponse {
                dependencies: found
                    .files
                    .iter()
                    .map(|file| file.to_string_lossy().into_owned())
                    .collect(),
                used_cache: found.was_known,
                error: String::new(),
            },
            Err(error) => CppProcessInputsResponse {
                error: if error.is_empty() {
                    "unknown".to_owned()
                } else {
                    error
                },
                ..CppProcessInputsResponse::default()
            },
        }))
    }

    async fn status(&self, _: Request<()>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.status_response()))
    }

    async fn shutdown(&self, _: Request<()>) -> Result<Response<StatusResponse>, Status> {
        self.stop.notify_one();
        Ok(Response::new(self.status_response()))
    }

    async fn capabilities(&self, _: Request<()>) -> Result<Response<CapabilitiesResponse>, Status> {
        Ok(Response::new(CapabilitiesResponse {
            caching: true,
            // The compiler is asked for it.
            expects_resource_dir: false,
        }))
    }
}

fn pair(variable: &str) -> (OsString, OsString) {
    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
    (name.into(), value.into())
}
