//! An image in a registry, by the distribution API: manifests, blobs, and tokens for whoever asks.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use image::{ContentDigest, DOCUMENT_BYTES_MAX, Descriptor, LAYER_BYTES_MAX};
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode};
use tokio::io::AsyncWriteExt;

use super::challenge::Challenge;
use super::reference::{Reference, Version};
use super::resolve::{Kind, Pieces, Top};
use super::spool::Spool;

/// What manifests may come as.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";
/// Longest wait for a connection, and for the next bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a layer is asked for.
const TRIES: u32 = 3;
/// Largest answer that gives a token.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// One repository.
pub(super) struct Registry {
    client: Client,
    /// `https://HOST/v2/NAME`.
    base: String,
    version: Version,
    token: Option<String>,
    spool: Spool,
}

impl Registry {
    pub(super) fn new(
        reference: Reference,
        plain_http: bool,
        token: Option<String>,
        spool: Spool,
    ) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .build();
        let scheme = if plain_http || reference.is_local() {
            "http"
        } else {
            "https"
        };
        Ok(Registry {
            client: client.context("cannot speak HTTP")?,
            base: format!("{scheme}://{}/v2/{}", reference.registry(), reference.name),
            version: reference.version,
            token,
            spool,
        })
    }

    /// The descriptor of what was asked for. A tag is looked up, and from then on only the digest counts.
    pub(super) async fn top(&mut self) -> Result<Top> {
        let url = format!("{}/manifests/{}", self.base, self.version);
        let bytes = self.read(&url, Some(MANIFESTS), DOCUMENT_BYTES_MAX).await?;
        let digest = match &self.version {
            Version::Tag(_) => ContentDigest::of(&bytes),
            Version::Digest(digest) => digest.clone(),
        };
        Ok(Top::Descriptors(vec![Descriptor {
            digest,
            size_bytes: bytes.len() as u64,
            platform: None,
        }]))
    }

    async fn read(&mut self, url: &str, accept: Option<&str>, size_bytes_max: u64) -> Result<Bytes> {
        let response = self.get(url, accept).await?;
        whole(response, size_bytes_max)
            .await
            .with_context(|| format!("reading {url}"))
    }

    /// Asks; and once more with a token if the registry wants one and says where to get it.
    async fn get(&mut self, url: &str, accept: Option<&str>) -> Result<Response> {
        let response = self.send(url, accept).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return successful(response, url);
        }
        let challenge = response
            .headers()
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok());
        let challenge = challenge.and_then(Challenge::parse);
        let challenge = challenge
            .ok_or_else(|| anyhow!("{url}: the registry wants a password (give a token with --token)"))?;
        self.token = Some(self.fetch_token(&challenge).await?);
        successful(self.send(url, accept).await?, url)
    }

    async fn send(&self, url: &str, accept: Option<&str>) -> Result<Response> {
        let mut request = self.client.get(url);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.with_context(|| format!("cannot ask {url}"))
    }

    async fn fetch_token(&self, challenge: &Challenge) -> Result<String> {
        let Challenge {
            realm,
            service,
            scope,
        } = challenge;
        let mut url =
            reqwest::Url::parse(realm).with_context(|| format!("the registry's token address `{realm}`"))?;
        for (name, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let response = self
            .client
            .get(url)
            .send()
            .await
            .with_context(|| format!("cannot ask {realm} for a token"))?;
        let bytes = whole(successful(response, realm)?, TOKEN_BYTES_MAX).await?;
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).with_context(|| format!("the token of {realm}"))?;
        let token = json["token"].as_str().or(json["access_token"].as_str());
        token
            .map(str::to_owned)
            .ok_or_else(|| anyhow!("{realm} gave no token"))
    }

    async fn download(&mut self, url: &str, size_bytes: u64) -> Result<PathBuf> {
        let path = self.spool.new_path();
        let mut response = self.get(url, None).await?;
        let mut file = tokio::fs::File::create_new(&path).await?;
        let mut left = size_bytes;
        while let Some(piece) = response.chunk().await? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                anyhow!("it is longer than the {size_bytes} bytes that it was said to have")
            })?;
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        ensure!(left == 0, "it ended {left} bytes early");
        Ok(path)
    }
}

#[async_trait]
impl Pieces for Registry {
    async fn document(&mut self, kind: Kind, descriptor: &Descriptor) -> Result<Bytes> {
        let digest = &descriptor.digest;
        let (url, accept) = match kind {
            Kind::Manifest => (format!("{}/manifests/{digest}", self.base), Some(MANIFESTS)),
            Kind::Config => (format!("{}/blobs/{digest}", self.base), None),
        };
        self.read(&url, accept, descriptor.size_bytes).await
    }

    async fn layer(&mut self, descriptor: &Descriptor) -> Result<PathBuf> {
        let Descriptor {
            digest, size_bytes, ..
        } = descriptor;
        ensure!(
            *size_bytes <= LAYER_BYTES_MAX,
            "layer {digest} has {size_bytes} bytes; at most {LAYER_BYTES_MAX} are taken"
        );
        let url = format!("{}/blobs/{digest}", self.base);
        let mut tries = 1;
        loop {
            match self.download(&url, *size_bytes).await {
                Err(error) if tries < TRIES => {
                    tracing::debug!(%error, url, tries, "downloading a layer again");
                    tries += 1;
                }
                done => return done.with_context(|| format!("downloading layer {digest}")),
            }
        }
    }
}

fn successful(response: Response, url: &str) -> Result<Response> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => bail!("{url}: the registry does not have it"),
        status => bail!("{url}: the registry says {status}"),
    }
}

async fn whole(mut response: Response, size_bytes_max: u64) -> Result<Bytes> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        ensure!(
            (bytes.len() + piece.len()) as u64 <= size_bytes_max,
            "the answer is longer than {size_bytes_max} bytes"
        );
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}
