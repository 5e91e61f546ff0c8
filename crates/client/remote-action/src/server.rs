//! A server, connected.

use std::sync::Arc;

use action::ActionDigest;
use anyhow::{Context, Result};
use blob::{DigestFunction, InstanceName};
use cas::BlobStore;
use cas_remote::{CallHeaders, RemoteChannel};
use reapi::execution::RequestMetadata;

/// A server, an instance of it, and who asks.
#[derive(Clone)]
pub struct Server {
    /// The connection.
    pub remote: RemoteChannel,
    /// The blobs of the instance.
    pub store: Arc<dyn BlobStore>,
    /// The instance.
    pub instance: InstanceName,
    /// The function of all digests.
    pub function: DigestFunction,
    /// Who asks, for the server's logs and pages.
    pub request_metadata: RequestMetadata,
}

impl Server {
    /// The headers of calls about one action (checklist G11).
    pub fn headers(&self, action: &ActionDigest) -> Result<CallHeaders> {
        let metadata = RequestMetadata {
            action_id: action.digest().hash_hex(),
            ..self.request_metadata.clone()
        };
        CallHeaders::new(None, Some(&metadata)).context("cannot describe the action in the headers of a call")
    }
}
