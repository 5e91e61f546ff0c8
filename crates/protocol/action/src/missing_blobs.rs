//! Saying which blobs are missing so that clients understand it.

use blob::{Digest, DigestSet, ReadName};
use prost_types::Any;
use reapi::rpc::precondition_failure::Violation;
use reapi::rpc::{Code, PreconditionFailure, Status};

use crate::limits::MISSING_BLOBS_NAMED_MAX;

const MISSING: &str = "MISSING";

/// `FAILED_PRECONDITION` with one violation of type `MISSING` per blob (checklist E3), and nothing else attached:
/// Bazel uploads again only if it understands every detail (G1). At most [`MISSING_BLOBS_NAMED_MAX`] are named.
///
/// Meant for `ExecuteResponse.status`. As the status of a call it travels in HTTP trailers, where many clients
/// accept only a few kilobytes.
pub fn missing_blobs_status(missing: &DigestSet) -> Status {
    let named = &missing.as_slice()[..missing.len().min(MISSING_BLOBS_NAMED_MAX)];
    let failure = PreconditionFailure {
        violations: named.iter().map(violation).collect(),
    };
    let detail = Any::from_msg(&failure).expect("a message always encodes into memory");
    Status {
        code: Code::FailedPrecondition as i32,
        message: message(missing),
        details: vec![detail],
    }
}

/// The blobs that such a status names. Empty if it is any other status. Subjects that are not blobs of a digest
/// function known here are left out.
pub fn missing_blobs_in(status: &Status) -> DigestSet {
    if status.code != Code::FailedPrecondition as i32 {
        return DigestSet::default();
    }
    let failures = status
        .details
        .iter()
        .filter_map(|detail| detail.to_msg::<PreconditionFailure>().ok());
    failures
        .flat_map(|failure| failure.violations)
        .filter_map(|violation| missing_blob(&violation))
        .collect()
}

fn violation(digest: &Digest) -> Violation {
    Violation {
        r#type: MISSING.to_owned(),
        subject: format!("blobs/{digest}"),
        description: String::new(),
    }
}

fn missing_blob(violation: &Violation) -> Option<Digest> {
    if violation.r#type != MISSING {
        return None;
    }
    // Some servers put the instance name in front, though they should not; it does not matter here.
    ReadName::parse(&violation.subject).ok().map(|name| name.digest)
}

fn message(missing: &DigestSet) -> String {
    match missing.as_slice() {
        [] => "blobs are missing from the content-addressable storage".to_owned(),
        [one] => {
            format!("blob {one} is missing from the content-addressable storage; upload it and execute again")
        }
        [first, ..] => format!(
            "{} blobs are missing from the content-addressable storage, {first} among them; upload them and execute \
             again",
            missing.len()
        ),
    }
}
