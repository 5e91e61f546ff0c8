//! What travels in the headers of every call.

use cas::Invocation;
use prost::Message;
use reapi::execution::RequestMetadata;
use thiserror::Error;
use tonic::metadata::{Ascii, Binary, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const AUTHORIZATION: &str = "authorization";
/// Who asks and for what (checklist G11).
const REQUEST_METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// Adds the token and the `RequestMetadata` to each call; also for clients of services that this crate does not
/// speak, such as Execution.
///
/// A call made on behalf of a build ([`Invocation::current`]) names that build, whatever the metadata say: a worker
/// works for many at a time, and what the server promises it promises to the build.
#[derive(Clone, Debug, Default)]
pub struct CallHeaders {
    authorization: Option<MetadataValue<Ascii>>,
    request_metadata: Option<RequestMetadata>,
    /// The same, as it travels.
    encoded: Option<MetadataValue<Binary>>,
}

/// The token cannot travel in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the token holds characters that no header can carry; was it pasted whole, without line breaks?")]
pub struct HeaderError;

impl CallHeaders {
    /// `token` is sent as `authorization: Bearer`.
    pub fn new(token: Option<&str>, request_metadata: Option<&RequestMetadata>) -> Result<Self, HeaderError> {
        let bearer = |token: &str| {
            let mut value: MetadataValue<Ascii> =
                format!("Bearer {token}").parse().map_err(|_| HeaderError)?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(CallHeaders {
            authorization: token.map(bearer).transpose()?,
            encoded: request_metadata.map(encode),
            request_metadata: request_metadata.cloned(),
        })
    }

    fn request_metadata(&self) -> Option<MetadataValue<Binary>> {
        match Invocation::current() {
            None => self.encoded.clone(),
            Some(invocation) => Some(encode(&RequestMetadata {
                tool_invocation_id: invocation.as_str().to_owned(),
                ..self.request_metadata.clone().unwrap_or_default()
            })),
        }
    }
}

fn encode(metadata: &RequestMetadata) -> MetadataValue<Binary> {
    MetadataValue::from_bytes(&metadata.encode_to_vec())
}

impl Interceptor for CallHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request
                .metadata_mut()
                .insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(request_metadata) = self.request_metadata() {
            request
                .metadata_mut()
                .insert_bin(REQUEST_METADATA, request_metadata);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use reapi::execution::ToolDetails;

    use super::*;

    #[test]
    fn token_and_metadata_travel_and_a_broken_token_is_refused() {
        let tool_details = Some(ToolDetails {
            tool_name: "farrier".into(),
            ..Default::default()
        });
        let metadata = RequestMetadata {
            tool_details,
            ..Default::default()
        };
        let mut headers = CallHeaders::new(Some("secret"), Some(&metadata)).unwrap();
        let request = headers.call(Request::new(())).unwrap();
        let sent = request.metadata();
        assert_eq!(sent.get(AUTHORIZATION).unwrap(), "Bearer secret");
        let bytes = sent.get_bin(REQUEST_METADATA).unwrap().to_bytes().unwrap();
        assert_eq!(RequestMetadata::decode(bytes).unwrap(), metadata);
        assert!(
            !format!("{headers:?}").contains("secret"),
            "a token must not reach a log"
        );

        let build = Invocation::new("4f2c");
        let request = Invocation::scope_sync(build, || headers.call(Request::new(()))).unwrap();
        let bytes = request
            .metadata()
            .get_bin(REQUEST_METADATA)
            .unwrap()
            .to_bytes()
            .unwrap();
        let on_behalf = RequestMetadata::decode(bytes).unwrap();
        assert_eq!(on_behalf.tool_invocation_id, "4f2c");
        assert_eq!(on_behalf.tool_details, metadata.tool_details);

        let request = CallHeaders::default().call(Request::new(())).unwrap();
        assert!(request.metadata().is_empty());
        assert_eq!(
            CallHeaders::new(Some("two\nlines"), None).unwrap_err(),
            HeaderError
        );
    }
}
