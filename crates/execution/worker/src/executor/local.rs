//! The journey of one action on this machine.

use std::sync::Arc;

use action::{Command, Platform, Report};
use async_trait::async_trait;
use blob::DigestSet;
use cas::{BlobStore, Invocation};
use prost::Message;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use runner_api::{DEFAULT_PATH, RunError, RunRequest, Runner};
use tokio_util::sync::CancellationToken;
use worker_api::v1::running::Phase;

use super::account::Account;
use super::disk_bound::{DiskBound, run_within};
use super::ending::Ending;
use super::failure::{Failure, store, with_cause};
use super::hand_over::HandOver;
use super::images::Images;
use super::inputs::Inputs;
use super::live_output::{LiveOutput, Logs};
use super::surroundings::{Possible, Surroundings};
use super::timeline::Timeline;
use super::undead::undead;
use super::{Executor, Progress, Stores};
use crate::assignment::Assignment;
use crate::build_directory::{BuildDirectories, BuildDirectory, Layout, OutputPlaces};
use crate::file_cache::FileCache;
use crate::input_tree::DirectoryCache;
use crate::lazy_inputs::{Laziness, LazyParts, Observe, leave_out_observed};
use crate::limits::RESPONSE_BYTES_MAX;
use crate::persistent::Persistent;
use crate::tools::Tools;
use crate::tree_cache::TreeCache;
use crate::worker::ActionLimits;

/// Executes here: inputs from the store to a build directory, the command in the runner, outputs to the store.
pub(crate) struct Local {
    pub(crate) worker: String,
    pub(crate) stores: Stores,
    pub(crate) directories: DirectoryCache,
    pub(crate) files: Arc<FileCache>,
    pub(crate) build_directories: Arc<BuildDirectories>,
    /// Trees that input roots can be laid over; `None` where overlays are not to be had.
    pub(crate) trees: Option<Arc<TreeCache>>,
    /// Root file systems that actions can have; `None` where they can have none.
    pub(crate) images: Option<Images>,
    pub(crate) runner: Arc<dyn Runner>,
    /// How many bytes of stdout and of stderr are kept (E28).
    pub(crate) log_bytes_max: u64,
    /// What commands may have around them.
    pub(crate) surroundings: Possible,
    /// What one action may use.
    pub(crate) limits: ActionLimits,
    /// Sends on what commands print while they run.
    pub(crate) live_output: LiveOutput,
    /// Processes that outlive their action; `None` where there are none.
    pub(crate) persistent: Option<Persistent>,
    /// Inputs that are fetched when they are opened.
    pub(crate) lazy: LazyParts,
    /// Which tools this machine has.
    pub(crate) tools: Tools,
}

/// What is ready to run.
struct Prepared {
    build_directory: Arc<BuildDirectory>,
    inputs: Inputs,
    laziness: Laziness,
}

#[async_trait]
impl Executor for Local {
    async fn execute(
        &self,
        assignment: Assignment,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> ExecuteResponse {
        let mut timeline = Timeline::start(&self.worker, assignment.queued);
        let journey = async {
            let journey = self.with_the_same_tools(&assignment, &mut timeline, progress, cancel);
            match journey.await {
                Ok(report) => report,
                Err(failure) => self.report_of(failure, &assignment, cancel).await,
            }
        };
        let report = Invocation::scope(assignment.invocation.clone(), journey).await;
        bounded(with_cause(
            report.with_metadata(timeline.finish()).into_response(),
        ))
    }
}

impl Local {
    /// The journey, if the tools that the action relies on are there when it begins and when it ends.
    async fn with_the_same_tools(
        &self,
        assignment: &Assignment,
        timeline: &mut Timeline,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Report, Failure> {
        let platform = Platform::of(&assignment.action, &assignment.command);
        let check = || async {
            let checked = self.tools.check(&platform).await;
            checked.map_err(|(code, message)| Failure::Status(code, message))
        };
        check().await?;
        let report = self.journey(assignment, timeline, progress, cancel).await?;
        check().await?;
        Ok(report)
    }

    /// The whole story.
    async fn journey(
        &self,
        assignment: &Assignment,
        timeline: &mut Timeline,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Report, Failure> {
        let blobs = (self.stores)(&assignment.instance);

        timeline.input_fetch_starts();
        progress.enter(Phase::FetchingInputs, timeline.metadata()).await;
        let mut inputs = unless(cancel, self.collect_inputs(assignment, &*blobs)).await?;
        let laziness = self.laziness(assignment)?;
        // A process that serves several actions cannot be observed for one of them.
        if inputs.surroundings.are_ordinary() && laziness.observe != Observe::Yes {
            let served = self.journey_in_process(assignment, &inputs, &*blobs, timeline, progress, cancel);
            if let Some(report) = served.await? {
                laziness.tell_impossible(timeline);
                return Ok(report);
            }
        }
        let build_directory = match laziness.is_lazy {
            false => unless(cancel, self.lay_out(assignment, &*blobs, &mut inputs)).await?,
            true => unless(cancel, self.lay_out_lazily(assignment, &blobs, &mut inputs)).await?,
        };
        timeline.input_fetch_completed();

        let logs = Logs {
            stdout: build_directory.stdout_path(),
            stderr: build_directory.stderr_path(),
        };
        let prepared = Prepared {
            build_directory: Arc::new(build_directory),
            inputs,
            laziness,
        };
        let rest = self.run(assignment, &*blobs, prepared, timeline, progress, cancel);
        self.live_output.beside(progress.followed(), &logs, rest).await
    }

    /// The second half: from the command to its outputs.
    async fn run(
        &self,
        assignment: &Assignment,
        blobs: &dyn BlobStore,
        prepared: Prepared,
        timeline: &mut Timeline,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Report, Failure> {
        let report = self
            .run_laid_out(assignment, blobs, &prepared, timeline, progress, cancel)
            .await;
        let Prepared {
            build_directory,
            inputs,
            laziness,
        } = &prepared;
        self.settle(
            assignment,
            blobs,
            (build_directory, inputs, laziness),
            timeline,
            report,
        )
        .await
    }

    async fn run_laid_out(
        &self,
        assignment: &Assignment,
        blobs: &dyn BlobStore,
        prepared: &Prepared,
        timeline: &mut Timeline,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Report, Failure> {
        let build_directory = &prepared.build_directory;
        let surroundings = &prepared.inputs.surroundings;
        progress.enter(Phase::Executing, timeline.metadata()).await;
        // The runner watches `cancel` itself, and answers when every process of the command is dead.
        let request = || self.run_request(assignment, build_directory, surroundings);
        let bound = self.disk_bound(build_directory).await?;
        let ending = cancel.child_token();
        let run = async {
            match build_directory.lazy() {
                None => self.runner.run(request(), &ending).await,
                Some(lazy) => self.run_lazily(request(), lazy, &ending).await,
            }
        };
        let (run, is_out_of_disk) = run_within(bound, run, &ending).await;
        let run = match run {
            Err(RunError::Undead { message, remains }) => {
                return Err(undead(
                    assignment,
                    message,
                    remains,
                    progress,
                    build_directory.clone(),
                ));
            }
            run => run?,
        };
        timeline.execution_completed(&run, self.limits.memory_bytes_max.is_none());
        self.make_room_after(&run).await?;
        build_directory
            .remove_directories(&surroundings.mount_points)
            .map_err(|error| Failure::disk("removing mount points", error))?;
        let hand_over = HandOver {
            assignment,
            build_directory,
            ending: Ending::of(&run, &self.limits, is_out_of_disk)?,
            account: Account {
                worker: &self.worker,
                assignment,
                request: &request,
                run: &run,
                limits: &self.limits,
                is_out_of_disk,
            },
        };
        hand_over.report(blobs, timeline, progress, cancel).await
    }

    /// From here on, what the action writes counts, if there is a bound on that.
    async fn disk_bound(&self, build_directory: &BuildDirectory) -> Result<Option<DiskBound>, Failure> {
        let Some(bytes_max) = self.limits.disk_bytes_max else {
            return Ok(None);
        };
        let used = self.build_directories.disk_use(build_directory).await;
        let used = used.map_err(|error| Failure::disk("looking at how much of it is used", error))?;
        let used = Arc::new(used);
        Ok(Some(DiskBound { used, bytes_max }))
    }

    /// Whether this action's inputs are fetched when they are opened.
    fn laziness(&self, assignment: &Assignment) -> Result<Laziness, Failure> {
        let platform = Platform::of(&assignment.action, &assignment.command);
        Laziness::of(self.lazy.options, &self.lazy.possible, &platform)
            .map_err(|message| Failure::Status(Code::InvalidArgument, message))
    }

    /// Finds out what belongs where. All missing blobs are found before this gives up.
    async fn collect_inputs(
        &self,
        assignment: &Assignment,
        blobs: &dyn BlobStore,
    ) -> Result<Inputs, Failure> {
        let input = self
            .directories
            .collect(blobs, assignment.action.input_root_digest())
            .await?;
        let command = &assignment.command;
        let platform = Platform::of(&assignment.action, command);
        if !input.missing().is_empty() {
            let layout = Layout::new(&input, output_places(command))?;
            let absent = self.files.absent(layout.files());
            let missing_files = blobs.find_missing(&without_empty(absent)).await;
            let missing_files = missing_files.map_err(|error| store("looking for input files", error))?;
            return Err(Failure::Missing(input.missing().union(&missing_files)));
        }
        let working_directory = command.working_directory().as_str();
        if !matches!(input.directory_at(working_directory), Ok(Some(_))) {
            let message =
                format!("working directory `{working_directory}` is not in the input root; add it there");
            return Err(Failure::Status(Code::InvalidArgument, message));
        }
        let surroundings = Surroundings::of(&self.surroundings, &platform, command, &input)?;
        let mut places = output_places(command);
        let mount_points = surroundings.mount_points.iter();
        places.parents.extend(mount_points.map(|name| (*name).to_owned()));
        Ok(Inputs {
            tree: Arc::new(input),
            places,
            surroundings,
        })
    }

    pub(super) fn run_request(
        &self,
        assignment: &Assignment,
        build_directory: &BuildDirectory,
        surroundings: &Surroundings,
    ) -> RunRequest {
        let command = &assignment.command;
        let mut env: Vec<(Vec<u8>, Vec<u8>)> = command
            .environment()
            .iter()
            .map(|(name, value)| (name.clone().into(), value.clone().into()))
            .collect();
        for (name, value) in &surroundings.environment {
            if !env.iter().any(|(set, _)| set == name.as_bytes()) {
                env.push((name.clone().into(), value.clone().into()));
            }
        }
        // The one worker default (E18): without it hardly any script finds its tools.
        if !env.iter().any(|(name, _)| name == b"PATH") {
            env.push((b"PATH".to_vec(), DEFAULT_PATH.into()));
        }
        RunRequest {
            argv: command
                .arguments()
                .iter()
                .map(|argument| argument.clone().into_bytes())
                .collect(),
            env,
            input_root: build_directory.root_path(),
            input_root_place: surroundings.place.clone(),
            input_root_base: build_directory.input_root_base(),
            working_directory: command.working_directory().as_str().into(),
            timeout: Some(assignment.timeout),
            stdout_path: build_directory.stdout_path(),
            stderr_path: build_directory.stderr_path(),
            output_log_bytes_max: self.log_bytes_max,
            root: surroundings.root,
            image: build_directory.image(),
            user: surroundings.user,
            network: surroundings.network,
            memory_bytes_max: self.limits.memory_bytes_max,
            processes_max: self.limits.processes_max,
            processors_max: self
                .limits
                .processors_of(&Platform::of(&assignment.action, command)),
        }
    }
}

/// A response that no client could receive would be worse than an error. What was observed goes first.
fn bounded(mut response: ExecuteResponse) -> ExecuteResponse {
    if response.encoded_len() > RESPONSE_BYTES_MAX
        && let Some(metadata) = response
            .result
            .as_mut()
            .and_then(|result| result.execution_metadata.as_mut())
    {
        leave_out_observed(&mut metadata.auxiliary_metadata);
    }
    let size_bytes = response.encoded_len();
    if size_bytes <= RESPONSE_BYTES_MAX {
        return response;
    }
    let message = format!(
        "the result has {size_bytes} bytes, more than the {RESPONSE_BYTES_MAX} that clients take in one message; \
         declare directories as outputs instead of every file in them"
    );
    with_cause(Report::failed(Code::ResourceExhausted, message).into_response())
}

pub(super) fn output_places(command: &Command) -> OutputPlaces {
    OutputPlaces {
        outputs: command
            .outputs()
            .iter()
            .map(|output| output.path.as_str().to_owned())
            .collect(),
        parents: command
            .output_parents()
            .iter()
            .map(|parent| parent.as_str().to_owned())
            .collect(),
    }
}

pub(super) fn without_empty(digests: DigestSet) -> DigestSet {
    digests.into_iter().filter(|digest| !digest.is_empty()).collect()
}

/// `work`, given up when `cancel` fires.
pub(super) async fn unless<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::Cancelled),
        done = work => done,
    }
}

#[cfg(test)]
mod tests;
