//! gRPC by hand, for the calls that carry most of the bytes and most of the digests.
//!
//! What is generated copies each message into one buffer on its way in and out, and makes a `String` of each hash. Here
//! bytes stay where the connection put them (`messages.rs`), payloads go out as they came from the store
//! (`answers.rs`), and digests are read off the wire (`wire.rs`, `digests.rs`). Everything else stays generated: other
//! calls, and calls whose messages are compressed by gRPC (checklist B18).

pub(crate) mod answers;
pub(crate) mod deadline;
pub(crate) mod digests;
pub(crate) mod messages;
pub(crate) mod pieces;
pub(crate) mod wire;

use http::{HeaderMap, Request};
use tonic::body::Body;

const ENCODING: &str = "grpc-encoding";

/// One byte for the compression flag, four for the length.
pub(crate) const PREFIX_BYTES: usize = 5;

/// Whether the messages of this call may be compressed by gRPC: those go through the generated code.
pub(crate) fn is_compressed(request: &Request<Body>) -> bool {
    says_compressed(request.headers())
}

fn says_compressed(headers: &HeaderMap) -> bool {
    headers
        .get(ENCODING)
        .is_some_and(|encoding| encoding != "identity")
}
