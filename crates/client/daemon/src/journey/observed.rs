//! A command of a tool that nobody knows: watched when it runs, expected to look at the same things the next time.

mod remotely;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon_api::End;
use reapi::execution::ExecutedActionMetadata;
use settings::Strategy;

use super::known::fetched;
use super::{Done, Outcome, compared, real, shown};
use crate::attempt::compared::Results;
use crate::attempt::observed::{self, Watched};
use crate::attempt::{Whole, cached, kept};
use crate::counts::How;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::earlier::Earlier;
use crate::link::Link;
use crate::outputs;
use crate::plan::{Plan, PlannedOutput, Prediction, Predictions, Question, Subject};
use crate::uploads::Upload;

/// From the cache if it looked at the same things before, else by this machine, watched.
pub(super) async fn done(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    observer: &observed::Observer,
    link: &mut Link,
) -> io::Result<Done> {
    let begun = Instant::now();
    let wanted = &asked.wanted;
    asked.course.enter(Phase::Planning);
    let question = match link.meanwhile(daemon.question_of(asked)).await? {
        Ok(question) => Arc::new(question),
        Err(why) => return real::done(daemon, asked, link, &why, begun.elapsed()).await,
    };
    asked.course.makes(&question.subject.name);
    asked.course.enter(Phase::LookUp);
    let predictions = link
        .meanwhile(predictions(daemon, asked, &question.subject))
        .await?;
    let compares = wanted.settings.compare;
    if wanted.takes_known() && !compares {
        for prediction in predictions.likely() {
            asked.course.enter(Phase::Planning);
            let plan = match link
                .meanwhile(daemon.predicted(asked, &question, prediction))
                .await?
            {
                Ok(plan) => plan,
                // It would look at something else this time.
                Err(why) => {
                    tracing::debug!(step = question.subject.name, %why, "a prediction does not hold");
                    continue;
                }
            };
            let planning = begun.elapsed();
            if let Some(fetched) = fetched(daemon, asked, &plan.subject, link).await? {
                make_directories(prediction);
                let outcome = shown(daemon, asked, link, &plan.subject, fetched, How::Hit).await?;
                return Ok(Done {
                    subject: Some(plan.subject),
                    planning,
                    outcome,
                });
            }
        }
    }
    let planning = begun.elapsed();
    let mut fallback = None;
    if wanted.strategy != Strategy::Local && !compares {
        let ran = match predictions.likely().next() {
            Some(expected) => remotely::run(daemon, asked, &question, expected, link).await?,
            None => Err("nobody has seen yet what it looks at".to_owned()),
        };
        match ran {
            Ok(ran) => {
                return shown_of_worker(daemon, asked, &question, &predictions, ran, planning, link).await;
            }
            Err(why) => fallback = Some(why),
        }
    }
    let _slot = real::slot(daemon, asked, link).await?;
    asked.course.enter(Phase::Here);
    let watched = observed::run(link, observer, asked).await?;
    asked.course.enter(Phase::Keeping);
    if watched.is_late {
        let ended = real::too_late(asked, link, &question.subject.name).await?;
        let how = How::LocalOnly("it ran for too long".to_owned());
        return Ok(Done {
            subject: Some(question.subject.clone()),
            planning,
            outcome: Outcome {
                fallback,
                ..ended.into_outcome(how)
            },
        });
    }
    let end = watched.end;
    let kept = match end {
        End::Exited(0) => keep(daemon, asked, &question, &predictions, watched, link).await?,
        _ => Err("the command failed".to_owned()),
    };
    let (subject, how, different) = match kept {
        Ok((subject, None)) => (subject, How::Local, None),
        Ok((subject, different)) => (subject, How::LocalOnly("it was compared".to_owned()), different),
        Err(why) => (question.subject.clone(), How::LocalOnly(why), None),
    };
    Ok(Done {
        subject: Some(subject),
        planning,
        outcome: Outcome {
            fallback,
            different,
            ..Outcome::of(how, Some(end))
        },
    })
}

/// Shows what a worker has made, and keeps it.
async fn shown_of_worker(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    question: &Question,
    predictions: &Predictions,
    ran: remotely::Ran,
    planning: Duration,
    link: &mut Link,
) -> io::Result<Done> {
    let wanted = &asked.wanted;
    make_directories(&ran.prediction);
    let mut how = if ran.is_cached { How::Hit } else { How::Remote };
    if !wanted.settings.uncacheable {
        let sent = match predicted(question, predictions, ran.prediction) {
            Ok(predicted) => send(daemon, asked, [ran.upload, predicted], link).await?,
            Err(why) => Err(why),
        };
        match sent {
            Err(why) if how == How::Remote => how = How::RemoteOnly(why),
            _ => {}
        }
    }
    let outcome = shown(daemon, asked, link, &ran.subject, ran.fetched, how).await?;
    Ok(Done {
        subject: Some(ran.subject),
        planning,
        outcome,
    })
}

/// Those that the command would have made for its products.
fn make_directories(prediction: &Prediction) {
    for directory in prediction.directories_to_make() {
        // If it cannot be made, neither can what belongs there, and that is told.
        let _ = fs::create_dir_all(directory);
    }
}

/// What is known of how the command behaves: on this machine, else at the server.
async fn predictions(daemon: &Arc<Daemon>, asked: &Asked, question: &Subject) -> Predictions {
    let fetched = async {
        if let Some(here) = &daemon.here
            && let Some(fetched) = here.known(question, false).await
        {
            return Some(fetched);
        }
        let server = daemon.service.server(&asked.wanted.caller()).await?;
        let (_, fetched) = cached::known(&daemon.service, &server, question, false).await?;
        Some(fetched)
    };
    let fetched = fetched.await;
    fetched.map_or_else(Predictions::default, |fetched| {
        Predictions::read(fetched.output())
    })
}

/// Keeps what came of the run, and what it looked at; or says why not. Where it is to be compared with what is known, that stays,
/// and the outputs that differ are told.
async fn keep(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    question: &Arc<Question>,
    predictions: &Predictions,
    watched: Watched,
    link: &mut Link,
) -> io::Result<Result<(Subject, Option<Vec<String>>), String>> {
    let Watched {
        begun,
        ended,
        output: Some(output),
        error_output: Some(error_output),
        deeds,
        ..
    } = watched
    else {
        return Ok(Err("the command prints more than is kept".to_owned()));
    };
    let deeds = match deeds {
        Ok(deeds) => deeds,
        Err(why) => return Ok(Err(why)),
    };
    let (plan, prediction) = match link.meanwhile(daemon.seen(asked, question, deeds, begun)).await? {
        Ok(seen) => seen,
        Err(why) => return Ok(Err(why.to_string())),
    };
    if !asked.wanted.keeps_own() {
        return Ok(Err("it is not to be kept".to_owned()));
    }
    let metadata = ExecutedActionMetadata {
        worker: daemon.host_name.clone(),
        execution_start_timestamp: Some(begun.into()),
        execution_completed_timestamp: Some(ended.into()),
        ..ExecutedActionMetadata::default()
    };
    let subject = plan.subject.clone();
    let printed = (output, error_output);
    let mask = outputs::mask_of(link.process());
    let collecting = tokio::task::spawn_blocking(move || collect(&plan, mask, printed, metadata));
    let upload = match link.meanwhile(collecting).await?? {
        Ok(upload) => upload,
        Err(why) => return Ok(Err(why.to_owned())),
    };
    let predicted = match predicted(question, predictions, prediction) {
        Ok(predicted) => predicted,
        Err(why) => return Ok(Err(why)),
    };
    if asked.wanted.settings.compare {
        let server = link
            .meanwhile(daemon.service.server(&asked.wanted.caller()))
            .await?;
        let known = compared::known_result(daemon, server.as_ref(), &subject);
        if let Some(known) = link.meanwhile(known).await? {
            let mut results = Results::default();
            results.add(&subject, &known);
            results.add(&subject, &upload.result);
            return Ok(Ok((subject, results.different())));
        }
    }
    let sent = send(daemon, asked, [upload, predicted], link).await?;
    Ok(sent.map(|()| (subject, None)))
}

/// What is now known of how the command behaves.
fn predicted(question: &Question, predictions: &Predictions, latest: Prediction) -> Result<Upload, String> {
    let (result, blobs) = kept(&question.subject, Whole::printed(predictions.with(latest)))?;
    Ok(Upload {
        action: question.subject.action_digest,
        result,
        blobs,
        messages: question.messages(),
        is_at_server: false,
    })
}

async fn send(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    uploads: [Upload; 2],
    link: &mut Link,
) -> io::Result<Result<(), String>> {
    let service = &daemon.service;
    let server = link.meanwhile(service.server(&asked.wanted.caller())).await?;
    let mut all = uploads.into_iter();
    Ok(
        match all.all(|upload| daemon.uploads.send(service, server.clone(), upload)) {
            true => Ok(()),
            false => Err("too much waits to be uploaded".to_owned()),
        },
    )
}

/// What the run made, all of it plain files.
fn collect(
    plan: &Plan,
    mask: u32,
    (output, error_output): (Vec<u8>, Vec<u8>),
    metadata: ExecutedActionMetadata,
) -> Result<Upload, &'static str> {
    let is_file =
        |output: &PlannedOutput| fs::symlink_metadata(&output.path).is_ok_and(|found| found.is_file());
    if !plan.subject.outputs.iter().all(is_file) {
        return Err("an output is missing, or is no file");
    }
    // A result has no other modes; keys, say, are not for everybody.
    let has_usual_mode = |output: &PlannedOutput| {
        let mode = fs::metadata(&output.path).map(|found| found.permissions().mode() & 0o7777);
        mode.is_ok_and(|mode| [0o666, 0o777].iter().any(|usual| usual & !mask == mode))
    };
    if !plan.subject.outputs.iter().all(has_usual_mode) {
        return Err("an output has a mode of its own");
    }
    // Whatever is there was made by this run: it was seen.
    let made = outputs::read(&plan.subject.outputs, &Earlier::default());
    let made = made.map_err(|_| "an output cannot be read")?;
    let whole = Whole {
        files: made.ok_or("an output is missing, or is too large, or is no file")?,
        directories: Vec::new(),
        output: output.into(),
        error_output: error_output.into(),
        exit_code: 0,
        execution_metadata: Some(metadata),
    };
    Upload::of(plan, whole)
}
