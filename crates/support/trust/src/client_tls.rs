//! TLS from a worker's side: the one server it was told of, and nobody else.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::{Fingerprint, Identity, TrustError, shown};

/// The protocol that both sides speak inside of TLS.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// For a worker that is not known yet: it knows the server by the fingerprint in its token, and shows nothing itself.
pub fn stranger(fingerprint: Fingerprint) -> Result<ClientConfig, TrustError> {
    Ok(finished(trusting(fingerprint)?.with_no_client_auth()))
}

/// For a client that trusts whom the world does, or whom it was told: the authorities of these certificates.
pub fn client(authorities: Vec<CertificateDer<'static>>) -> Result<ClientConfig, TrustError> {
    Ok(finished(trusting_all(authorities)?.with_no_client_auth()))
}

/// The same for one that says itself who it is: by a certificate, with those that lead from it to an authority, and its key.
pub fn client_showing(
    authorities: Vec<CertificateDer<'static>>,
    certificates_pem: &str,
    key_pem: &str,
) -> Result<ClientConfig, TrustError> {
    const WHAT: &str = "the client's certificate";
    let (chain, key) = crate::pem::read(WHAT, &format!("{certificates_pem}\n{key_pem}"))?;
    let config = trusting_all(authorities)?
        .with_client_auth_cert(chain, key)
        .map_err(|error| TrustError::Kept {
            what: WHAT,
            reason: error.to_string(),
        })?;
    Ok(finished(config))
}

fn trusting_all(
    authorities: Vec<CertificateDer<'static>>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TrustError> {
    let failed = |reason: String| TrustError::Make {
        what: "the settings of TLS",
        reason,
    };
    let mut roots = RootCertStore::empty();
    let (taken, _odd) = roots.add_parsable_certificates(authorities);
    if taken == 0 {
        return Err(failed("there is no certificate of an authority".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?;
    Ok(builder.with_root_certificates(roots))
}

/// All certificates of a text in PEM.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    crate::pem::certificates("the certificates", text)
}

/// For a worker that has joined.
pub fn known(identity: &Identity) -> Result<ClientConfig, TrustError> {
    let (chain, key) = identity.shown();
    let config = trusting(identity.fingerprint())?
        .with_client_auth_cert(chain, key)
        .map_err(|error| TrustError::Kept {
            what: "the worker's certificate",
            reason: error.to_string(),
        })?;
    Ok(finished(config))
}

fn trusting(
    fingerprint: Fingerprint,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TrustError> {
    let provider = provider();
    let verifier = OneServer {
        fingerprint,
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Make {
            what: "the settings of TLS",
            reason: error.to_string(),
        })?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn finished(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config
}

/// The one library of cryptography, whatever else may be linked.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Trusts what the authority of this fingerprint has signed for a server.
#[derive(Debug)]
struct OneServer {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.fingerprint)
            .ok_or_else(|| told(Refusal::OtherServer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, algorithms)
            .map_err(|error| in_words(error, now))?;
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Why a server is not trusted, and what to do.
#[derive(Debug)]
enum Refusal {
    OtherServer,
    Clock { now: UnixTime },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::OtherServer => f.write_str(
                "this is not the server that the token is for: it has another certificate authority. If the server's \
                 data directory is new, paste the line that its `farrier up` prints now; if not, somebody else answers \
                 at this address",
            ),
            Refusal::Clock { now } => {
                let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs());
                write!(
                    f,
                    "the server's certificate is not good at {}, which is the time on this machine: set the clock here, \
                     or the server's",
                    shown(now)
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}

fn told(refusal: Refusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

/// A server's certificate is good for decades, so a wrong time is a wrong clock.
fn in_words(error: Error, now: UnixTime) -> Error {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error {
        Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => told(Refusal::Clock { now }),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_client_shows_the_certificate_that_its_key_is_for() {
        let [key, other] = [(), ()].map(|()| KeyPair::generate().unwrap());
        let params = CertificateParams::new(vec!["client.example.org".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let showing = |certificate_pem: &str, key: &KeyPair| {
            client_showing(
                vec![certificate.der().clone()],
                certificate_pem,
                &key.serialize_pem(),
            )
        };
        let plain = client(vec![certificate.der().clone()]).unwrap();
        assert!(!plain.client_auth_cert_resolver.has_certs());
        let config = showing(&certificate.pem(), &key).unwrap();
        assert!(config.client_auth_cert_resolver.has_certs());
        for (certificate_pem, key) in [(certificate.pem().as_str(), &other), ("", &key)] {
            let error = showing(certificate_pem, key).unwrap_err().to_string();
            assert!(error.contains("the client's certificate"), "{error}");
        }
    }
}
