//! What a certificate of ours says: who, from when, until when.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::TrustError;
use crate::moment::of_timestamp;

/// A worker's certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is: the worker's name.
    pub name: String,
    /// Good from here …
    pub not_before: SystemTime,
    /// … to here.
    pub not_after: SystemTime,
}

/// Reads a certificate; who has signed it is not looked at.
pub fn standing(certificate: &CertificateDer<'_>) -> Result<Standing, TrustError> {
    let kept = |reason: String| TrustError::Kept {
        what: "the certificate",
        reason,
    };
    let (_, read) = X509Certificate::from_der(certificate).map_err(|error| kept(error.to_string()))?;
    let mut names = read.subject().iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok());
    let name = name.ok_or_else(|| kept("it has no name".to_owned()))?;
    let validity = read.validity();
    Ok(Standing {
        name: name.to_owned(),
        not_before: of_timestamp(validity.not_before.timestamp()),
        not_after: of_timestamp(validity.not_after.timestamp()),
    })
}

impl Standing {
    /// Whether it counts at this time.
    pub fn is_good_at(&self, now: SystemTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// When to ask for the next: two thirds into its life, so that a server that is away for the last third of it costs
    /// nothing.
    pub fn renew_at(&self) -> SystemTime {
        self.not_before + self.lifetime() / 3 * 2
    }

    fn lifetime(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }
}
