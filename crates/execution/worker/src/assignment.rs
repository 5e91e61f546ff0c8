//! An action given to this worker, checked.

use std::time::Duration;

use action::{Action, ActionDigest, Command};
use blob::{Digest, DigestFunction, InstanceName};
use cas::Invocation;
use prost_types::Timestamp;
use worker_api::v1 as proto;

/// What the server sent with a lease. The server has checked all of it when the client asked; checking again costs
/// little and keeps a wrong server from becoming a broken worker.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) operation_name: String,
    pub(crate) instance: InstanceName,
    pub(crate) function: DigestFunction,
    pub(crate) action_digest: ActionDigest,
    pub(crate) action: Action,
    pub(crate) command: Command,
    /// For the command's run alone (E13).
    pub(crate) timeout: Duration,
    pub(crate) queued: Option<Timestamp>,
    /// The build it is for: calls to the store are made on its behalf (G11).
    pub(crate) invocation: Option<Invocation>,
}

impl Assignment {
    /// For names of directories: who looks at the disk recognises the action.
    pub(crate) fn label(&self) -> String {
        self.action_digest.digest().hash_hex()[..16].to_owned()
    }

    /// Reads a message; the error says what is wrong with it.
    pub(crate) fn from_proto(proto: proto::Assignment) -> Result<Self, String> {
        let function = DigestFunction::of_request(proto.digest_function, proto.action_digest.as_ref())
            .map_err(|error| error.to_string())?;
        let action = proto.action.as_ref().ok_or("Assignment.action is not set")?;
        let command = proto.command.as_ref().ok_or("Assignment.command is not set")?;
        let timeout = proto.timeout.ok_or("Assignment.timeout is not set")?;
        let action_digest =
            Digest::required(function, proto.action_digest.as_ref(), "Assignment.action_digest");
        Ok(Assignment {
            instance: InstanceName::new(&proto.instance_name).map_err(|error| error.to_string())?,
            function,
            action_digest: ActionDigest::new(action_digest.map_err(|error| error.to_string())?),
            action: Action::from_proto(function, action).map_err(|error| error.to_string())?,
            command: Command::from_proto(command).map_err(|error| error.to_string())?,
            timeout: timeout.try_into().map_err(|_| "Assignment.timeout is negative")?,
            queued: proto.queued_timestamp,
            invocation: proto
                .request_metadata
                .and_then(|metadata| Invocation::new(&metadata.tool_invocation_id)),
            operation_name: proto.operation_name,
        })
    }
}
