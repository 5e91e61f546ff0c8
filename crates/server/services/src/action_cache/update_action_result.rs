//! `UpdateActionResult`: a client says what an action produced.

use action::{Action, ActionDigest, check_action_result};
use blob::{Digest, DigestFunction, DigestSet};
use cas::BlobStore;
use prost::Message;
use reapi::execution::{self as proto, ActionResult, UpdateActionResultRequest};
use tonic::{Code, Status};

use super::ActionCache;
use crate::limits::{ACTION_BYTES_MAX, ACTION_RESULT_BYTES_MAX};
use crate::{status, whole_blob};

/// The last writer wins. A non-zero exit code is taken as it is; what is not taken is a result that makes no sense, or
/// one of an action nobody can look at (checklist A3, A4).
pub(super) async fn update_action_result(
    service: &ActionCache,
    request: UpdateActionResultRequest,
) -> Result<ActionResult, Status> {
    let name = status::instance_name(&request.instance_name)?;
    let instance = service.instances.get(&name)?;
    if !instance.clients_may_update_action_cache {
        let message = format!(
            "clients may not write to the action cache of instance `{name}` (update_enabled is false)"
        );
        return Err(status::status(Code::PermissionDenied, message));
    }
    let function = DigestFunction::of_request(request.digest_function, request.action_digest.as_ref())
        .map_err(status::digest_error)?;
    let digest = Digest::required(
        function,
        request.action_digest.as_ref(),
        "UpdateActionResultRequest.action_digest",
    )
    .map_err(status::digest_error)?;
    let Some(result) = request.action_result else {
        return Err(status::invalid(
            "UpdateActionResultRequest.action_result is not set",
        ));
    };
    check(function, &result)?;
    let _share = service
        .admission
        .admit(result.encoded_len() as u64 + digest.size_bytes())
        .await?;
    if !instance.actions_are_elsewhere {
        require_action(&*instance.cas, function, digest).await?;
    }
    instance
        .action_cache
        .put(&ActionDigest::new(digest), result.clone())
        .await
        .map_err(status::upload_error)?;
    Ok(result)
}

fn check(function: DigestFunction, result: &ActionResult) -> Result<(), Status> {
    let result_bytes = result.encoded_len();
    if result_bytes > ACTION_RESULT_BYTES_MAX {
        return Err(status::invalid(format!(
            "the result has {result_bytes} bytes; at most {ACTION_RESULT_BYTES_MAX} are taken; inline less, or make \
             output directories of output files"
        )));
    }
    check_action_result(function, result).map_err(status::action_result_error)?;
    Ok(())
}

/// The Action and its Command must have been uploaded; what is missing is said all at once.
async fn require_action(
    store: &dyn BlobStore,
    function: DigestFunction,
    digest: Digest,
) -> Result<(), Status> {
    if digest.size_bytes() > ACTION_BYTES_MAX {
        let message = format!("Action {digest} is larger than the {ACTION_BYTES_MAX} bytes taken here");
        return Err(status::invalid(message));
    }
    let Some(bytes) = whole_blob::read(store, &digest)
        .await
        .map_err(status::store_error)?
    else {
        return Err(status::missing_blobs(&DigestSet::from(digest)));
    };
    let action = proto::Action::decode(bytes)
        .map_err(|error| status::invalid(format!("blob {digest} is not a valid Action: {error}")))?;
    let action = Action::from_proto(function, &action).map_err(status::action_error)?;
    let command = DigestSet::from(action.command_digest());
    let missing = store.find_missing(&command).await.map_err(status::store_error)?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(status::missing_blobs(&missing))
    }
}
