//! `farrier.worker.v1.Joining`: a token, or a certificate that is still good, becomes a certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tonic::{Request, Response, Status};
use trust::{Authority, TrustError};
use worker_api::v1 as proto;
use worker_api::v1::joining_server::Joining;

use crate::peer::{Peer, authorise};

/// Longest request for a certificate, in bytes. One with the largest key there is takes less than half.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// Signs for workers.
#[derive(Clone)]
pub struct JoiningDoor {
    authority: Arc<Authority>,
    secret: Arc<str>,
    lifetime: Duration,
}

impl JoiningDoor {
    /// `secret` is that of the token. Certificates are good for `lifetime`.
    pub fn new(authority: Arc<Authority>, secret: &str, lifetime: Duration) -> Self {
        JoiningDoor {
            authority,
            secret: secret.into(),
            lifetime,
        }
    }
}

#[tonic::async_trait]
impl Joining for JoiningDoor {
    async fn certify(
        &self,
        request: Request<proto::CertifyRequest>,
    ) -> Result<Response<proto::CertifyResponse>, Status> {
        let now = SystemTime::now();
        let peer = Peer::of_call(&request);
        if !matches!(peer, Peer::Tls { .. }) {
            return Err(Status::failed_precondition(
                "certificates are given out over TLS only; a farrier of this version joins so by itself",
            ));
        }
        let renews = peer.certified_name(now) == Some(request.get_ref().name.as_str());
        if !renews {
            authorise(&request, &self.secret)?;
        }
        let proto::CertifyRequest {
            name,
            certificate_request,
        } = request.into_inner();
        if certificate_request.len() > REQUEST_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "a request for a certificate has at most {REQUEST_BYTES_MAX} bytes"
            )));
        }
        let signed = self
            .authority
            .certify(&certificate_request, &name, now, self.lifetime);
        let certificate = signed.map_err(|error| match error {
            TrustError::Request { .. } => Status::invalid_argument(error.to_string()),
            error => Status::internal(error.to_string()),
        })?;
        match renews {
            true => tracing::info!(worker = name, "a worker has renewed its certificate"),
            false => tracing::info!(worker = name, "a worker has joined"),
        }
        Ok(Response::new(proto::CertifyResponse {
            certificate: certificate.to_vec(),
            authority: self.authority.certificate().to_vec(),
        }))
    }
}
