//! Several things in one file, so that they are written together or not at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TrustError;

/// All certificates of a text, in order, and its one key.
pub(crate) fn read(
    what: &'static str,
    text: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TrustError> {
    let kept = |reason: String| TrustError::Kept { what, reason };
    let certificates = certificates(what, text)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| kept(format!("its private key: {error}")))?;
    Ok((certificates, key))
}

/// All certificates of a text, in order; at least one.
pub(crate) fn certificates(
    what: &'static str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let kept = |reason: String| TrustError::Kept { what, reason };
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| kept(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(kept("there is no certificate in it".to_owned())),
        false => Ok(certificates),
    }
}

/// One thing of a file.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
