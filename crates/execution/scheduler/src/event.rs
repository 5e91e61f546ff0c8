//! What can happen to the scheduler.

use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, Platform};
use blob::InstanceName;
use prost::Message;
use reapi::execution::{Action, Command, ExecuteResponse, ExecutedActionMetadata, RequestMetadata};

use crate::turns::Asker;
use crate::{LeaseId, OperationName, TaskId, Usage, WorkerId};

/// One thing that happened. Every event is harmless at any time and any number of times: what no longer makes
/// sense (a finished operation cancelled, an unknown worker gone, a lease of the past) is ignored.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client wants an action executed, all checks at the door passed and the action cache asked in vain. Counts
    /// as one watcher. A name that exists already is ignored.
    Execute(Request),
    /// One more client stream listens to this operation.
    WatcherCame(OperationName),
    /// One client stream less. With none left for `abandon_after` the operation is cancelled (checklist E15).
    WatcherLeft(OperationName),
    /// A client that has just left did so on purpose, and nothing happened to its connection: `let_go_after` is all the time
    /// there is for it or another to come back.
    LetGo(OperationName),
    /// CancelOperation: ends this operation with CANCELLED, but not what others wait for (E16).
    Cancel(OperationName),
    /// DeleteOperation: forgets a finished operation; a live one is left alone.
    Forget(OperationName),
    /// A worker said everything it knows about itself. Renews all its leases.
    WorkerSynced(WorkerId, WorkerReport),
    /// The worker's stream broke. It has `reconnect_grace` to come back. The shell must not send this for an old
    /// stream when the same worker already speaks on a new one.
    WorkerGone(WorkerId),
    /// Workers with such names finish what they have and get nothing new, until it is taken back. `*` stands for any
    /// characters.
    Drain {
        /// The names.
        pattern: String,
        /// Whether it begins to hold or is taken back.
        on: bool,
    },
    /// The shell is done with [`Effect::Publish`](crate::Effect::Publish): outputs and, if cacheable, the action
    /// cache entry are stored; the operations get this response.
    Published(TaskId, Arc<ExecuteResponse>),
    /// Time passed; see [`Scheduler::next_wakeup`](crate::Scheduler::next_wakeup).
    Tick,
}

/// What an ExecuteRequest became after all checks at the door.
#[derive(Clone, Debug)]
pub struct Request {
    /// The new operation.
    pub operation: OperationName,
    /// What is to be done.
    pub work: Arc<Work>,
    /// Lower is sooner, 0 is ordinary (E12): a weight.
    pub priority: i32,
    /// The client does not want a result that was visible before this request (E9). It may still share an execution
    /// that is not finished yet.
    pub skip_cache_lookup: bool,
}

/// Everything a worker needs to know to execute an action. Pure data, shared by the operations that merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// Where the client spoke to; merging never crosses instances.
    pub instance: InstanceName,
    /// Which action; with `instance` the identity for merging.
    pub action_digest: ActionDigest,
    /// The action itself.
    pub action: Action,
    /// The command it names.
    pub command: Command,
    /// What a worker must offer (E34: taken from the action, else from the command).
    pub platform: Platform,
    /// How long the command may run, already resolved to the server's default (E13). The worker enforces it.
    pub timeout: Duration,
    /// Not merged, not written to the action cache (E10).
    pub do_not_cache: bool,
    /// Who asked, for the worker's logs.
    pub request_metadata: Option<RequestMetadata>,
    /// On whose behalf, as the client says; empty if it does not. All builds of one user take the turns of one.
    pub user: String,
    /// Wall clock, for `ExecutedActionMetadata.queued_timestamp`; the scheduler only carries it.
    pub queued_at: prost_types::Timestamp,
}

impl Work {
    /// Who asks, for taking turns. A build that does not say what it belongs to stands for itself, and so does what
    /// belongs together and does not say whose it is; all that do not say which build they are of are one.
    pub(crate) fn asker(&self) -> Asker<'_> {
        let said = self.request_metadata.as_ref().map_or(("", ""), |metadata| {
            (
                metadata.correlated_invocations_id.as_str(),
                metadata.tool_invocation_id.as_str(),
            )
        });
        let (together, build) = match said {
            ("", build) => (build, build),
            said => said,
        };
        let user = match self.user.as_str() {
            "" => together,
            user => user,
        };
        Asker {
            tenant: self.instance.as_str(),
            user,
            together,
            build,
        }
    }

    /// About how much memory this holds.
    pub(crate) fn bytes(&self) -> u64 {
        let metadata = self.request_metadata.as_ref().map_or(0, Message::encoded_len);
        let encoded = self.action.encoded_len() + self.command.encoded_len() + metadata + self.user.len();
        (size_of::<Work>() + encoded) as u64
    }
}

/// A worker's complete state, as it sees it.
#[derive(Clone, Debug, Default)]
pub struct WorkerReport {
    /// For people: usually the host's name.
    pub name: String,
    /// What it offers; a name may come with several values.
    pub properties: Vec<(String, String)>,
    /// How many leases it holds at once; what keeps several processors busy counts for as many.
    pub slots: u32,
    /// How much memory all actions together may use; zero if it does not say.
    pub memory_bytes: u64,
    /// What else there is a certain amount of, by name: an action that asks for some has it for itself.
    pub resources: Vec<(String, u64)>,
    /// It finishes what it has and takes nothing new.
    pub draining: bool,
    /// It goes away after so long. What it will not have done by then is for others, without a
    /// failure of anybody's. `None`: it stays, or does not know.
    pub leaves_in: Option<Duration>,
    /// Every lease it works on or has a result for.
    pub leases: Vec<(LeaseId, LeaseState)>,
    /// What those of them that are completed have used, where it was measured.
    pub usages: Vec<(LeaseId, Usage)>,
}

/// How far a worker is with one lease.
#[derive(Clone, Debug)]
pub enum LeaseState {
    /// Under way.
    Running {
        /// What it is doing.
        phase: Phase,
        /// Timestamps so far, for `partial_execution_metadata` (E29).
        metadata: Option<Box<ExecutedActionMetadata>>,
    },
    /// Done: all outputs are in the CAS. Repeated until the lease leaves the worker's desired state.
    Completed(Box<ExecuteResponse>),
}

/// The parts of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Getting the input root.
    FetchingInputs,
    /// The command runs.
    Executing,
    /// Putting outputs into the CAS.
    UploadingOutputs,
}
