//! The server's own certificate authority. It signs for its workers and for nobody else.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};

use crate::identity::check_name;
use crate::{Fingerprint, SERVER_NAME, TrustError, pem};

/// How long an authority and its server's certificates are good: who wants an end to them makes a new authority.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// How far the clock of a machine may be behind the server's without being noticed.
const CLOCK_SLACK: Duration = Duration::from_secs(24 * 3600);
/// The longest life of a worker's certificate.
const LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A key and its certificate. Whoever has the key is the server to every worker.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// What a server shows: certificates, its own first, and the key to its own.
pub(crate) struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new one.
    pub fn new(now: SystemTime) -> Result<Self, TrustError> {
        let failed = TrustError::make("a certificate authority");
        let key = KeyPair::generate().map_err(&failed)?;
        let mut params = named("farrier workers");
        (params.not_before, params.not_after) =
            ((now - CLOCK_SLACK).into(), (now + AUTHORITY_LIFETIME).into());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(&failed)?;
        Authority::from_pem(&format!("{}{}", certificate.pem(), key.serialize_pem()))
    }

    /// As [`to_pem`](Self::to_pem) wrote it.
    pub fn from_pem(text: &str) -> Result<Self, TrustError> {
        const WHAT: &str = "the certificate authority";
        let kept = |error: rcgen::Error| TrustError::Kept {
            what: WHAT,
            reason: error.to_string(),
        };
        let (certificates, key) = pem::read(WHAT, text)?;
        let certificate = certificates.into_iter().next().expect("there is at least one");
        let key = KeyPair::try_from(&key).map_err(kept)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(kept)?;
        Ok(Authority {
            issuer,
            certificate,
            pem: text.to_owned(),
        })
    }

    /// Certificate and key, to be kept where nobody else can read it.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// Who this is.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs for a worker of this name, whose key the request proves to be there. Nothing else of the request counts:
    /// what the certificate may be used for is not the worker's to say.
    pub fn certify(
        &self,
        request_der: &[u8],
        name: &str,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let refused = |reason: String| TrustError::Request { reason };
        check_name(name).map_err(refused)?;
        let request = CertificateSigningRequestDer::from(request_der);
        let request = CertificateSigningRequestParams::from_der(&request)
            .map_err(|error| refused(error.to_string()))?;
        let mut params = named(name);
        // Its own clock says when it ends, but a worker's that is a little late must not find it in the future.
        params.not_before = now.into();
        params.not_after = (now + lifetime.min(LIFETIME_MAX)).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let failed = TrustError::make("a worker's certificate");
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(failed)?;
        Ok(certificate.der().clone())
    }

    /// A certificate and a key for the server itself, in memory only: the next start makes others.
    pub(crate) fn server_identity(&self, now: SystemTime) -> Result<ServerIdentity, TrustError> {
        let failed = TrustError::make("the server's certificate");
        let key = KeyPair::generate().map_err(&failed)?;
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).map_err(&failed)?;
        params.distinguished_name = named("farrier server").distinguished_name;
        (params.not_before, params.not_after) =
            ((now - CLOCK_SLACK).into(), (now + AUTHORITY_LIFETIME).into());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = params.signed_by(&key, &self.issuer).map_err(&failed)?;
        Ok(ServerIdentity {
            // With the authority's, for those who know it by its fingerprint only.
            chain: vec![own.der().clone(), self.certificate.clone()],
            key: key.into(),
        })
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
