//! The one place that says what a server's status is to a caller.

use std::io;

use blob::{BlobError, Digest};
use cas::StoreError;
use reapi::rpc;
use tonic::{Code, Status};

/// A call failed for good. `what` is what was being done, on what.
pub(crate) fn store_error(what: &str, status: &Status) -> StoreError {
    match status.code() {
        Code::Unavailable
        | Code::Aborted
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted => StoreError::Unavailable {
            reason: format!("{what}: {}", describe(status)),
        },
        code => StoreError::io(what, io::Error::new(kind(code), describe(status))),
    }
}

/// A blob could not be uploaded.
pub(crate) fn upload_error(digest: &Digest, status: &Status) -> StoreError {
    match status.code() {
        Code::ResourceExhausted => StoreError::NoSpace {
            size_bytes: digest.size_bytes(),
            reason: describe(status),
        },
        _ => store_error(&format!("uploading blob {digest}"), status),
    }
}

/// A blob could not be downloaded to its end.
pub(crate) fn read_error(digest: &Digest, status: &Status) -> BlobError {
    match status.code() {
        // The server found damage, or the blob went away under the reader: either way it is not there any more.
        Code::DataLoss | Code::NotFound => BlobError::Corrupt {
            digest: *digest,
            reason: status.message().to_owned(),
        },
        code => io::Error::new(
            kind(code),
            format!("downloading blob {digest}: {}", describe(status)),
        )
        .into(),
    }
}

/// The status of one blob inside an answer about several.
pub(crate) fn of_entry(status: Option<&rpc::Status>) -> Result<(), Status> {
    match status {
        None => Ok(()),
        Some(status) if status.code == Code::Ok as i32 => Ok(()),
        Some(status) => {
            let details = prost::Message::encode_to_vec(status).into();
            Err(Status::with_details(
                Code::from_i32(status.code),
                status.message.clone(),
                details,
            ))
        }
    }
}

/// What no server should answer.
pub(crate) fn nonsense(message: impl Into<String>) -> Status {
    // A code that is not tried again and stands for nothing else here.
    Status::failed_precondition(format!("the server's answer makes no sense: {}", message.into()))
}

/// Code and message, for people.
fn describe(status: &Status) -> String {
    match status.message() {
        "" => format!("{:?}", status.code()),
        message => format!("{:?}: {message}", status.code()),
    }
}

fn kind(code: Code) -> io::ErrorKind {
    match code {
        Code::PermissionDenied | Code::Unauthenticated => io::ErrorKind::PermissionDenied,
        Code::NotFound => io::ErrorKind::NotFound,
        Code::InvalidArgument | Code::OutOfRange => io::ErrorKind::InvalidInput,
        Code::Unimplemented => io::ErrorKind::Unsupported,
        Code::DataLoss => io::ErrorKind::InvalidData,
        Code::DeadlineExceeded => io::ErrorKind::TimedOut,
        Code::Unavailable | Code::Aborted | Code::Cancelled => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    #[test]
    fn each_code_keeps_its_meaning() {
        let digest = Digest::of(DigestFunction::Sha256, b"x");
        let of = |code| upload_error(&digest, &Status::new(code, "why"));
        assert!(matches!(
            of(Code::ResourceExhausted),
            StoreError::NoSpace { size_bytes: 1, .. }
        ));
        assert!(matches!(of(Code::Unavailable), StoreError::Unavailable { .. }));
        let StoreError::Io { source, .. } = of(Code::Unauthenticated) else {
            panic!("not an I/O error")
        };
        assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        assert!(of(Code::InvalidArgument).to_string().contains("why"));
        assert!(matches!(
            read_error(&digest, &Status::data_loss("")),
            BlobError::Corrupt { .. }
        ));
        assert!(matches!(
            read_error(&digest, &Status::internal("")),
            BlobError::Io(_)
        ));
    }

    #[test]
    fn the_status_of_an_entry_keeps_its_details() {
        assert!(of_entry(None).is_ok());
        assert!(of_entry(Some(&rpc::Status::default())).is_ok());
        let proto = rpc::Status {
            code: Code::Unavailable as i32,
            message: "later".into(),
            details: Vec::new(),
        };
        let status = of_entry(Some(&proto)).unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "later"));
        assert_eq!(
            <rpc::Status as prost::Message>::decode(status.details()).unwrap(),
            proto
        );
    }
}
