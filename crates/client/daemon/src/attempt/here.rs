//! By this machine: the wrapper runs the real tool, and what comes of it is kept.

use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use action::ActionDigest;
use daemon_api::{Answer, End, Report};
use reapi::execution::ExecutedActionMetadata;

use super::child::Child;
use super::kept::Whole;
use crate::colours;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::earlier::Earlier;
use crate::failures::Failure;
use crate::link::Link;
use crate::outputs::{self, directory};
use crate::plan::{Plan, Why};
use crate::uploads::Upload;

/// How a command ended here.
pub(crate) struct Ran {
    pub(crate) end: End,
    /// What to keep, or why nothing.
    pub(crate) upload: Result<Upload, &'static str>,
    /// What it printed, if its failure may be kept, and its inputs are what they were.
    pub(crate) failure: Option<Failure>,
    /// It was ended because it took too long.
    pub(crate) is_late: bool,
}

impl Ran {
    fn unkept(end: End, why: &'static str) -> Self {
        Ran {
            end,
            upload: Err(why),
            failure: None,
            is_late: false,
        }
    }
}

/// How a command ended here, and what it printed, as far as that is kept.
pub(crate) type Seen = (End, Option<Vec<u8>>, Option<Vec<u8>>);

/// What a command printed here, as far as that is kept.
pub(crate) type Printed = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Has the wrapper run it. Only if it is still the same action afterwards, what came of it is what the action names.
pub(crate) async fn run(
    link: &mut Link,
    plan: &Arc<Plan>,
    asked: &Asked,
    daemon: &Daemon,
) -> io::Result<Ran> {
    let answer = Answer::Run {
        program: plan.subject.program.clone(),
        through: Vec::new(),
        more: plan.more.clone(),
        apart: asked.wanted.exec_timeout().is_some(),
    };
    Ok(performed(link, plan, &answer, asked, daemon).await?.0)
}

/// The same without anybody seeing what it prints, which is told here. The wrapper goes on listening.
pub(crate) async fn rehearse(
    link: &mut Link,
    plan: &Arc<Plan>,
    asked: &Asked,
    daemon: &Daemon,
) -> io::Result<(Ran, Printed)> {
    performed(link, plan, &rehearsal(plan), asked, daemon).await
}

/// How the wrapper is told of that.
pub(crate) fn rehearsal(plan: &Plan) -> Answer {
    Answer::Rehearse {
        program: plan.subject.program.clone(),
        more: plan.more.clone(),
    }
}

/// What is there before it runs.
pub(crate) async fn before(link: &mut Link, plan: &Arc<Plan>, daemon: &Daemon) -> io::Result<Earlier> {
    let outputs = plan.clone();
    let filled = daemon.filled.clone();
    let looking = tokio::task::spawn_blocking(move || Earlier::than_now(&outputs.subject.outputs, &filled));
    Ok(link.meanwhile(looking).await??)
}

async fn performed(
    link: &mut Link,
    plan: &Arc<Plan>,
    answer: &Answer,
    asked: &Asked,
    daemon: &Daemon,
) -> io::Result<(Ran, Printed)> {
    let earlier = before(link, plan, daemon).await?;
    asked.course.enter(Phase::Here);
    let begun = SystemTime::now();
    let child = OnceLock::new();
    let (end, output, error_output) = watched(link, answer, &child, asked.wanted.exec_timeout()).await?;
    asked.course.enter(Phase::Keeping);
    if is_late(&child, end) {
        let ran = Ran {
            is_late: true,
            ..Ran::unkept(end, "it ran for too long")
        };
        return Ok((ran, (output, error_output)));
    }
    let printed = match answer {
        Answer::Rehearse { .. } => (output.clone(), error_output.clone()),
        // It has been seen.
        _ => (None, None),
    };
    let ran = judged(
        link,
        plan,
        earlier,
        begun,
        (end, output, error_output),
        daemon.action_now(asked),
        &daemon.host_name,
    )
    .await?;
    Ok((ran, printed))
}

/// What of a run is kept.
pub(crate) async fn judged(
    link: &mut Link,
    plan: &Arc<Plan>,
    earlier: Earlier,
    begun: SystemTime,
    (end, output, error_output): Seen,
    again: impl Future<Output = Result<ActionDigest, Why>>,
    worker: &str,
) -> io::Result<Ran> {
    if end != End::Exited(0) && !plan.is_probe && !plan.keeps_failures {
        return Ok(Ran::unkept(end, "the command failed"));
    }
    let (Some(output), Some(error_output)) = (output, error_output) else {
        return Ok(Ran::unkept(end, "the command prints more than is kept"));
    };
    // Colours that somebody else has asked for are part of what it prints.
    let kept = match colours::are_asked_for(&plan.more) {
        true => colours::without(error_output),
        false => Some(error_output),
    };
    let Some(error_output) = kept else {
        return Ok(Ran::unkept(end, "the command prints for a terminal"));
    };
    let ended = SystemTime::now();
    // Also notices a header that has come to stand before another one meanwhile.
    let now = link.meanwhile(again).await?;
    if !now.is_ok_and(|now| now == plan.subject.action_digest) {
        return Ok(Ran::unkept(end, "an input changed while the command ran"));
    }
    match end {
        End::Exited(0) => {}
        End::Exited(exit_code) => {
            let failure = Failure {
                exit_code,
                output,
                error_output,
            };
            let failure = Some(failure);
            return Ok(Ran {
                failure,
                ..Ran::unkept(end, "the command failed")
            });
        }
        End::Killed(_) => return Ok(Ran::unkept(end, "the command failed")),
    }
    let metadata = ExecutedActionMetadata {
        worker: worker.to_owned(),
        execution_start_timestamp: Some(begun.into()),
        execution_completed_timestamp: Some(ended.into()),
        ..ExecutedActionMetadata::default()
    };
    let plan = plan.clone();
    let collecting =
        tokio::task::spawn_blocking(move || collect(&plan, &earlier, output, error_output, metadata));
    let upload = link.meanwhile(collecting).await??;
    Ok(Ran {
        end,
        upload,
        failure: None,
        is_late: false,
    })
}

/// Has the wrapper run the real tool, and tells how that ended, for whoever writes it down; and whether it was ended because
/// `limit` was over. Nothing is kept.
pub(crate) async fn watch(
    link: &mut Link,
    program: &Path,
    limit: Option<Duration>,
) -> io::Result<(End, bool)> {
    let answer = Answer::Run {
        program: program.to_owned(),
        through: Vec::new(),
        more: Vec::new(),
        apart: limit.is_some(),
    };
    let child = OnceLock::new();
    let (end, ..) = watched(link, &answer, &child, limit).await?;
    Ok((end, is_late(&child, end)))
}

/// Whether it was ended because it took too long. It may have succeeded at that very moment.
pub(crate) fn is_late(child: &OnceLock<Child>, end: End) -> bool {
    end != End::Exited(0) && child.get().is_some_and(Child::is_late)
}

/// The end of what the wrapper was told to run, and what it printed, as far as that is kept. It is `started` when it is, and
/// ended after `limit`, if it has a process group of its own.
pub(crate) async fn watched(
    link: &mut Link,
    answer: &Answer,
    started: &OnceLock<Child>,
    limit: Option<Duration>,
) -> io::Result<Seen> {
    link.say(answer).await?;
    let leads_group = matches!(answer, Answer::Rehearse { .. } | Answer::Run { apart: true, .. });
    loop {
        let ending = async {
            if let (Some(child), Some(limit)) = (started.get(), limit) {
                child.end_after(limit).await;
            }
            // How that went is told by the wrapper.
            pending().await
        };
        let heard = tokio::select! {
            biased;
            heard = link.report() => heard,
            never = ending => never,
        };
        match heard {
            Ok(Report::Started { process }) => {
                if let Some(child) = Child::of(process, leads_group) {
                    let _ = started.set(child);
                }
            }
            Ok(Report::Ran {
                end,
                output,
                error_output,
            }) => return Ok((end, output, error_output)),
            Ok(Report::Input(_) | Report::InputLeft | Report::TakenBack) => {}
            Err(error) => {
                // Nobody waits for the command any more; what it would still write would surprise the next build.
                if let Some(child) = started.get() {
                    child.terminate();
                    // No signal of a terminal reaches one that leads a group of its own, and it may take no notice of this one.
                    child.gone().await;
                }
                return Err(error);
            }
        }
    }
}

/// What is kept of a command that ended well.
fn collect(
    plan: &Plan,
    earlier: &Earlier,
    output: Vec<u8>,
    error_output: Vec<u8>,
    metadata: ExecutedActionMetadata,
) -> Result<Upload, &'static str> {
    if plan.is_declared && earlier.is_left(&plan.subject.outputs) {
        return Err("an output was there before and was not made anew");
    }
    let made = outputs::read(&plan.subject.outputs, earlier).map_err(|_| "an output cannot be read")?;
    let made = made.ok_or("an output is missing, or is too large, or is no file")?;
    let directories = directory::read(&plan.subject.outputs, earlier)?;
    let whole = Whole {
        files: made,
        directories,
        output: output.into(),
        error_output: error_output.into(),
        exit_code: 0,
        execution_metadata: Some(metadata),
    };
    Upload::of(plan, whole)
}
