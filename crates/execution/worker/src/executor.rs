//! PORT 3: what executes an assignment.

mod account;
mod disk_bound;
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
mod undead;
mod without_result;

use std::sync::{Arc, Mutex, PoisonError};

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
use crate::slots::Slot;

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
    /// Where it runs. `None` when it has left it.
    slot: Mutex<Option<Slot>>,
}

impl Progress {
    pub(crate) fn new(run: RunId, reports: mpsc::Sender<(RunId, RunReport)>, followed: Followed) -> Self {
        Progress {
            run,
            reports,
            followed,
            slot: Mutex::default(),
        }
    }

    /// The same for an action that takes this slot.
    pub(crate) fn in_slot(mut self, slot: Slot) -> Self {
        self.slot = Mutex::new(Some(slot));
        self
    }

    /// The action needs its slot no more.
    pub(crate) fn leave_slot(&self) {
        drop(self.take_slot());
    }

    /// Something of the action lives on in its slot until `gone` has ended, against everybody's will.
    pub(crate) fn lose_slot(&self, gone: impl Future<Output = ()> + Send + 'static) {
        if let Some(slot) = self.take_slot() {
            slot.take_out_of_service(gone);
        }
    }

    fn take_slot(&self) -> Option<Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
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
