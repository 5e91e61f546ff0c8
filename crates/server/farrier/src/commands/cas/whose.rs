//! Whose disks are looked at: those of a running server, or what a stopped one has left.

use std::path::PathBuf;

use admin_api::v1::storage_client::StorageClient;
use admin_api::v1::{
    GetUsageRequest, GetUsageResponse, ScrubProgress, ScrubRequest, SurveyRequest, SurveyResponse,
};
use anyhow::{Context, Result, anyhow, bail};
use blob::InstanceName;
use cas_remote::{RemoteChannel, RemoteOptions};
use clap::Args;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::local_storage::LocalStorage;
use crate::server_trust::ServerTrust;

/// The options that choose.
#[derive(Args, Debug)]
pub(crate) struct WhoseOptions {
    /// The running farrier: http://HOST:PORT, grpc://HOST:PORT or HOST:PORT.
    #[arg(
        long,
        env = "FARRIER_ENDPOINT",
        default_value = "http://127.0.0.1:8980",
        value_name = "URL"
    )]
    endpoint: String,
    #[command(flatten)]
    trust: ServerTrust,
    /// Look into the data directory of a stopped farrier instead.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A directory that the stopped farrier was given with --also-dir; repeat for several.
    #[arg(long, requires = "data_dir", value_name = "DIR")]
    also_dir: Vec<PathBuf>,
}

/// Storage to look into.
pub(crate) enum Whose {
    /// Of a server that answers.
    Running(StorageClient<Channel>),
    /// On this machine's disks.
    Stopped(LocalStorage),
}

impl WhoseOptions {
    pub(crate) async fn open(&self) -> Result<Whose> {
        if let Some(path) = &self.data_dir {
            return LocalStorage::open_stopped(path, &self.also_dir).map(Whose::Stopped);
        }
        let options = RemoteOptions {
            tls: self.trust.for_endpoint(&self.endpoint)?,
            ..RemoteOptions::new(&self.endpoint)
        };
        let remote = RemoteChannel::connect(options)
            .await
            .context("no farrier answers; for the disks of a stopped one name its --data-dir")?;
        Ok(Whose::Running(StorageClient::new(remote.channel())))
    }
}

impl Whose {
    pub(crate) async fn usage(&mut self) -> Result<GetUsageResponse> {
        match self {
            Whose::Stopped(local) => Ok(local.usage()),
            Whose::Running(client) => {
                let response = client.get_usage(GetUsageRequest {}).await;
                Ok(response.map_err(refused)?.into_inner())
            }
        }
    }

    pub(crate) async fn survey(&mut self, instances: &[InstanceName]) -> Result<SurveyResponse> {
        match self {
            Whose::Stopped(local) => {
                // Served by everyone who names no instance.
                let mut all = vec![InstanceName::default()];
                all.extend_from_slice(instances);
                Ok(local.survey(&all).await?)
            }
            Whose::Running(client) => {
                let instance_names = instances.iter().map(|name| name.as_str().to_owned()).collect();
                let response = client.survey(SurveyRequest { instance_names }).await;
                Ok(response.map_err(refused)?.into_inner())
            }
        }
    }

    /// Reads everything; `told` hears how far it is.
    pub(crate) async fn scrub(
        &mut self,
        bytes_per_second: Option<u64>,
        mut told: impl FnMut(ScrubProgress) + Send,
    ) -> Result<ScrubProgress> {
        match self {
            Whose::Stopped(local) => match local.scrub(bytes_per_second, told).await {
                Ok(done) => Ok(done?),
                Err(_runs) => bail!("a scrub is going on already"),
            },
            Whose::Running(client) => {
                let bytes_per_second = bytes_per_second.unwrap_or(0);
                let request = ScrubRequest { bytes_per_second };
                let mut stream = client.scrub(request).await.map_err(refused)?.into_inner();
                while let Some(progress) = stream.message().await.map_err(refused)? {
                    if progress.done {
                        return Ok(progress);
                    }
                    told(progress);
                }
                bail!("the server ended the scrub without saying that it is done; try again")
            }
        }
    }
}

fn refused(status: Status) -> anyhow::Error {
    match status.code() {
        Code::Unimplemented => anyhow!(
            "this server does not tell about its disks: it is not a farrier, or one of an older version"
        ),
        code => anyhow!("{code:?}: {}", status.message()),
    }
}
