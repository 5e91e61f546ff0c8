//! The cache: of this machine, then of the server; and which failures are taken from it and kept in it.

use std::io;
use std::sync::Arc;

use settings::Kind;

use super::{Outcome, shown};
use crate::attempt::{Fetched, cached};
use crate::counts::How;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::failures::Failure;
use crate::link::Link;
use crate::plan::{Plan, PlannedOutput, Subject, kind_of};
use crate::uploads::Upload;

/// Shows what the cache knows of a command.
pub(super) async fn known(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    subject: &Subject,
    link: &mut Link,
) -> io::Result<Option<Outcome>> {
    match fetched(daemon, asked, subject, link).await? {
        Some(fetched) => shown(daemon, asked, link, subject, fetched, How::Hit)
            .await
            .map(Some),
        None => Ok(None),
    }
}

/// What the cache knows of a command and may be taken, all of it here.
pub(super) async fn fetched(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    subject: &Subject,
    link: &mut Link,
) -> io::Result<Option<Fetched>> {
    let takes_failures = asked.wanted.takes_failures()
        && kind_of(&asked.request) != Some(Kind::Link)
        && makes_nothing(subject);
    let fetched = looked_up(daemon, asked, subject, takes_failures, link).await?;
    Ok(fetched.filter(Fetched::may_be_taken))
}

async fn looked_up(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    subject: &Subject,
    takes_failures: bool,
    link: &mut Link,
) -> io::Result<Option<Fetched>> {
    asked.course.enter(Phase::LookUp);
    if let Some(here) = &daemon.here
        && let Some(fetched) = link.meanwhile(here.known(subject, takes_failures)).await?
    {
        return Ok(Some(fetched));
    }
    let service = &daemon.service;
    let caller = asked.wanted.caller();
    let asking = async {
        let server = service.server(&caller).await?;
        let result = cached::result(service, &server, subject, takes_failures).await?;
        asked.course.enter(Phase::Download);
        let fetched = cached::fetched(service, &server, subject, &result).await?;
        Some((result, fetched))
    };
    let Some((result, fetched)) = link.meanwhile(asking).await? else {
        return Ok(None);
    };
    if daemon.here.is_some() {
        let upload = Upload {
            action: subject.action_digest,
            result,
            blobs: fetched.blobs(),
            messages: Vec::new(),
            is_at_server: true,
        };
        // Where too much waits, the server will be asked again.
        daemon.uploads.send(service, None, upload);
    }
    Ok(Some(fetched))
}

/// Nothing lies where an output would be.
fn makes_nothing(subject: &Subject) -> bool {
    let is_absent = |output: &PlannedOutput| output.path.symlink_metadata().is_err();
    subject.outputs.iter().all(is_absent)
}

/// Whether a failure is a result: it is wanted, it follows from what was read, and it has left nothing (a make rule, for
/// example) that whoever takes it would not get.
pub(super) fn is_kept_failure(plan: &Plan, failure: &Failure) -> bool {
    plan.keeps_failures && !plan.is_declared && failure.follows_from_inputs() && makes_nothing(&plan.subject)
}
