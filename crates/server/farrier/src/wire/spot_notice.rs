//! Clouds that take machines away say so shortly before. Here somebody listens.

mod words;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How often is asked. Clouds ask for about this, and the shortest notice is 30 s.
const POLL: Duration = Duration::from_secs(2);
/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Most bytes of an answer, or of the file.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Looks that fail in a row before somebody is told, once.
const FAILURES_TOLD_AFTER: u32 = 5;
/// The address at which all three clouds answer.
const METADATA: &str = "http://169.254.169.254";
/// That of Google in its own words.
const METADATA_OF_GOOGLE: &str = "http://metadata.google.internal";

/// Where a notice is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoticeSource {
    /// The instance metadata service of one of the clouds, at this address.
    Cloud(Cloud, String),
    /// Any server: an answer of 200 is a notice, and says in how many seconds; 204 and 404 are none.
    Url(String),
    /// A file: a notice as soon as it is there; it may say in how many seconds.
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    Aws,
    Gcp,
    Azure,
}

impl NoticeSource {
    /// As the option has it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let cloud = |cloud, address: &str| Ok(NoticeSource::Cloud(cloud, address.to_owned()));
        match text {
            "aws" => cloud(Cloud::Aws, METADATA),
            "gcp" => cloud(Cloud::Gcp, METADATA_OF_GOOGLE),
            "azure" => cloud(Cloud::Azure, METADATA),
            _ => match (text.strip_prefix("file:"), text.starts_with("http://")) {
                (Some(path), _) if path.starts_with('/') => Ok(NoticeSource::File(path.into())),
                (None, true) => Ok(NoticeSource::Url(text.to_owned())),
                _ => Err(format!("`{text}` is not aws, gcp, azure, http://… or file:/…")),
            },
        }
    }

    /// How long this machine has left, if it is said to go.
    async fn look(&self) -> Result<Option<Duration>> {
        match self {
            NoticeSource::File(path) => match tokio::fs::read(path).await {
                Ok(text) => {
                    let text = &text[..text.len().min(ANSWER_BYTES_MAX)];
                    Ok(Some(words::seconds(&String::from_utf8_lossy(text))))
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| path.display().to_string()),
            },
            NoticeSource::Url(url) => {
                let answer = ask("GET", url, &[]).await?;
                Ok(answer.map(|text| words::seconds(&text)))
            }
            NoticeSource::Cloud(Cloud::Aws, address) => {
                // A session first; the older kind of service has none, and wants none.
                let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
                let session = ask("PUT", &format!("{address}/latest/api/token"), &[lifetime]).await?;
                let session = session
                    .as_deref()
                    .map(|session| ("x-aws-ec2-metadata-token", session));
                let url = format!("{address}/latest/meta-data/spot/instance-action");
                let answer = ask("GET", &url, session.as_slice()).await?;
                Ok(answer.map(|text| words::of_aws(&text, SystemTime::now())))
            }
            NoticeSource::Cloud(Cloud::Gcp, address) => {
                let url = format!("{address}/computeMetadata/v1/instance/preempted");
                let answer = ask("GET", &url, &[("metadata-flavor", "Google")]).await?;
                Ok(answer.and_then(|text| words::of_gcp(&text)))
            }
            NoticeSource::Cloud(Cloud::Azure, address) => {
                let metadata = [("metadata", "true")];
                let name =
                    format!("{address}/metadata/instance/compute/name?api-version=2021-02-01&format=text");
                let name = ask("GET", &name, &metadata).await?.unwrap_or_default();
                let events = format!("{address}/metadata/scheduledevents?api-version=2020-07-01");
                let events = ask("GET", &events, &metadata).await?;
                Ok(events.and_then(|text| words::of_azure(&text, name.trim())))
            }
        }
    }
}

/// Returns when this machine is said to go, with how long it has left; never without somebody to ask.
pub(super) async fn given(source: Option<&NoticeSource>) -> Duration {
    let Some(source) = source else {
        return std::future::pending().await;
    };
    let mut failures = 0;
    loop {
        match timeout(LOOK_MAX, source.look()).await {
            Ok(Ok(Some(left))) => return left,
            Ok(Ok(None)) => failures = 0,
            Ok(Err(error)) => {
                failures += 1;
                told(failures, &format!("{error:#}"));
            }
            Err(_elapsed) => {
                failures += 1;
                told(failures, "no answer");
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn told(failures: u32, error: &str) {
    if failures == FAILURES_TOLD_AFTER {
        tracing::warn!(
            error,
            "nobody says whether this machine is to be taken away; is --spot-notice right?"
        );
    }
}

/// The answer's text; `None` if there is nothing (204, or any refusal: clouds answer 404 for most of a machine's life).
async fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Option<String>> {
    let url: hyper::Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
    let host = url.host().context("the URL names no host")?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80)))
        .await
        .with_context(|| format!("cannot reach {host}"))?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        if status.as_u16() == 204 || status.is_client_error() {
            return Ok(None);
        }
        ensure!(status.is_success(), "{host} answers {status}");
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let Ok(body) = body else {
            bail!("{host} answers with more than {ANSWER_BYTES_MAX} bytes");
        };
        Ok(Some(String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    // The connection moves the bytes while the answer is waited for, and may end before it has been read.
    let moving = async {
        let _ended = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = asking => answer,
        never = moving => never,
    }
}

#[cfg(test)]
mod tests;
