//! The last part of every journey: from a command that has ended to the report of it.

use action::Report;
use cas::BlobStore;
use tokio_util::sync::CancellationToken;
use worker_api::v1::running::Phase;

use super::Progress;
use super::account::{Account, NAME as ACCOUNT, add as add_account};
use super::ending::Ending;
use super::failure::{Failure, store};
use super::left_behind::LeftBehind;
use super::local::unless;
use super::timeline::Timeline;
use crate::assignment::Assignment;
use crate::build_directory::BuildDirectory;
use crate::outputs::upload;

/// A command that has ended, with all it started.
pub(super) struct HandOver<'a> {
    pub(super) assignment: &'a Assignment,
    pub(super) build_directory: &'a BuildDirectory,
    pub(super) ending: Ending,
    /// Says why it ended so, if it cannot say that itself.
    pub(super) account: Account<'a>,
}

impl HandOver<'_> {
    /// Stores what it has left behind, and tells of it.
    pub(super) async fn report(
        self,
        blobs: &dyn BlobStore,
        timeline: &mut Timeline,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Report, Failure> {
        let HandOver {
            assignment,
            build_directory,
            ending,
            account,
        } = self;
        if ending.is_failure() {
            let space = build_directory.space();
            let space = space.map_err(|error| Failure::disk("looking for free space", error))?;
            if space.is_used_up() {
                return Err(ending.for_want_of_disk());
            }
        }
        timeline.output_upload_starts();
        progress.enter(Phase::UploadingOutputs, timeline.metadata()).await;
        let mut left_behind = LeftBehind::find(assignment, build_directory, &ending).await?;
        let mut uploads = std::mem::take(&mut left_behind.uploads);
        let account = account.text(left_behind.outputs.as_ref().err());
        let account = account.map(|text| add_account(text, assignment, &mut uploads));
        let uploaded = async {
            upload(blobs, uploads)
                .await
                .map_err(|error| store("uploading outputs", error))
        };
        unless(cancel, uploaded).await?;
        timeline.output_upload_completed();
        let report = ending.report(left_behind, assignment);
        Ok(match account {
            Some(digest) => report.with_server_log(ACCOUNT, digest, true),
            None => report,
        })
    }
}
