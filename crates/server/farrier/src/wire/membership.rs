//! How this machine becomes a worker of one server, and stays one: a token at first, then certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use cas_remote::{ConnectError, RemoteChannel, RemoteOptions, RemoteTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tasks::CancellationToken;
use tokio::sync::watch;
use tonic::{Code, Request};
use trust::{CertificateRequest, Fingerprint, Identity, JoinToken, shown};
use worker_api::v1::joining_client::JoiningClient;
use worker_api::v1::{CertifyRequest, CertifyResponse};

use crate::bad_options::BadOptions;
use crate::private_file;

/// How long an answer to a request for a certificate may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest sleep before the clock is looked at again: somebody may set it.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(3600);
/// Pause after a renewal that failed; as short as the first for certificates that live a minute, up to the second.
const RENEWAL_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// A worker's place at its server.
pub(super) struct Membership {
    endpoint: String,
    name: String,
    token: Option<JoinToken>,
    file: PathBuf,
    identity: Identity,
    config: watch::Sender<Arc<ClientConfig>>,
}

impl Membership {
    /// By the certificate in `file`, if that is good for this name and this server; else by the token.
    pub(super) async fn begin(
        endpoint: &str,
        name: &str,
        token: Option<JoinToken>,
        file: PathBuf,
    ) -> Result<Self> {
        let kept = match private_file::read(&file)?.map(|text| Identity::from_pem(&text)) {
            Some(Ok(identity)) => Some(identity),
            Some(Err(error)) => {
                tracing::warn!(file = %file.display(), %error, "what was kept of an earlier start is no use");
                None
            }
            None => None,
        };
        let of_this_server = |identity: &Identity| {
            token
                .as_ref()
                .is_none_or(|token| token.fingerprint == identity.fingerprint())
        };
        let now = SystemTime::now();
        let identity = match (kept, &token) {
            (Some(kept), _) if of_this_server(&kept) && kept.is_good_for(name, now) => kept,
            (kept, None) => return Err(BadOptions::message(why_not(kept.as_ref(), name, now))),
            (_, Some(token)) => {
                let tls = stranger(token.fingerprint)?;
                let identity = certify(endpoint, name, tls, Some(&token.secret), token.fingerprint).await?;
                private_file::write(&file, &identity.to_pem())?;
                identity
            }
        };
        let config = watch::Sender::new(Arc::new(trust::known(&identity)?));
        Ok(Membership {
            endpoint: endpoint.to_owned(),
            name: name.to_owned(),
            token,
            file,
            identity,
            config,
        })
    }

    /// For connections to the server, for as long as [`keep`](Self::keep) runs.
    pub(super) fn tls(&self) -> RemoteTls {
        RemoteTls {
            config: self.config.subscribe(),
            server_name: Some(server_name()),
        }
    }

    /// Renews the certificate whenever it is time, until `stop`.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let mut pause = None;
        loop {
            let now = SystemTime::now();
            let left = self
                .identity
                .standing()
                .renew_at()
                .duration_since(now)
                .unwrap_or_default();
            let wait = pause.take().unwrap_or(left.min(LOOK_AT_THE_CLOCK));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            if SystemTime::now() < self.identity.standing().renew_at() {
                continue;
            }
            match self.renew().await {
                Ok(()) => tracing::info!(
                    until = shown(self.identity.standing().not_after),
                    "the certificate is renewed"
                ),
                Err(error) => {
                    let until = shown(self.identity.standing().not_after);
                    let error = format!("{error:#}");
                    tracing::warn!(error, until, "the certificate could not be renewed; trying again");
                    pause = Some(self.pause());
                }
            }
        }
    }

    async fn renew(&mut self) -> Result<()> {
        let fingerprint = self.identity.fingerprint();
        let has_ended = !self.identity.is_good_for(&self.name, SystemTime::now());
        // One that has slept too long is a stranger again.
        let (tls, secret) = match &self.token {
            Some(token) if has_ended => (stranger(fingerprint)?, Some(token.secret.as_str())),
            _ => (self.tls(), None),
        };
        let identity = certify(&self.endpoint, &self.name, tls, secret, fingerprint).await?;
        private_file::write(&self.file, &identity.to_pem())?;
        self.config.send_replace(Arc::new(trust::known(&identity)?));
        self.identity = identity;
        Ok(())
    }

    /// A twentieth of the certificate's life: there is time for several tries.
    fn pause(&self) -> Duration {
        let standing = self.identity.standing();
        let lifetime = standing
            .not_after
            .duration_since(standing.not_before)
            .unwrap_or_default();
        (lifetime / 20).clamp(RENEWAL_PAUSES.0, RENEWAL_PAUSES.1)
    }
}

/// Knows the server of this fingerprint, and shows nothing.
pub(crate) fn stranger(fingerprint: Fingerprint) -> Result<RemoteTls> {
    // Nothing changes it.
    let (_, config) = watch::channel(Arc::new(trust::stranger(fingerprint)?));
    Ok(RemoteTls {
        config,
        server_name: Some(server_name()),
    })
}

fn server_name() -> ServerName<'static> {
    ServerName::try_from(trust::SERVER_NAME).expect("it is a name of a host")
}

/// Asks for a certificate of a new key.
async fn certify(
    endpoint: &str,
    name: &str,
    tls: RemoteTls,
    secret: Option<&str>,
    fingerprint: Fingerprint,
) -> Result<Identity> {
    let mut options = RemoteOptions::new(endpoint);
    options.tls = Some(tls);
    let remote = RemoteChannel::connect(options).await.map_err(of_connecting)?;
    let certificate = CertificateRequest::new()?;
    let mut request = Request::new(CertifyRequest {
        name: name.to_owned(),
        certificate_request: certificate.der().to_vec(),
    });
    request.set_timeout(ANSWER_MAX);
    if let Some(secret) = secret {
        let bearer = format!("Bearer {secret}")
            .parse()
            .context("the token cannot be sent")?;
        request.metadata_mut().insert("authorization", bearer);
    }
    let answer = JoiningClient::new(remote.channel()).certify(request).await;
    let CertifyResponse {
        certificate: signed,
        authority,
    } = answer.map_err(refused)?.into_inner();
    Ok(certificate.granted(signed, authority, fingerprint)?)
}

/// What trying again will not mend is marked so.
pub(super) fn of_connecting(error: ConnectError) -> anyhow::Error {
    match error {
        ConnectError::Unreachable { .. } => error.into(),
        ConnectError::Endpoint(_) | ConnectError::Header(_) | ConnectError::NobodyToTrust => {
            BadOptions::mark(error)
        }
    }
}

fn refused(status: tonic::Status) -> anyhow::Error {
    let what = format!("the server does not let this worker join: {}", status.message());
    match status.code() {
        Code::Unauthenticated | Code::InvalidArgument | Code::FailedPrecondition => BadOptions::message(what),
        Code::Unimplemented => {
            BadOptions::message("the server does not know how workers join; it is of another version")
        }
        _ => anyhow::Error::msg(what),
    }
}

/// Why there is no going on without a token.
fn why_not(kept: Option<&Identity>, name: &str, now: SystemTime) -> String {
    let what = match kept {
        Some(kept) if kept.standing().name != name => format!(
            "--token is missing: the certificate that is kept here is for the name `{}`, not for `{name}`",
            kept.standing().name
        ),
        Some(kept) => format!(
            "--token is missing: the certificate that is kept here was good until {}, and now it is {}",
            shown(kept.standing().not_after),
            shown(now)
        ),
        None => "--token is missing".to_owned(),
    };
    format!("{what}; paste the line that `farrier up` prints")
}
