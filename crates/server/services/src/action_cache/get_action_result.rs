//! `GetActionResult`: what an action produced before.

use action::ActionDigest;
use blob::{Digest, DigestFunction};
use prost::Message;
use reapi::execution::{ActionResult, GetActionResultRequest};
use tonic::{Code, Status};

use super::ActionCache;
use super::inline::{Hints, inline};
use crate::limits::{INLINED_RESULT_BYTES_MAX, RESPONSE_BYTES_MAX};
use crate::status;

/// NOT_FOUND is the ordinary answer for an action nobody ran. That everything a result refers to is there (checklist
/// A1) is the business of the cache: it is wrapped in `complete_only`.
pub(super) async fn get_action_result(
    service: &ActionCache,
    request: GetActionResultRequest,
) -> Result<ActionResult, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let function = DigestFunction::of_request(request.digest_function, request.action_digest.as_ref())
        .map_err(status::digest_error)?;
    let digest = Digest::required(
        function,
        request.action_digest.as_ref(),
        "GetActionResultRequest.action_digest",
    )
    .map_err(status::digest_error)?;
    let found = instance
        .action_cache
        .get(&ActionDigest::new(digest))
        .await
        .map_err(status::store_error)?;
    let Some(mut result) = found else {
        return Err(status::status(
            Code::NotFound,
            format!("no result of action {digest} is cached"),
        ));
    };
    let hints = Hints {
        stdout: request.inline_stdout,
        stderr: request.inline_stderr,
        files: request.inline_output_files.into_iter().collect(),
    };
    let _share = service.admission.admit(INLINED_RESULT_BYTES_MAX as u64).await?;
    inline(&*instance.cas, function, &mut result, &hints).await?;
    if result.encoded_len() > RESPONSE_BYTES_MAX {
        // Doors refuse such results, so this one came another way. Running the action again is all a client can do.
        tracing::warn!(action = %digest, bytes = result.encoded_len(), "a cached result is too large to be sent");
        let message = format!("the cached result of action {digest} is too large for a message");
        return Err(status::status(Code::NotFound, message));
    }
    Ok(result)
}
