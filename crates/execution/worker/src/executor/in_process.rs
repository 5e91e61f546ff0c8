//! The journey of an action that a persistent process serves.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action::Report;
use cas::BlobStore;
use reapi::rpc::Code;
use runner_api::{Outcome, ResourceUsage, RunResponse, log_marker};
use rustix::fs::{self as sys, Mode, OFlags, ResolveFlags};
use tokio_util::sync::CancellationToken;
use worker_api::v1::running::Phase;

use super::Progress;
use super::account::Account;
use super::ending::Ending;
use super::failure::Failure;
use super::hand_over::HandOver;
use super::inputs::Inputs;
use super::local::{Local, unless};
use super::surroundings::Surroundings;
use super::timeline::Timeline;
use crate::assignment::Assignment;
use crate::blocking::blocking;
use crate::build_directory::{BuildDirectory, Kept};
use crate::limits::LET_GO_PATIENCE;
use crate::persistent::{
    Broken, Persistent, Place, Plan, Process, Start, Verdict, WorkRequest, WorkResponse, expand,
};

/// How a request ended.
enum Ended {
    Answered(WorkResponse),
    TimedOut,
    Cancelled,
    Broken(Broken),
}

impl Local {
    /// `None`: the action is not for a persistent process, or none can serve it; nothing has happened then that an
    /// ordinary run would notice.
    pub(super) async fn journey_in_process(
        &self,
        assignment: &Assignment,
        inputs: &Inputs,
        blobs: &dyn BlobStore,
        timeline: &mut Timeline,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Option<Report>, Failure> {
        let action = assignment.action_digest;
        let Some(persistent) = &self.persistent else {
            return Ok(None);
        };
        let plan = match Plan::of(assignment, &inputs.tree, || inputs.layout()) {
            None => return Ok(None),
            Some(Ok(plan)) => plan,
            Some(Err(reason)) => {
                tracing::debug!(?action, reason, "not for a persistent process");
                return Ok(None);
            }
        };
        let mut seat = match persistent.admit(&plan.key) {
            Ok(seat) => seat,
            Err(refusal) => {
                tracing::debug!(?action, reason = %refusal, "not for a persistent process");
                return Ok(None);
            }
        };
        let start = async || {
            self.start_process(persistent, assignment, &inputs.surroundings, &plan, blobs)
                .await
        };
        let process = unless(cancel, seat.process(start)).await?;
        let label = assignment.label();
        let laid_out = self.build_directories.create(&label, blobs, plan.request.clone());
        let build_directory = Arc::new(unless(cancel, async { Ok(laid_out.await?) }).await?);
        let request = match request_of(assignment, &plan, &build_directory).await {
            Ok(request) => request,
            Err(reason) => {
                tracing::debug!(?action, reason, "not for a persistent process");
                seat.release(Verdict::Good);
                return Ok(None);
            }
        };
        timeline.input_fetch_completed();
        progress.enter(Phase::Executing, timeline.metadata()).await;
        let began = Instant::now();
        let (ended, verdict) = serve(
            process,
            &plan,
            request,
            &build_directory,
            assignment.timeout,
            cancel,
        )
        .await;
        timeline.request_completed(began.elapsed());
        seat.release(verdict);
        let (outcome, output) = match ended {
            Ended::Broken(Broken(reason)) => {
                tracing::warn!(
                    ?action,
                    reason,
                    "a persistent process failed; the command runs in the ordinary way"
                );
                return Ok(None);
            }
            Ended::Cancelled => return Err(Failure::Cancelled),
            Ended::TimedOut => (Outcome::TimedOut, String::new()),
            Ended::Answered(response) => (Outcome::Exited(response.exit_code), response.output),
        };
        let (run, output) = said(outcome, output, self.log_bytes_max, began.elapsed());
        tokio::fs::write(build_directory.stderr_path(), output)
            .await
            .map_err(|error| Failure::disk("writing what the command printed", error))?;
        // Of the command itself: the process was started by another one like it.
        let request = || self.run_request(assignment, &build_directory, &inputs.surroundings);
        let hand_over = HandOver {
            assignment,
            build_directory: &build_directory,
            ending: Ending::of(&run, &self.limits, false)?,
            account: Account {
                worker: &self.worker,
                assignment,
                request: &request,
                run: &run,
                limits: &self.limits,
                is_out_of_disk: false,
            },
        };
        hand_over
            .report(blobs, timeline, progress, cancel)
            .await
            .map(Some)
    }

    /// An action that found no memory while processes that only wait had some of it is not at fault: they end, and the
    /// server tries it again.
    pub(super) async fn make_room_after(&self, run: &RunResponse) -> Result<(), Failure> {
        let shares_memory = self.limits.memory_bytes_max.is_none();
        let Some(persistent) = self
            .persistent
            .as_ref()
            .filter(|_| shares_memory && run.outcome == Outcome::OutOfMemory)
        else {
            return Ok(());
        };
        match persistent.end_idle().await {
            0 => Ok(()),
            ended => {
                let message = format!(
                    "out of memory, of which {ended} persistent processes had a part that only waited; they have been ended"
                );
                Err(Failure::Status(Code::Unavailable, message))
            }
        }
    }

    /// Lays out the tools and starts a process with them.
    async fn start_process(
        &self,
        persistent: &Persistent,
        assignment: &Assignment,
        surroundings: &Surroundings,
        plan: &Plan,
        blobs: &dyn BlobStore,
    ) -> Result<Process, Failure> {
        let label = format!("persistent-{}", assignment.label());
        let directory = self
            .build_directories
            .create(&label, blobs, plan.tools.clone())
            .await?;
        let (root, sandboxes) = (directory.root().clone(), plan.key.sandboxes());
        let multiplex = plan.key.wish.multiplex;
        let place = blocking(move || match multiplex {
            true => open_directory(&root, &sandboxes).map(Place::Sandboxes),
            false => Kept::of(&root).map(Place::Own),
        });
        let failed = |error| Failure::disk("starting a persistent process", error);
        let place = place.await.map_err(failed)?;
        let mut request = self.run_request(assignment, &directory, surroundings);
        request.argv = plan
            .key
            .startup()
            .iter()
            .map(|argument| argument.clone().into_bytes())
            .collect();
        request.timeout = None;
        let start = Start {
            runner: self.runner.clone(),
            request,
            directory,
            place,
            protocol: plan.key.wish.protocol,
            multiplex,
        };
        let (group, stop) = persistent.home();
        Process::start(start, group, stop).map_err(failed)
    }
}

/// Lends the input root to the process, asks, and takes the root back with the outputs in it. Says also what is to become
/// of the process.
async fn serve(
    process: &Process,
    plan: &Plan,
    mut request: WorkRequest,
    build_directory: &Arc<BuildDirectory>,
    timeout: Duration,
    cancel: &CancellationToken,
) -> (Ended, Verdict) {
    let number = process.number();
    request.request_id = process.request_id(number);
    let name = number.to_string();
    if plan.key.wish.multiplex {
        request.sandbox_dir = plan.key.sandbox_dir(&name);
    }
    if let Err(broken) = lend(process, build_directory, &name).await {
        return (Ended::Broken(broken), Verdict::Broken);
    }
    let request_id = request.request_id;
    let mut answer = std::pin::pin!(process.ask(request));
    let (ended, verdict) = tokio::select! {
        biased;
        () = cancel.cancelled() => (Ended::Cancelled, Verdict::Ended),
        answer = &mut answer => match answer {
            Ok(response) if !response.was_cancelled => (Ended::Answered(response), Verdict::Good),
            Ok(_) => {
                let broken = Broken("it gave up a request that it was not told to give up".to_owned());
                (Ended::Broken(broken), Verdict::Broken)
            }
            Err(broken) => (Ended::Broken(broken), Verdict::Broken),
        },
        () = tokio::time::sleep(timeout) => (Ended::TimedOut, Verdict::Ended),
    };
    let verdict = match verdict {
        Verdict::Ended if plan.key.wish.multiplex => let_go(process, request_id, answer).await,
        verdict => verdict,
    };
    if verdict != Verdict::Good {
        process.end();
        process.ended().await;
    }
    match (take_back(process, build_directory, &name).await, ended) {
        (Ok(()), ended) => (ended, verdict),
        (Err(broken), Ended::Answered(_)) => (Ended::Broken(broken), Verdict::Broken),
        // What it has left does not count for much, but it cannot serve others.
        (Err(Broken(reason)), ended) => {
            tracing::debug!(
                reason,
                "the files of a request that was given up cannot be taken back"
            );
            match verdict {
                Verdict::Good => (ended, Verdict::Ended),
                verdict => (ended, verdict),
            }
        }
    }
}

/// Tells a multiplex process that nobody wants a request any more. Unless it confirms that in time it has to end: it may
/// still work on it, or not know that it should not.
async fn let_go(
    process: &Process,
    request_id: i32,
    answer: impl Future<Output = Result<WorkResponse, Broken>>,
) -> Verdict {
    let confirmed = async {
        process.give_up(request_id).await?;
        answer.await
    };
    match tokio::time::timeout(LET_GO_PATIENCE, confirmed).await {
        Ok(Ok(response)) if response.was_cancelled => Verdict::Good,
        _ => Verdict::Ended,
    }
}

async fn lend(process: &Process, build_directory: &Arc<BuildDirectory>, name: &str) -> Result<(), Broken> {
    let (place, root) = (process.place().clone(), process.root().clone());
    let (build_directory, name) = (build_directory.clone(), name.to_owned());
    let lent = blocking(move || match &*place {
        Place::Own(kept) => kept.lend(build_directory.root(), &root),
        Place::Sandboxes(sandboxes) => build_directory.lend_root(sandboxes, &name),
    });
    lent.await
        .map_err(|error| Broken(format!("its directory cannot be used any more: {error}")))
}

async fn take_back(
    process: &Process,
    build_directory: &Arc<BuildDirectory>,
    name: &str,
) -> Result<(), Broken> {
    let (place, root) = (process.place().clone(), process.root().clone());
    let (build_directory, name) = (build_directory.clone(), name.to_owned());
    let taken = blocking(move || match &*place {
        Place::Own(kept) => kept.take_back(&root, build_directory.root()),
        Place::Sandboxes(sandboxes) => build_directory.take_root_back(sandboxes, &name),
    });
    taken
        .await
        .map_err(|error| Broken(format!("its directory cannot be used any more: {error}")))
}

/// What the process is to be asked; an error says why it cannot be.
async fn request_of(
    assignment: &Assignment,
    plan: &Plan,
    build_directory: &Arc<BuildDirectory>,
) -> Result<WorkRequest, String> {
    let (arguments, root) = (plan.arguments.clone(), build_directory.root().clone());
    let working_directory = assignment.command.working_directory().clone();
    let expanded = blocking(move || expand(&arguments, &root, &working_directory)).await;
    let arguments = expanded.map_err(|error| error.to_string())?;
    Ok(WorkRequest {
        arguments,
        inputs: plan.inputs.clone(),
        ..WorkRequest::default()
    })
}

/// An answer in the words of a run. Nobody has measured what it took but time.
fn said(outcome: Outcome, mut output: String, log_bytes_max: u64, ran: Duration) -> (RunResponse, String) {
    let (length, max) = (output.len(), usize::try_from(log_bytes_max).unwrap_or(usize::MAX));
    let is_cut = length > max;
    if is_cut {
        let kept_bytes = (0..=max)
            .rev()
            .find(|end| output.is_char_boundary(*end))
            .unwrap_or(0);
        let dropped_bytes = length - kept_bytes;
        output.truncate(kept_bytes);
        let ends_line = output.ends_with('\n');
        output.push_str(&log_marker(
            "stderr",
            kept_bytes as u64,
            dropped_bytes as u64,
            ends_line,
        ));
    }
    let run = RunResponse {
        outcome,
        usage: ResourceUsage::default(),
        started_unix_ns: 0,
        finished_unix_ns: 0,
        ran,
        stdout_truncated: false,
        stderr_truncated: is_cut,
        processes_refused: 0,
        clock_stopped_ns: 0,
    };
    (run, output)
}

fn open_directory(root: &OwnedFd, path: &str) -> std::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(sys::openat2(root, path, flags, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, log_bytes_max: u64, expected: &str) {
        let (run, kept) = said(
            Outcome::Exited(3),
            output.to_owned(),
            log_bytes_max,
            Duration::ZERO,
        );
        assert_eq!((run.outcome, kept.as_str()), (Outcome::Exited(3), expected));
        assert_eq!(run.stderr_truncated, output != expected);
    }

    #[test]
    fn a_long_answer_is_cut_between_characters_as_any_log_is() {
        check("", 0, "");
        check("fine", 4, "fine");
        let marker = "[farrier: stderr cut after 3 bytes; the other 4 bytes were dropped]";
        check("abcdefg", 3, &format!("abc\n{marker}\n"));
        let marker = "[farrier: stderr cut after 1 bytes; the other 5 bytes were dropped]";
        check("aéabc", 2, &format!("a\n{marker}\n"));
    }
}
