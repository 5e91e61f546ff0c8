//! An action whose processes were killed and do not die.

use std::sync::Arc;

use reapi::rpc::Code;
use runner_api::Remains;

use super::Progress;
use super::failure::Failure;
use crate::assignment::Assignment;
use crate::build_directory::BuildDirectory;

/// Takes the action's slot out of service, and keeps its files, for as long as there are remains. Another worker may try
/// the action meanwhile.
pub(super) fn undead(
    assignment: &Assignment,
    message: String,
    remains: Remains,
    progress: &Progress,
    build_directory: Arc<BuildDirectory>,
) -> Failure {
    let action = assignment.action_digest;
    tracing::error!(
        %action,
        "{message}: they are stuck in the kernel, most likely on a file system or a device that does not answer; \
         one slot is out of service until they are dead"
    );
    progress.lose_slot(async move {
        remains.gone().await;
        drop(build_directory);
    });
    Failure::Status(
        Code::Unavailable,
        format!("{message} although they were killed; a slot of this worker is out of service until they do"),
    )
}
