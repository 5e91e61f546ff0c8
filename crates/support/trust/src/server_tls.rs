//! TLS from the server's side: one port for workers, whom we know, and for clients, who know us by a certificate that
//! the world's authorities have signed.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};

use crate::authority::ServerIdentity;
use crate::client_tls::{ALPN_H2, provider};
use crate::moment::unix;
use crate::{Authority, SERVER_NAME, TrustError, pem, standing};

/// What clients see that ask for the server by any other name than workers do.
#[derive(Debug)]
pub struct FrontDoor(Arc<CertifiedKey>);

/// Of files as `openssl` and certificate authorities write them: the certificate with those that lead from it to an
/// authority, and its key.
pub fn front_door(certificates_pem: &str, key_pem: &str) -> Result<FrontDoor, TrustError> {
    const WHAT: &str = "the certificate for clients";
    let (chain, key) = pem::read(WHAT, &format!("{certificates_pem}\n{key_pem}"))?;
    Ok(FrontDoor(certified(WHAT, chain, key)?))
}

/// For one start of a server. Who shows no certificate comes in too: what he may do is for the services to say.
pub fn server_config(
    authority: &Authority,
    front_door: Option<FrontDoor>,
    now: SystemTime,
) -> Result<ServerConfig, TrustError> {
    let failed = |reason: String| TrustError::Make {
        what: "the settings of TLS",
        reason,
    };
    let ServerIdentity { chain, key } = authority.server_identity(now)?;
    let resolver = ByName {
        workers: certified("the server's certificate", chain, key)?,
        clients: front_door.map(|FrontDoor(key)| key),
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .map_err(|error| failed(error.to_string()))?;
    let ours = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_client_cert_verifier(Arc::new(AtAnyTime(ours)))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    Ok(config)
}

fn certified(
    what: &'static str,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, TrustError> {
    let kept = |error: Error| TrustError::Kept {
        what,
        reason: error.to_string(),
    };
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(kept)?;
    Ok(Arc::new(certified))
}

#[derive(Debug)]
struct ByName {
    workers: Arc<CertifiedKey>,
    clients: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match (&self.clients, hello.server_name()) {
            (Some(clients), name) if name != Some(SERVER_NAME) => Some(clients.clone()),
            _ => Some(self.workers.clone()),
        }
    }
}

/// Looks at who signed a worker's certificate, and leaves to the services whether it is still good: there somebody can be
/// told what to do, where TLS has only a number for it. Without a good certificate one is nobody, as without any.
#[derive(Debug)]
struct AtAnyTime(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AtAnyTime {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = match standing(end_entity) {
            // Anybody may show anything here, also a time that ends before it begins.
            Ok(standing) => now.max(unix(standing.not_before)).min(unix(standing.not_after)),
            // Not one of ours; the other look says so.
            Err(_) => now,
        };
        self.0.verify_client_cert(end_entity, intermediates, at)
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
