//! Speaking to a reproxy, ours or another.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use reclient::address::Address;
use reclient_api::proxy::commands_client::CommandsClient;
use reclient_api::proxy::stats_client::StatsClient;
use reclient_api::proxy::status_client::StatusClient;
use reclient_api::proxy::{
    AddProxyEventsRequest, GetStatusSummaryRequest, GetStatusSummaryResponse, RunRequest, RunResponse,
    ShutdownRequest,
};
use reclient_api::stats::Stats;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Error, Uri};

/// The largest answer: what a command has printed.
const RESPONSE_BYTES_MAX: usize = 32 << 20;

/// A reproxy, connected.
#[derive(Clone)]
pub struct Reproxy {
    channel: Channel,
}

impl Reproxy {
    /// Connects, at most for so long.
    pub async fn connect(address: &Address, limit: Duration) -> Result<Self, Error> {
        let channel = match address {
            Address::Unix(path) => {
                let path = path.clone();
                // The name is not looked up: the connector knows where to go.
                let endpoint = Endpoint::from_static("http://reproxy").connect_timeout(limit);
                let connector = tower::service_fn(move |_: Uri| {
                    let path = path.clone();
                    async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
                });
                endpoint.connect_with_connector(connector).await?
            }
            Address::Tcp { host, port } => {
                let host = if host.is_empty() { "127.0.0.1" } else { host };
                let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))?;
                endpoint.connect_timeout(limit).connect().await?
            }
        };
        Ok(Reproxy { channel })
    }

    /// Runs a command.
    pub async fn run(&self, run: RunRequest) -> Result<RunResponse, Status> {
        let mut client =
            CommandsClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX);
        Ok(client.run_command(run).await?.into_inner())
    }

    /// Ends it. The sums of its life, if it has them.
    pub async fn shut_down(&self) -> Result<Option<Stats>, Status> {
        let mut client =
            CommandsClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX);
        Ok(client.shutdown(ShutdownRequest {}).await?.into_inner().stats)
    }

    /// Tells it times.
    pub async fn add_events(&self, events: AddProxyEventsRequest) -> Result<(), Status> {
        StatsClient::new(self.channel.clone())
            .add_proxy_events(events)
            .await?;
        Ok(())
    }

    /// How it is going.
    pub async fn summary(&self) -> Result<GetStatusSummaryResponse, Status> {
        let mut client = StatusClient::new(self.channel.clone());
        Ok(client
            .get_status_summary(GetStatusSummaryRequest {})
            .await?
            .into_inner())
    }
}
