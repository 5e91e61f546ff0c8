//! PORT 3: what executes an assignment.

mod account;
mod ending;
mod failure;
mod fault_guarded;
mod hand_over;
mod images;
mod in_process;
mod inputs;
mod lazily;
mod left_behind;
mod live_output;
mod local;
mod surroundings;
mod timeline;

use std::sync::Arc;

use async_trait::async_trait;
use blob::InstanceName;
use cas::BlobStore;
use reapi::execution::{ExecuteResponse, ExecutedActionMetadata};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker_api::v1::running::Phase;

pub(crate) use fault_guarded::fault_guarded;
pub(crate) use images::Images;
pub use images::Results;
pub(crate) use live_output::{Followed, LiveOutput};
pub(crate) use local::Local;
pub(crate) use surroundings::Possible;
pub use surroundings::{InputRootAsRoot, SurroundingsOptions};

use crate::assignment::Assignment;
use crate::leases::{RunId, RunReport};

/// Where the blobs of an instance are. Called for each action, so it should hand out what it has made before.
pub type Stores = Arc<dyn Fn(&InstanceName) -> Arc<dyn BlobStore> + Send + Sync>;

/// Executes one action after the other, or several at once.
#[async_trait]
pub(crate) trait Executor: Send + Sync + 'static {
    /// Always answers; the first failure is the one reported, as later ones are usually its echo. When `cancel`
    /// fires, everything is stopped, and the answer, which nobody waits for, comes when no process is left.
    async fn execute(
        &self,
        assignment: Assignment,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> ExecuteResponse;
}

/// Where an executor says how far it is, and hears who wants to see more.
pub(crate) struct Progress {
    run: RunId,
    reports: mpsc::Sender<(RunId, RunReport)>,
    followed: Followed,
}

impl Progress {
    pub(crate) fn new(run: RunId, reports: mpsc::Sender<(RunId, RunReport)>, followed: Followed) -> Self {
        Progress {
            run,
            reports,
            followed,
        }
    }

    /// What of the command's output is to be sent on while it runs.
    pub(crate) fn followed(&self) -> Followed {
        self.followed.clone()
    }

    /// A new phase has begun.
    pub(crate) async fn enter(&self, phase: Phase, metadata: &ExecutedActionMetadata) {
        self.send(RunReport::Phase(phase, Box::new(metadata.clone())))
            .await;
    }

    /// The end.
    pub(crate) async fn completed(&self, response: ExecuteResponse) {
        self.send(RunReport::Completed(Box::new(response))).await;
    }

    async fn send(&self, report: RunReport) {
        // Nobody listens any more: the sync loop has ended, and with it the point of this action.
        let _ended = self.reports.send((self.run, report)).await;
    }
}
