//! What travels in the headers of a call.

use prost::Message;
use reapi::execution::RequestMetadata;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::status;

/// Who asks and for what: tool, invocation, target (checklist G11).
pub(crate) const REQUEST_METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// Lets a router see a ByteStream resource name without reading the body (checklist G12).
const RESOURCE_NAME: &str = "build.bazel.remote.execution.v2.resource-name";

/// The request's metadata. It only describes the call, so a malformed one is as good as none.
pub(crate) fn of(metadata: &MetadataMap) -> Option<RequestMetadata> {
    let bytes = metadata.get_bin(REQUEST_METADATA)?.to_bytes().ok()?;
    RequestMetadata::decode(bytes).ok()
}

/// On whose behalf a client asks, in its own words: builds of one user share one part of the farm. Nothing is allowed or
/// refused by it.
const USER: &str = "farrier-user";

/// Longest name of a user that is told apart, in bytes.
const USER_BYTES_MAX: usize = 256;

/// The user that the header names; empty if there is none, or if it is not text.
pub(crate) fn user(metadata: &MetadataMap) -> String {
    let value = metadata.get(USER).and_then(|value| value.to_str().ok());
    let mut user = value.unwrap_or_default().trim().to_owned();
    // Text in a header is ASCII.
    user.truncate(USER_BYTES_MAX);
    user
}

/// The resource name in the header, if there is one.
pub(crate) fn resource_name(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get(RESOURCE_NAME)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// A resource name in the header must be the one in the request.
pub(crate) fn check_resource_name(header: Option<&str>, resource_name: &str) -> Result<(), Status> {
    match header {
        Some(header) if header != resource_name => Err(status::invalid(format!(
            "the header {RESOURCE_NAME} says `{header}`, but the request says `{resource_name}`"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use reapi::execution::ToolDetails;
    use tonic::Request;
    use tonic::metadata::MetadataValue;

    use super::*;

    #[test]
    fn a_user_is_a_short_text() {
        let named = |value: &'static str| {
            let mut request = Request::new(());
            request.metadata_mut().insert(USER, value.parse().unwrap());
            user(request.metadata())
        };
        assert_eq!(user(Request::new(()).metadata()), "");
        assert_eq!(named(" ann@example.com "), "ann@example.com");
        assert_eq!(named("\u{e4}"), "", "not ASCII");
        let long = "x".repeat(2 * USER_BYTES_MAX).leak();
        assert_eq!(named(long).len(), USER_BYTES_MAX);
    }

    #[test]
    fn metadata_is_read_and_a_malformed_one_is_none() {
        let tool_details = Some(ToolDetails {
            tool_name: "bazel".into(),
            ..Default::default()
        });
        let metadata = RequestMetadata {
            tool_details,
            ..Default::default()
        };
        let mut request = Request::new(());
        assert_eq!(of(request.metadata()), None);
        request.metadata_mut().insert_bin(
            REQUEST_METADATA,
            MetadataValue::from_bytes(&metadata.encode_to_vec()),
        );
        assert_eq!(of(request.metadata()), Some(metadata));
        request
            .metadata_mut()
            .insert_bin(REQUEST_METADATA, MetadataValue::from_bytes(b"\xff\xff\xff"));
        assert_eq!(of(request.metadata()), None);
    }
}
