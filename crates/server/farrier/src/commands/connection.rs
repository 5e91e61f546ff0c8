//! Which server, and how to speak to it.

use anyhow::Result;
use blob::{DigestFunction, InstanceName};
use cas_remote::{RemoteChannel, RemoteOptions};
use clap::Args;
use reapi::execution::{RequestMetadata, ToolDetails};
use remote_action::Server;
use uuid::Uuid;

use crate::server_trust::ServerTrust;

/// The options that every command has.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerOptions {
    /// The server: http://HOST:PORT, grpc://HOST:PORT or HOST:PORT; https:// or grpcs:// for TLS.
    #[arg(
        long,
        env = "FARRIER_ENDPOINT",
        default_value = "http://127.0.0.1:8980",
        value_name = "URL"
    )]
    pub(crate) endpoint: String,
    #[command(flatten)]
    pub(crate) trust: ServerTrust,
    /// The instance name; the unnamed one if left out.
    #[arg(long, env = "FARRIER_INSTANCE", default_value = "", hide_default_value = true, value_name = "NAME",
        value_parser = parse_instance)]
    pub(crate) instance: InstanceName,
    /// The hash function of digests: sha256, blake3, sha1, sha384, sha512, md5, sha256tree or gitsha1.
    #[arg(long, default_value = "sha256", value_name = "FUNCTION", value_parser = parse_function)]
    pub(crate) digest_function: DigestFunction,
}

impl ServerOptions {
    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Server> {
        let tool_details = ToolDetails {
            tool_name: "farrier".to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let request_metadata = RequestMetadata {
            tool_details: Some(tool_details),
            tool_invocation_id: Uuid::new_v4().to_string(),
            ..RequestMetadata::default()
        };
        let mut options = RemoteOptions::new(&self.endpoint);
        options.tls = self.trust.for_endpoint(&self.endpoint)?;
        options.request_metadata = Some(request_metadata.clone());
        let remote = RemoteChannel::connect(options).await?;
        Ok(Server {
            store: remote.blob_store(self.instance.clone()),
            remote,
            instance: self.instance.clone(),
            function: self.digest_function,
            request_metadata,
        })
    }
}

pub(super) fn parse_instance(name: &str) -> Result<InstanceName, String> {
    InstanceName::new(name).map_err(|error| error.to_string())
}

fn parse_function(name: &str) -> Result<DigestFunction, String> {
    DigestFunction::from_name(name).ok_or_else(|| {
        format!(
            "`{name}` is not a digest function; there are {}",
            DigestFunction::names()
        )
    })
}
