//! The real tool, as if nobody had asked; and a place on this machine for what was to be done elsewhere.

use std::io;
use std::path::Path;
use std::time::Duration;

use daemon_api::{Answer, End};
use settings::Strategy;

use super::{Done, Outcome};
use crate::attempt::here;
use crate::counts::How;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::link::Link;
use crate::not_executed::NotExecuted;
use crate::plan::Why;
use crate::slots::Slot;

/// How the real tool ended.
pub(super) struct Ended {
    /// `None` where the wrapper has become it.
    pub(super) end: Option<End>,
    /// Set where it was ended because it took too long.
    pub(super) not_executed: Option<NotExecuted>,
}

/// The real tool does a command that was not understood, for this reason.
pub(super) async fn done(
    daemon: &Daemon,
    asked: &Asked,
    link: &mut Link,
    why: &Why,
    planning: Duration,
) -> io::Result<Done> {
    tracing::debug!(%why, "the real tool runs");
    let ended = run(daemon, asked, link, &asked.program).await?;
    Ok(Done {
        subject: None,
        planning,
        outcome: ended.into_outcome(How::Real(why.label())),
    })
}

/// Has the real tool run, and waits for its end where somebody wants to know it.
pub(super) async fn run(
    daemon: &Daemon,
    asked: &Asked,
    link: &mut Link,
    program: &Path,
) -> io::Result<Ended> {
    let slot = slot(daemon, asked, link).await?;
    asked.course.enter(Phase::Here);
    if !asked.wanted.is_watched() {
        let process = link.process();
        if let Some(slot) = slot {
            slot.until_gone(process);
        }
        become_it(link, program).await?;
        return Ok(Ended {
            end: None,
            not_executed: None,
        });
    }
    let (end, is_late) = here::watch(link, program, asked.wanted.exec_timeout()).await?;
    match is_late {
        true => too_late(asked, link, &program.display().to_string()).await,
        false => Ok(Ended {
            end: Some(end),
            not_executed: None,
        }),
    }
}

/// The wrapper becomes the real tool.
pub(super) async fn become_it(link: &mut Link, program: &Path) -> io::Result<()> {
    link.say(&Answer::Execute {
        program: program.to_owned(),
    })
    .await
}

/// A place on this machine, for those that were to be done elsewhere; the others are the build's own choice.
pub(super) async fn slot(daemon: &Daemon, asked: &Asked, link: &mut Link) -> io::Result<Option<Slot>> {
    if asked.wanted.strategy == Strategy::Local {
        return Ok(None);
    }
    asked.course.enter(Phase::Slot);
    // First what make has too few of, then what this machine has: in this order everybody takes both, so that nobody waits for
    // somebody who waits for him.
    link.take_back().await?;
    let process = link.process();
    link.meanwhile(daemon.slots.slot(process)).await.map(Some)
}

/// Says that a command was ended because it took too long, as whoever asked for it says it.
pub(super) async fn too_late(asked: &Asked, link: &mut Link, step: &str) -> io::Result<Ended> {
    let (why, dialect) = (NotExecuted::ExecTimeout, asked.wanted.settings.dialect);
    let line = why.line(dialect, &asked.execution_id, step);
    link.say(&Answer::ErrorOutput(line.into_bytes())).await?;
    Ok(Ended {
        end: Some(End::Exited(why.exit_code(dialect))),
        not_executed: Some(why),
    })
}

impl Ended {
    /// As what came of a command.
    pub(super) fn into_outcome(self, how: How) -> Outcome {
        Outcome {
            not_executed: self.not_executed,
            ..Outcome::of(how, self.end)
        }
    }
}
