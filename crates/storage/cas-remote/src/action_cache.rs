//! Action results on a server.

use std::sync::Arc;

use action::ActionDigest;
use action_cache::ActionCache;
use async_trait::async_trait;
use blob::InstanceName;
use cas::StoreError;
use reapi::execution::{ActionResult, GetActionResultRequest, UpdateActionResultRequest};
use tonic::Code;

use crate::connection::Connection;
use crate::status;

/// The action cache of one instance. Nothing is asked to be inlined; outputs are read from the store.
///
/// A server takes a result only for an Action and a Command that it has, and only from clients that it lets write
/// (checklist A3).
pub(crate) struct RemoteActionCache {
    connection: Arc<Connection>,
    instance: InstanceName,
}

impl RemoteActionCache {
    pub(crate) fn new(connection: Arc<Connection>, instance: InstanceName) -> Self {
        RemoteActionCache { connection, instance }
    }
}

#[async_trait]
impl ActionCache for RemoteActionCache {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let request = GetActionResultRequest {
            instance_name: self.instance.as_str().to_owned(),
            action_digest: Some(action.to_proto()),
            digest_function: action.function().to_proto() as i32,
            ..Default::default()
        };
        let mut retries = self.connection.retry.start();
        loop {
            let mut client = self.connection.action_cache();
            let call = client.get_action_result(request.clone());
            match self.connection.deadlined(call).await {
                Ok(result) => {
                    retries.succeeded();
                    return Ok(Some(result));
                }
                Err(status) if status.code() == Code::NotFound => {
                    retries.succeeded();
                    return Ok(None);
                }
                Err(status) => retries.again(status).await.map_err(|status| {
                    status::store_error(&format!("reading the result of action {action}"), &status)
                })?,
            }
        }
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let request = UpdateActionResultRequest {
            instance_name: self.instance.as_str().to_owned(),
            action_digest: Some(action.to_proto()),
            action_result: Some(result),
            digest_function: action.function().to_proto() as i32,
            ..Default::default()
        };
        let mut retries = self.connection.retry.start();
        loop {
            let mut client = self.connection.action_cache();
            let call = client.update_action_result(request.clone());
            match self.connection.deadlined(call).await {
                Ok(_result) => {
                    retries.succeeded();
                    return Ok(());
                }
                Err(status) => retries.again(status).await.map_err(|status| {
                    status::store_error(&format!("storing the result of action {action}"), &status)
                })?,
            }
        }
    }
}
