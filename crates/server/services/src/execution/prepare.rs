//! From an action digest to work that can be queued: everything is fetched and checked before anything runs.

use std::time::Duration;

use action::{Action, ActionDigest, Command, Platform};
use blob::{Digest, DigestSet};
use cas::BlobStore;
use cas::tree::{TreeError, fetch_input_tree, read_all};
use merkle::InputTree;
use prost::Message;
use reapi::execution as proto;
use tonic::Status;

use crate::limits::{ACTION_BYTES_MAX, COMMAND_BYTES_MAX};
use crate::status;

/// Why an action cannot be queued.
pub(crate) enum Unprepared {
    /// Everything that is not stored, to be uploaded and tried again.
    Missing(DigestSet),
    /// Anything else.
    Refused(Status),
}

impl From<Status> for Unprepared {
    fn from(status: Status) -> Self {
        Unprepared::Refused(status)
    }
}

/// What `Execute` needs of an action, all of it checked.
pub(crate) struct Prepared {
    pub(crate) action: Action,
    pub(crate) action_proto: proto::Action,
    pub(crate) command_proto: proto::Command,
    pub(crate) platform: Platform,
    pub(crate) timeout: Duration,
}

/// How long actions may run.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For actions that name none.
    pub default: Duration,
    /// Longest that may be asked for; more is refused (checklist E13).
    pub max: Duration,
}

/// Fetches the action and everything it refers to. Whatever is missing is reported at once, all of it (E3).
pub(crate) async fn prepare(
    store: &dyn BlobStore,
    action_digest: &ActionDigest,
    timeouts: Timeouts,
) -> Result<Prepared, Unprepared> {
    let digest = action_digest.digest();
    let Some(action_proto) = fetch::<proto::Action>(store, &digest, ACTION_BYTES_MAX, "Action").await? else {
        return Err(Unprepared::Missing(DigestSet::from(digest)));
    };
    let action = Action::from_proto(digest.function(), &action_proto).map_err(status::action_error)?;
    let command_digest = action.command_digest();
    let (command_proto, tree) = futures::try_join!(
        fetch::<proto::Command>(store, &command_digest, COMMAND_BYTES_MAX, "Command"),
        async {
            fetch_input_tree(store, action.input_root_digest())
                .await
                .map_err(tree_error)
        },
    )?;
    let missing = missing_inputs(store, &action, command_proto.is_some(), &tree).await?;
    let Some(command_proto) = command_proto.filter(|_| missing.is_empty()) else {
        return Err(Unprepared::Missing(missing));
    };
    let command = Command::from_proto(&command_proto).map_err(status::command_error)?;
    check_working_directory(&command, &tree)?;
    let timeout = resolve_timeout(action.timeout(), timeouts)?;
    let platform = Platform::of(&action, &command);
    Ok(Prepared {
        action,
        action_proto,
        command_proto,
        platform,
        timeout,
    })
}

/// It must be there: creating it would hide a client's mistake (checklist E19).
fn check_working_directory(command: &Command, tree: &InputTree) -> Result<(), Status> {
    let path = command.working_directory().to_string();
    match tree.directory_at(&path) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(status::invalid(format!(
            "working_directory `{path}` is not a directory of the input root"
        ))),
        Err(error) => Err(status::invalid(format!("working_directory `{path}`: {error}"))),
    }
}

async fn missing_inputs(
    store: &dyn BlobStore,
    action: &Action,
    has_command: bool,
    tree: &InputTree,
) -> Result<DigestSet, Status> {
    let missing_files = store
        .find_missing(tree.files())
        .await
        .map_err(status::store_error)?;
    let missing_command = (!has_command).then_some(action.command_digest());
    Ok(missing_command
        .into_iter()
        .chain(tree.missing().iter().copied())
        .chain(missing_files)
        .collect())
}

async fn fetch<M: Message + Default>(
    store: &dyn BlobStore,
    digest: &Digest,
    size_bytes_max: u64,
    kind: &str,
) -> Result<Option<M>, Status> {
    if digest.size_bytes() > size_bytes_max {
        let message = format!("{kind} {digest} is larger than the {size_bytes_max} bytes taken here");
        return Err(status::invalid(message));
    }
    let Some(bytes) = read_all(store, digest, size_bytes_max)
        .await
        .map_err(status::store_error)?
    else {
        return Ok(None);
    };
    let message = M::decode(bytes)
        .map_err(|error| status::invalid(format!("blob {digest} is not a valid {kind}: {error}")))?;
    Ok(Some(message))
}

fn tree_error(error: TreeError) -> Status {
    match error {
        TreeError::Store { source, .. } => status::store_error(source),
        other => status::invalid(format!("the input root is malformed: {other}")),
    }
}

/// Absent, or zero as clients write "none", means the default; more than the maximum must be refused, not cut (checklist E13).
fn resolve_timeout(asked: Option<Duration>, timeouts: Timeouts) -> Result<Duration, Status> {
    match asked {
        None | Some(Duration::ZERO) => Ok(timeouts.default),
        Some(timeout) if timeout > timeouts.max => Err(status::invalid(format!(
            "the action's timeout of {} s is longer than the {} s allowed here",
            timeout.as_secs(),
            timeouts.max.as_secs()
        ))),
        Some(timeout) => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_defaulted_or_refused_never_cut() {
        let seconds = Duration::from_secs;
        let timeouts = Timeouts {
            default: seconds(10),
            max: seconds(100),
        };
        assert_eq!(resolve_timeout(None, timeouts).unwrap(), seconds(10));
        assert_eq!(resolve_timeout(Some(seconds(0)), timeouts).unwrap(), seconds(10));
        assert_eq!(
            resolve_timeout(Some(seconds(100)), timeouts).unwrap(),
            seconds(100)
        );
        let refused = resolve_timeout(Some(seconds(101)), timeouts).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}
