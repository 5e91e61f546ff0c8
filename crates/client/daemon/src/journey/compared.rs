//! A command that is done again to see whether it always comes out the same.

use std::io;
use std::sync::Arc;

use daemon_api::End;
use reapi::execution::ActionResult;
use remote_action::Server;
use settings::Strategy;

use super::{Outcome, real, worker};
use crate::attempt::compared::Results;
use crate::attempt::{cached, here, print};
use crate::counts::How;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::limits::RERUNS_MAX;
use crate::link::Link;
use crate::plan::{Plan, Subject};

/// How a command ends whose outputs were to be equal, and are not.
const MISMATCH: End = End::Exited(1);

/// All of it, to see whether it always comes out the same: what is known, what workers make, what this machine makes. The
/// build gets what was made here.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    plan: &Arc<Plan>,
    link: &mut Link,
) -> io::Result<Outcome> {
    let (service, wanted) = (&daemon.service, &*asked.wanted);
    let mut results = Results::default();
    let mut fallback = None;
    // What is not even comparable is not equal.
    let mut unequal = None;
    asked.course.enter(Phase::LookUp);
    let server = link.meanwhile(service.server(&wanted.caller())).await?;
    if wanted.takes_known() {
        let known = known_result(daemon, server.as_ref(), &plan.subject);
        if let Some(result) = link.meanwhile(known).await? {
            results.add(&plan.subject, &result);
        }
    }
    let reruns = match wanted.strategy {
        Strategy::Local => 0,
        _ => wanted.settings.remote_reruns.clamp(1, RERUNS_MAX),
    };
    for _ in 0..reruns {
        let Some(server) = &server else { break };
        match worker(daemon, server, asked, plan, true, link).await? {
            Ok(executed) if executed.fetched.exit_code != 0 => {
                let why = format!("a worker's exit code was {}", executed.fetched.exit_code);
                unequal = Some(why.clone());
                fallback = Some(why);
            }
            Ok(executed) => match executed.upload {
                Ok(upload) => results.add(&plan.subject, &upload.result),
                Err(why) => fallback = Some(why.to_owned()),
            },
            Err(why) => fallback = Some(why.to_string()),
        }
    }
    let _slot = real::slot(daemon, asked, link).await?;
    let runs = wanted.settings.local_reruns.clamp(1, RERUNS_MAX);
    let is_hidden = wanted.settings.fail_on_mismatch;
    // Who is to see nothing of what differs must not see the last run either before it is over.
    let rehearsals = if is_hidden { runs } else { runs - 1 };
    let mut last = None;
    for _ in 0..rehearsals {
        let (ran, printed) = here::rehearse(link, plan, asked, daemon).await?;
        let is_whole = match &ran.upload {
            Ok(upload) => {
                results.add(&plan.subject, &upload.result);
                true
            }
            Err(why) => {
                unequal.get_or_insert_with(|| (*why).to_owned());
                false
            }
        };
        last = is_hidden.then_some((ran, printed));
        if !is_whole {
            break;
        }
    }
    let ran = match last {
        Some((ran, (Some(output), Some(error_output)))) => {
            let different = results.different().unwrap_or_default();
            if !different.is_empty() {
                unequal = Some(format!("{} differ from run to run", different.join(", ")));
            }
            match (ran.end, unequal) {
                (End::Exited(0), Some(why)) => {
                    let line = format!("farrier: {}: {why}\n", plan.subject.name);
                    print(link, b"", line.as_bytes()).await?;
                    here::Ran { end: MISMATCH, ..ran }
                }
                _ => {
                    print(link, &output, &error_output).await?;
                    ran
                }
            }
        }
        // What it prints is too long to be kept, so nothing could be compared either.
        _ => {
            let ran = here::run(link, plan, asked, daemon).await?;
            if let Ok(upload) = &ran.upload {
                results.add(&plan.subject, &upload.result);
            }
            ran
        }
    };
    if ran.is_late {
        let ended = real::too_late(asked, link, &plan.subject.name).await?;
        let how = How::LocalOnly("it ran for too long".to_owned());
        return Ok(Outcome {
            fallback,
            ..ended.into_outcome(how)
        });
    }
    let (how, different) = match ran.upload {
        Ok(upload) => {
            let different = results.different();
            let is_new = different.is_none();
            // What is known stays as it is: whoever looks into a difference wants to have both.
            let keeps = wanted.keeps_own() && plan.not_kept_here.is_none();
            let is_kept = is_new && keeps && daemon.uploads.send(service, server, upload);
            let how = match is_kept {
                true => How::Local,
                false => How::LocalOnly("it was compared".to_owned()),
            };
            (how, different)
        }
        Err(why) => (How::LocalOnly(why.to_owned()), None),
    };
    Ok(Outcome {
        fallback,
        different,
        ..Outcome::of(how, Some(ran.end))
    })
}

/// The known result of a command: of this machine, else of the server.
pub(super) async fn known_result(
    daemon: &Arc<Daemon>,
    server: Option<&Server>,
    subject: &Subject,
) -> Option<ActionResult> {
    if let Some(here) = &daemon.here
        && let Some(result) = here.result(subject, false).await
    {
        return Some(result);
    }
    cached::result(&daemon.service, server?, subject, false).await
}
