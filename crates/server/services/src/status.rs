//! The one place that says what an error is to a client: a gRPC status, with the codes the checklist asks for.

use action::{ActionError, ActionResultError, CommandError};
use blob::{BlobError, Digest, DigestError, DigestSet, InstanceName, InstanceNameError, ResourceNameError};
use bytes::Bytes;
use cas::StoreError;
use prost::Message;
use reapi::rpc;
use tonic::{Code, Status};

use crate::instances::UnknownInstance;
use crate::limits::{RETRY_DELAY, STATUS_DETAILS_BYTES_MAX, STATUS_MESSAGE_BYTES_MAX};

/// The client's mistake.
pub(crate) fn invalid(message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, message)
}

/// Any status, its message cut to what fits a header.
pub(crate) fn status(code: Code, message: impl Into<String>) -> Status {
    let mut message = message.into();
    if message.len() > STATUS_MESSAGE_BYTES_MAX {
        let end = (0..=STATUS_MESSAGE_BYTES_MAX)
            .rev()
            .find(|end| message.is_char_boundary(*end))
            .unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    Status::new(code, message)
}

/// Reads an instance name off a request.
pub(crate) fn instance_name(name: &str) -> Result<InstanceName, Status> {
    InstanceName::new(name).map_err(|error: InstanceNameError| invalid(error.to_string()))
}

/// Loud on purpose: NOT_FOUND would be taken for a cache miss or a missing blob, and a misspelt instance would only
/// be slow.
impl From<UnknownInstance> for Status {
    fn from(error: UnknownInstance) -> Self {
        invalid(error.to_string())
    }
}

/// Malformed digests are the client's mistake (checklist G5, G6).
pub(crate) fn digest_error(error: DigestError) -> Status {
    invalid(error.to_string())
}

/// Malformed resource names are the client's mistake (B1, B2).
pub(crate) fn resource_name_error(error: ResourceNameError) -> Status {
    invalid(error.to_string())
}

/// Not an Action.
pub(crate) fn action_error(error: ActionError) -> Status {
    invalid(error.to_string())
}

/// Not a Command that can be run.
pub(crate) fn command_error(error: CommandError) -> Status {
    invalid(error.to_string())
}

/// Not an ActionResult that may be stored.
pub(crate) fn action_result_error(error: ActionResultError) -> Status {
    invalid(error.to_string())
}

/// What a store could not do, when what it was given is not at fault.
pub(crate) fn store_error(error: StoreError) -> Status {
    let code = match &error {
        StoreError::Blob(error) => return read_error(error.clone()),
        StoreError::TooLarge { .. } => Code::InvalidArgument,
        StoreError::NoSpace { .. } => return overloaded(error.to_string()),
        StoreError::ReadOnly { .. } => Code::PermissionDenied,
        StoreError::OutOfRange { .. } => Code::OutOfRange,
        StoreError::Unavailable { .. } => Code::Unavailable,
        StoreError::Io { .. } => Code::Internal,
    };
    status(code, error.to_string())
}

/// What went wrong with bytes from a store: never the client's mistake (B17).
pub(crate) fn read_error(error: BlobError) -> Status {
    let code = match &error {
        BlobError::WrongSize { .. } | BlobError::WrongHash { .. } | BlobError::Corrupt { .. } => {
            Code::DataLoss
        }
        BlobError::Malformed { .. } => Code::DataLoss,
        BlobError::TooLarge { .. } => Code::InvalidArgument,
        BlobError::Io(_) => Code::Internal,
    };
    status(code, error.to_string())
}

/// What a store could not do with what a client sent: bytes that are not the blob are the client's mistake (S4, B10).
pub(crate) fn upload_error(error: StoreError) -> Status {
    match error {
        StoreError::Blob(
            error @ (BlobError::WrongSize { .. } | BlobError::WrongHash { .. } | BlobError::Malformed { .. }),
        ) => invalid(error.to_string()),
        other => store_error(other),
    }
}

/// Over `max_cas_blob_size_bytes` (C3, B11).
pub(crate) fn blob_too_large(digest: &Digest, blob_size_bytes_max: u64) -> Status {
    let size_bytes = digest.size_bytes();
    invalid(format!(
        "blob {digest} has {size_bytes} bytes; at most {blob_size_bytes_max} are taken here (max_cas_blob_size_bytes)"
    ))
}

/// No room just now: RESOURCE_EXHAUSTED, with a hint when to try again (G1).
pub(crate) fn overloaded(message: impl Into<String>) -> Status {
    let retry = rpc::RetryInfo {
        retry_delay: prost_types::Duration::try_from(RETRY_DELAY).ok(),
    };
    let plain = status(Code::ResourceExhausted, message);
    let proto = rpc::Status {
        code: Code::ResourceExhausted as i32,
        message: plain.message().to_owned(),
        details: prost_types::Any::from_msg(&retry).into_iter().collect(),
    };
    with_details(&proto)
}

/// FAILED_PRECONDITION with one `MISSING` violation for each blob and no other detail, so that Bazel uploads them
/// and tries again (G1, E3). As many as fit a header are listed; where there may be more, put
/// [`action::missing_blobs_status`] into an `ExecuteResponse` instead.
pub(crate) fn missing_blobs(missing: &DigestSet) -> Status {
    let mut listed = missing.len();
    loop {
        let some: DigestSet = missing.iter().take(listed).copied().collect();
        let mut proto = action::missing_blobs_status(&some);
        if listed < missing.len() {
            proto.message = format!(
                "{} blobs are missing, of which {listed} are listed",
                missing.len()
            );
        }
        if proto.encoded_len() <= STATUS_DETAILS_BYTES_MAX || listed <= 1 {
            return with_details(&proto);
        }
        listed /= 2;
    }
}

/// A status whose details a client can read.
pub(crate) fn with_details(proto: &rpc::Status) -> Status {
    let details = Bytes::from(proto.encode_to_vec());
    let plain = status(Code::from_i32(proto.code), proto.message.clone());
    Status::with_details(plain.code(), plain.message(), details)
}

/// The same, as it travels inside a response for one of several blobs.
pub(crate) fn to_proto(status: &Status) -> rpc::Status {
    rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    fn missing(count: u32) -> DigestSet {
        (0..count)
            .map(|i| Digest::of(DigestFunction::Blake3, &i.to_le_bytes()))
            .collect()
    }

    fn violations(status: &Status) -> Vec<String> {
        let proto = rpc::Status::decode(status.details()).unwrap();
        let [any] = &proto.details[..] else {
            panic!("one detail, found {}", proto.details.len())
        };
        let failure: rpc::PreconditionFailure = any.to_msg().unwrap();
        failure
            .violations
            .into_iter()
            .map(|violation| violation.subject)
            .collect()
    }

    #[test]
    fn g1_e3_missing_blobs_are_listed_and_nothing_else_is_attached() {
        let some = missing(3);
        let status = missing_blobs(&some);
        assert_eq!(status.code(), Code::FailedPrecondition);
        let subjects: Vec<String> = some
            .iter()
            .map(|digest| format!("blobs/blake3/{}/4", digest.hash_hex()))
            .collect();
        assert_eq!(violations(&status), subjects);
    }

    #[test]
    fn g14_a_status_stays_within_what_clients_take_as_headers() {
        let many = missing_blobs(&missing(100_000));
        assert!(many.message().contains("100000"), "{many}");
        let listed = violations(&many).len();
        assert!((20..100).contains(&listed), "{listed} are listed");
        for status in [many, invalid("é".repeat(5000)), overloaded("x".repeat(5000))] {
            let (message_bytes, details_bytes) = (status.message().len(), status.details().len());
            assert!(
                message_bytes <= STATUS_MESSAGE_BYTES_MAX + 3 && details_bytes <= STATUS_DETAILS_BYTES_MAX
            );
        }
    }

    #[test]
    fn the_client_is_blamed_for_what_it_sent_and_only_for_that() {
        let digest = Digest::of(DigestFunction::Sha256, b"x");
        let wrong = || {
            StoreError::from(BlobError::WrongSize {
                expected: digest,
                size_bytes: 2,
            })
        };
        assert_eq!(upload_error(wrong()).code(), Code::InvalidArgument);
        assert_eq!(store_error(wrong()).code(), Code::DataLoss);
        let too_large = StoreError::TooLarge {
            digest,
            size_bytes_max: 0,
        };
        assert_eq!(upload_error(too_large).code(), Code::InvalidArgument);
        let full = StoreError::NoSpace {
            size_bytes: 1,
            reason: "full".into(),
        };
        assert_eq!(upload_error(full).code(), Code::ResourceExhausted);
        let disk = || StoreError::io("reading", std::io::Error::other("EIO"));
        assert_eq!(
            (upload_error(disk()).code(), store_error(disk()).code()),
            (Code::Internal, Code::Internal)
        );
    }
}
