//! By a worker, which tells what the command looked at: what was expected of it is then corrected, and it runs again if
//! something was missing. Nobody sees a run that did not have everything.

use std::io;
use std::sync::Arc;

use worker_api::v1::ObservedInputs;

use super::super::worker;
use crate::attempt::{Fetched, remote};
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::limits::CORRECTIONS_MAX;
use crate::link::Link;
use crate::plan::{CANNOT_TELL, Prediction, Question, Subject, Verdict, here, judge};
use crate::uploads::Upload;

/// A run on a worker that is as good as one here.
pub(super) struct Ran {
    pub(super) subject: Subject,
    /// What it looked at.
    pub(super) prediction: Prediction,
    pub(super) fetched: Fetched,
    pub(super) is_cached: bool,
    pub(super) upload: Upload,
}

/// Has a worker run it; or says why that came to nothing.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    question: &Arc<Question>,
    expected: &Prediction,
    link: &mut Link,
) -> io::Result<Result<Ran, String>> {
    let service = &daemon.service;
    let Some(server) = link.meanwhile(service.server(&asked.wanted.caller())).await? else {
        return Ok(Err("the server is down".to_owned()));
    };
    if service.cannot_observe() {
        return Ok(Err(CANNOT_TELL.to_owned()));
    }
    let mut prediction = expected.without_absent_files(&here);
    for _ in 0..=CORRECTIONS_MAX {
        asked.course.enter(Phase::Planning);
        let planned = daemon.executed(asked, question, &prediction);
        let (given, known, plan) = match link.meanwhile(planned).await? {
            Ok(planned) => planned,
            Err(why) => return Ok(Err(why.to_string())),
        };
        prediction = given;
        let again = !asked.wanted.takes_known();
        let executed = match worker(daemon, &server, asked, &plan, again, link).await? {
            Ok(executed) => executed,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let remote::Executed {
            fetched,
            is_cached,
            upload: Ok(upload),
            ..
        } = executed
        else {
            return Ok(Err("what a worker made cannot be kept".to_owned()));
        };
        let observed = ObservedInputs::of(&upload.result);
        match judge(&prediction, observed.as_ref(), question.root(), &here) {
            Verdict::Holds if fetched.exit_code == 0 => {
                let upload = Upload {
                    // The action that it is looked for by, which no worker was asked for.
                    messages: known.messages(),
                    ..upload
                };
                return Ok(Ok(Ran {
                    subject: known.subject,
                    prediction,
                    fetched,
                    is_cached,
                    upload,
                }));
            }
            Verdict::Holds => return Ok(Err("it failed on a worker".to_owned())),
            Verdict::Again(more) => prediction = more,
            Verdict::No(why) => {
                service.note_unobserved(why == CANNOT_TELL);
                return Ok(Err(why.to_owned()));
            }
        }
    }
    Ok(Err("a worker finds ever more that it looks at".to_owned()))
}
