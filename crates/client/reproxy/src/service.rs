//! The services that reproxy has, for a daemon that can run commands.

use std::sync::Arc;

use async_trait::async_trait;
use daemon_api::Request;
use reclient_api::proxy::commands_server::{Commands, CommandsServer};
use reclient_api::proxy::stats_server::{Stats as StatsService, StatsServer};
use reclient_api::proxy::status_server::{Status as StatusService, StatusServer};
use reclient_api::proxy::{
    AddProxyEventsRequest, AddProxyEventsResponse, GetRecordsRequest, GetRecordsResponse,
    GetStatusSummaryRequest, GetStatusSummaryResponse, RunRequest, RunResponse, ShutdownRequest,
    ShutdownResponse,
};
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::{Response, Status};

use crate::ledger::Ledger;
use crate::outcome::RunOutcome;
use crate::wire::{self, Refused};

/// Commands that are taken at once. Others are sent away, and rewrapper tries again.
const RUNNING_MAX: usize = 10_000;
/// The largest command that is taken: with all of its environment and a list of inputs.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// What a daemon does for those who take it for reproxy.
#[async_trait]
pub trait Daemon: Send + Sync + 'static {
    /// Runs a command to its end. The daemon enters it into the ledger itself, as it does with commands that come another
    /// way. When the caller goes, this is dropped, and the command must end.
    async fn run(&self, request: Request) -> RunOutcome;

    /// Ends the daemon: no command begins any more, those that run end, results that are being stored are stored. This
    /// returns when that is done; the daemon's process ends soon after.
    async fn shut_down(&self);

    /// The books.
    fn ledger(&self) -> &Ledger;
}

/// The services, ready to be served.
pub fn routes(daemon: Arc<dyn Daemon>) -> Routes {
    let services = Services {
        running: Arc::new(Semaphore::new(RUNNING_MAX)),
        daemon,
    };
    let commands = CommandsServer::new(services.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
    Routes::new(commands)
        .add_service(StatsServer::new(services.clone()))
        .add_service(StatusServer::new(services))
}

#[derive(Clone)]
struct Services {
    daemon: Arc<dyn Daemon>,
    running: Arc<Semaphore>,
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        // Neither is tried again by rewrapper.
        match refused {
            Refused::Wrong(_) => Status::invalid_argument(refused.to_string()),
            Refused::NotHere(_) => Status::unimplemented(refused.to_string()),
        }
    }
}

#[async_trait]
impl Commands for Services {
    async fn run_command(
        &self,
        request: tonic::Request<RunRequest>,
    ) -> Result<Response<RunResponse>, Status> {
        let _place = self
            .running
            .try_acquire()
            .map_err(|_| Status::unavailable(format!("{RUNNING_MAX} commands are running already")))?;
        let run = request.into_inner();
        let options = run.execution_options.as_ref();
        let with_record = options.is_some_and(|options| options.include_action_log);
        let request = wire::request(run)?;
        let outcome = self.daemon.run(request).await;
        Ok(Response::new(outcome.response(with_record)))
    }

    async fn shutdown(
        &self,
        _: tonic::Request<ShutdownRequest>,
    ) -> Result<Response<ShutdownResponse>, Status> {
        self.daemon.shut_down().await;
        let stats = Some(self.daemon.ledger().close());
        Ok(Response::new(ShutdownResponse { stats }))
    }
}

#[async_trait]
impl StatsService for Services {
    async fn get_records(
        &self,
        _: tonic::Request<GetRecordsRequest>,
    ) -> Result<Response<GetRecordsResponse>, Status> {
        let records = self.daemon.ledger().records();
        Ok(Response::new(GetRecordsResponse { records }))
    }

    async fn add_proxy_events(
        &self,
        request: tonic::Request<AddProxyEventsRequest>,
    ) -> Result<Response<AddProxyEventsResponse>, Status> {
        self.daemon.ledger().add_events(request.into_inner().event_times);
        Ok(Response::new(AddProxyEventsResponse {}))
    }
}

#[async_trait]
impl StatusService for Services {
    async fn get_status_summary(
        &self,
        _: tonic::Request<GetStatusSummaryRequest>,
    ) -> Result<Response<GetStatusSummaryResponse>, Status> {
        Ok(Response::new(self.daemon.ledger().summary()))
    }
}
