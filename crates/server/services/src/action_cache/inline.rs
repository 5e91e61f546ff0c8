//! Small contents inside a result: exactly what was asked for, within what a message can carry (checklist A2).

use std::collections::HashSet;

use blob::{Digest, DigestFunction};
use bytes::Bytes;
use cas::BlobStore;
use prost::Message;
use reapi::execution as proto;
use reapi::execution::ActionResult;
use tonic::Status;

use crate::limits::{INLINED_FILES_MAX, INLINED_RESULT_BYTES_MAX};
use crate::{status, whole_blob};

/// What the client would like to find in the result.
pub(super) struct Hints {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// Paths of output files.
    pub(super) files: HashSet<String>,
}

/// Takes out what was not asked for and can be had from the store, then puts in what was asked for and fits.
pub(super) async fn inline(
    store: &dyn BlobStore,
    function: DigestFunction,
    result: &mut ActionResult,
    hints: &Hints,
) -> Result<(), Status> {
    strip(result, hints);
    let mut room = Room {
        store,
        function,
        left_bytes: INLINED_RESULT_BYTES_MAX.saturating_sub(result.encoded_len()),
    };
    if hints.stdout {
        room.fill(&mut result.stdout_raw, result.stdout_digest.as_ref())
            .await?;
    }
    if hints.stderr {
        room.fill(&mut result.stderr_raw, result.stderr_digest.as_ref())
            .await?;
    }
    if hints.files.is_empty() {
        return Ok(());
    }
    let asked = result
        .output_files
        .iter_mut()
        .filter(|file| hints.files.contains(&file.path));
    for file in asked.take(INLINED_FILES_MAX) {
        room.fill(&mut file.contents, file.digest.as_ref()).await?;
    }
    Ok(())
}

/// Contents without a digest exist only here, so they stay.
fn strip(result: &mut ActionResult, hints: &Hints) {
    if !hints.stdout && result.stdout_digest.is_some() {
        result.stdout_raw = Bytes::new();
    }
    if !hints.stderr && result.stderr_digest.is_some() {
        result.stderr_raw = Bytes::new();
    }
    for file in &mut result.output_files {
        if file.digest.is_some() && !hints.files.contains(&file.path) {
            file.contents = Bytes::new();
        }
    }
}

struct Room<'a> {
    store: &'a dyn BlobStore,
    function: DigestFunction,
    left_bytes: usize,
}

impl Room<'_> {
    /// Hints may be ignored: what does not fit, or has vanished since the result was found complete, stays out.
    async fn fill(&mut self, contents: &mut Bytes, digest: Option<&proto::Digest>) -> Result<(), Status> {
        let Some(digest) = digest.and_then(|digest| Digest::from_proto(self.function, digest).ok()) else {
            return Ok(());
        };
        if !contents.is_empty() || digest.is_empty() || digest.size_bytes() > self.left_bytes as u64 {
            return Ok(());
        }
        if let Some(bytes) = whole_blob::read(self.store, &digest)
            .await
            .map_err(status::store_error)?
        {
            self.left_bytes -= bytes.len();
            *contents = bytes;
        }
        Ok(())
    }
}
