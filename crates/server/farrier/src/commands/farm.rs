//! `farrier workers` and `farrier queue`: a running farm at a glance, for people and for programs. `farrier drain` takes
//! workers out of it.

mod drain;
mod json;
mod tables;

use std::io::IsTerminal;
use std::time::Duration;

use admin_api::v1::queue_client::QueueClient;
use admin_api::v1::worker_status::State;
use admin_api::v1::{GetQueueRequest, GetWorkersRequest, WorkerStatus};
use anyhow::{Context, Result};
use cas_remote::{RemoteChannel, RemoteOptions};
use clap::Args;
use tonic::transport::Channel;
use trust::Fingerprint;

pub(crate) use drain::{DrainOptions, drain};

use super::output::print;
use crate::durations;
use crate::server_trust::ServerTrust;
use crate::wire::membership;

/// Most bytes of an answer: ten thousand workers, each with all its actions.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Clears a terminal and puts the cursor into its first corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Which farm.
#[derive(Args, Debug)]
struct Where {
    /// The server: http://HOST:PORT, grpc://HOST:PORT or HOST:PORT; https:// or grpcs:// for TLS.
    #[arg(
        long,
        env = "FARRIER_ENDPOINT",
        default_value = "http://127.0.0.1:8980",
        value_name = "URL"
    )]
    endpoint: String,
    #[command(flatten)]
    trust: ServerTrust,
}

impl Where {
    async fn connect(&self) -> Result<QueueClient<Channel>> {
        let mut options = RemoteOptions::new(&self.endpoint);
        options.tls = self.trust.for_endpoint(&self.endpoint)?;
        self.connect_by(options).await
    }

    /// To the server of a token, so that nobody else sees the secret.
    async fn connect_as_stranger(&self, fingerprint: Fingerprint) -> Result<QueueClient<Channel>> {
        let mut options = RemoteOptions::new(&self.endpoint);
        options.tls = Some(membership::stranger(fingerprint)?);
        self.connect_by(options).await
    }

    async fn connect_by(&self, options: RemoteOptions) -> Result<QueueClient<Channel>> {
        let remote = RemoteChannel::connect(options)
            .await
            .context("no farrier answers")?;
        Ok(QueueClient::new(remote.channel()).max_decoding_message_size(ANSWER_BYTES_MAX))
    }
}

/// The options of both.
#[derive(Args, Debug)]
pub(crate) struct FarmOptions {
    #[command(flatten)]
    farm: Where,
    /// For programs: one JSON object, on a line of its own each time.
    #[arg(long)]
    json: bool,
    /// Look again every so often, until interrupted.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2s", value_parser = durations::parse)]
    watch: Option<Duration>,
}

/// What is looked at.
#[derive(Clone, Copy)]
pub(crate) enum Sight {
    Workers,
    Queue,
}

/// Prints it, once or again and again.
pub(crate) async fn run(options: FarmOptions, sight: Sight) -> Result<()> {
    let mut client = options.farm.connect().await?;
    loop {
        let text = look(&mut client, &options, sight).await?;
        let refreshes = options.watch.is_some() && !options.json && std::io::stdout().is_terminal();
        print(&if refreshes { format!("{CLEAR}{text}") } else { text })?;
        match options.watch {
            None => return Ok(()),
            Some(pause) => tokio::time::sleep(pause).await,
        }
    }
}

async fn look(client: &mut QueueClient<Channel>, options: &FarmOptions, sight: Sight) -> Result<String> {
    let asked = "the server does not tell about its queue; is it a farrier of this version?";
    Ok(match sight {
        Sight::Workers => {
            let workers = client
                .get_workers(GetWorkersRequest {})
                .await
                .context(asked)?
                .into_inner();
            match options.json {
                true => format!("{}\n", json::workers(&workers)),
                false => tables::workers(&workers),
            }
        }
        Sight::Queue => {
            let queue = client
                .get_queue(GetQueueRequest {})
                .await
                .context(asked)?
                .into_inner();
            match options.json {
                true => format!("{}\n", json::queue(&queue)),
                false => tables::queue(&queue),
            }
        }
    })
}

/// What a worker is doing about new work, in a word.
fn state(worker: &WorkerStatus) -> &'static str {
    match worker.state() {
        State::Unspecified => "unknown",
        State::Ready => "ready",
        State::Draining => "draining",
        State::Away => "away",
    }
}
