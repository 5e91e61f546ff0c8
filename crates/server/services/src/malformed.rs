//! What it means for a blob that its compressed form cannot be read.

use blob::{BlobError, Digest};
use compression::DecodeError;

/// The sender's mistake, except when this machine has no memory left.
pub(crate) fn malformed(digest: Digest, error: &DecodeError) -> BlobError {
    match error {
        DecodeError::NoMemory { .. } => {
            std::io::Error::new(std::io::ErrorKind::OutOfMemory, error.to_string()).into()
        }
        error => BlobError::Malformed {
            digest,
            reason: error.to_string(),
        },
    }
}
