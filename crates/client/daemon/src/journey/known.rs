//! The cache: of this machine, then of the server; and which failures are taken from it and kept in it.

use std::io;
use std::sync::Arc;

use settings::Kind;

use super::{Outcome, shown};
use crate::attempt::{Fetched, cached};
use crate::counts::How;
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
    let wanted = &asked.wanted;
    match fetched(daemon, asked, subject, link).await? {
        Some(fetched) => shown(daemon, link, wanted, subject, fetched, How::Hit)
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
    let fetched = looked_up(daemon, &asked.wanted.build, subject, takes_failures, link).await?;
    Ok(fetched.filter(Fetched::may_be_taken))
}

async fn looked_up(
    daemon: &Arc<Daemon>,
    build: &str,
    subject: &Subject,
    takes_failures: bool,
    link: &mut Link,
) -> io::Result<Option<Fetched>> {
    if let Some(here) = &daemon.here
        && let Some(fetched) = link.meanwhile(here.known(subject, takes_failures)).await?
    {
        return Ok(Some(fetched));
    }
    let service = &daemon.service;
    let Some(server) = link.meanwhile(service.server(build)).await? else {
        return Ok(None);
    };
    let Some((result, fetched)) = link
        .meanwhile(cached::known(service, &server, subject, takes_failures))
        .await?
    else {
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
