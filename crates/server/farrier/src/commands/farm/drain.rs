//! `farrier drain`: workers out of service, and back.

use admin_api::v1::DrainRequest;
use anyhow::Result;
use clap::Args;
use tonic::Request;

use super::Where;
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
    #[command(flatten)]
    farm: Where,
    #[command(flatten)]
    token: WorkerToken,
}

/// Tells the server, and says what holds now.
pub(crate) async fn drain(options: DrainOptions) -> Result<()> {
    let token = options.token.read()?;
    let mut client = options.farm.connect_as_stranger(token.fingerprint).await?;
    let mut request = Request::new(DrainRequest {
        pattern: options.pattern.unwrap_or_default(),
        undo: options.undo,
    });
    let bearer = format!("Bearer {}", token.secret).parse();
    let bearer =
        bearer.map_err(|_| BadOptions::message("the token holds characters that no header can carry"))?;
    request.metadata_mut().insert("authorization", bearer);
    let answer = client.drain(request).await?.into_inner();
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
