//! What goes wrong with keys and certificates.

use thiserror::Error;

/// Why there is no authority, identity or certificate.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A key or a certificate could not be made.
    #[error("cannot make {what}: {reason}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// The library's words.
        reason: String,
    },
    /// What was kept in a file is not what was written there.
    #[error("{what} cannot be read: {reason}")]
    Kept {
        /// What was to be there.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody asks for a certificate in a way that cannot be granted.
    #[error("this is no request for a worker's certificate: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
    /// What the server has signed is not what was asked for.
    #[error("the server's answer is no certificate for this worker: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
}

impl TrustError {
    pub(crate) fn make(what: &'static str) -> impl Fn(rcgen::Error) -> Self {
        move |error| TrustError::Make {
            what,
            reason: error.to_string(),
        }
    }
}
