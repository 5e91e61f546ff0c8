//! What is told of an action that has no result.

use action::Report;
use blob::Blob;
use tokio_util::sync::CancellationToken;

use super::account::{NAME as ACCOUNT, of_failure};
use super::failure::Failure;
use super::local::Local;
use crate::assignment::Assignment;
use crate::limits::ACCOUNT_PATIENCE;

impl Local {
    /// The report of a failure, with an account of it in the storage for whoever looks there. That is a favour: where it cannot
    /// be stored soon, the report goes without.
    pub(super) async fn report_of(
        &self,
        failure: Failure,
        assignment: &Assignment,
        cancel: &CancellationToken,
    ) -> Report {
        let Failure::Status(code, message) = &failure else {
            // Who sent too little sends the rest, and who has cancelled waits for nothing.
            return failure.into_report();
        };
        let text = of_failure(&self.worker, assignment, *code, message);
        let blob = Blob::from_bytes(assignment.function, text.into_bytes());
        let digest = blob.digest();
        let blobs = (self.stores)(&assignment.instance);
        let is_stored = tokio::select! {
            biased;
            () = cancel.cancelled() => false,
            stored = tokio::time::timeout(ACCOUNT_PATIENCE, blobs.put(blob)) => matches!(stored, Ok(Ok(()))),
        };
        match (failure.into_report(), is_stored) {
            (report, true) => report.with_server_log(ACCOUNT, digest, true),
            (report, false) => report,
        }
    }
}
