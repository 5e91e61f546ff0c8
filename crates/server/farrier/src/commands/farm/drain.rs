//! `farrier drain`: workers out of service, and back.

use admin_api::v1::DrainRequest;
use admin_api::v1::queue_client::QueueClient;
use anyhow::{Context, Result};
use cas_remote::{RemoteChannel, RemoteOptions};
use clap::Args;
use tonic::Request;

use crate::bad_options::BadOptions;
use crate::commands::output::print;
use crate::worker_token::WorkerToken;

#[derive(Args, Debug)]
pub(crate) struct DrainOptions {
    /// The names of the workers, `*` for any characters; without it, the patterns that hold are shown.
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    /// Take the pattern back.
    #[arg(long, requires = "pattern")]
    undo: bool,
    /// The server: http://HOST:PORT, grpc://HOST:PORT or HOST:PORT.
    #[arg(
        long,
        env = "FARRIER_ENDPOINT",
        default_value = "http://127.0.0.1:8980",
        value_name = "URL"
    )]
    endpoint: String,
    #[command(flatten)]
    token: WorkerToken,
}

/// Tells the server, and says what holds now.
pub(crate) async fn drain(options: DrainOptions) -> Result<()> {
    let token = options.token.read()?;
    let remote = RemoteChannel::connect(RemoteOptions::new(&options.endpoint))
        .await
        .context("no farrier answers")?;
    let mut request = Request::new(DrainRequest {
        pattern: options.pattern.unwrap_or_default(),
        undo: options.undo,
    });
    let bearer = format!("Bearer {token}").parse();
    let bearer =
        bearer.map_err(|_| BadOptions::message("the token holds characters that no header can carry"))?;
    request.metadata_mut().insert("authorization", bearer);
    let answer = QueueClient::new(remote.channel())
        .drain(request)
        .await?
        .into_inner();
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    print(&format!(
        "out of service: {}\nworkers that take nothing new: {}\n",
        list(&answer.patterns),
        list(&answer.draining)
    ))
}
