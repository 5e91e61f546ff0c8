//! What a worker keeps after it has joined: its key, its certificate, and whose server it trusts.

use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Fingerprint, Standing, TrustError, pem, standing};

/// Longest name of a worker, in bytes. Certificates of the world's authorities have no more than 64; ours have.
pub const NAME_BYTES_MAX: usize = 1024;

/// A key that was just made, and the request for its certificate.
pub struct CertificateRequest {
    key: KeyPair,
    der: Vec<u8>,
}

impl CertificateRequest {
    /// With a new key.
    pub fn new() -> Result<Self, TrustError> {
        let failed = TrustError::make("a key");
        let key = KeyPair::generate().map_err(&failed)?;
        let request = CertificateParams::default()
            .serialize_request(&key)
            .map_err(&failed)?;
        let der = request.der().to_vec();
        Ok(CertificateRequest { key, der })
    }

    /// PKCS #10, signed by the key.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What the server signed, with the key, and with the authority that it is trusted by.
    pub fn granted(
        self,
        certificate: Vec<u8>,
        authority: Vec<u8>,
        expected: Fingerprint,
    ) -> Result<Identity, TrustError> {
        let refused = |reason: String| TrustError::Answer { reason };
        let (certificate, authority) = (CertificateDer::from(certificate), CertificateDer::from(authority));
        if Fingerprint::of(&authority) != expected {
            return Err(refused("another authority has signed it".to_owned()));
        }
        let standing = standing(&certificate).map_err(|error| refused(error.to_string()))?;
        Ok(Identity {
            authority,
            certificate,
            key: self.key.into(),
            standing,
        })
    }
}

/// A worker that may come in.
pub struct Identity {
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    standing: Standing,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity {
            authority: self.authority.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            standing: self.standing.clone(),
        }
    }
}

impl Identity {
    /// As [`to_pem`](Self::to_pem) wrote it.
    pub fn from_pem(text: &str) -> Result<Self, TrustError> {
        const WHAT: &str = "the worker's certificate";
        let (certificates, key) = pem::read(WHAT, text)?;
        let [certificate, authority] =
            <[CertificateDer<'static>; 2]>::try_from(certificates).map_err(|found| TrustError::Kept {
                what: WHAT,
                reason: format!("there are {} certificates instead of 2", found.len()),
            })?;
        let standing = standing(&certificate)?;
        Ok(Identity {
            authority,
            certificate,
            key,
            standing,
        })
    }

    /// Certificate, authority and key, to be kept where nobody else can read it.
    pub fn to_pem(&self) -> String {
        [
            pem::block("CERTIFICATE", &self.certificate),
            pem::block("CERTIFICATE", &self.authority),
            pem::block("PRIVATE KEY", self.key.secret_der()),
        ]
        .concat()
    }

    /// Who it is, and how long.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whose server it trusts.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// Whether it can be shown under this name and at this time.
    pub fn is_good_for(&self, name: &str, now: SystemTime) -> bool {
        self.standing.name == name && now <= self.standing.not_after
    }

    pub(crate) fn shown(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate.clone()], self.key.clone_key())
    }
}

/// Names go into certificates and logs.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a worker's name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    match name.chars().any(char::is_control) {
        true => Err("a worker's name has no control characters".to_owned()),
        false => Ok(()),
    }
}
