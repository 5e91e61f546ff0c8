//! A worker and this machine, whichever is first; the other one is ended.
//!
//! Only a success wins. A worker's failure decides nothing while the command runs here, and a run here is ended before the
//! worker's outputs are written, with all that it has started: nothing writes to them any more. So only commands race whose
//! outputs are files that a success always makes.

use std::future::ready;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use daemon_api::{Answer, End};
use remote_action::Server;
use settings::Strategy;
use tokio::time::sleep;

use super::executing;
use crate::attempt::child::Child;
use crate::attempt::here::{self, Seen};
use crate::attempt::remote::Executed;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::failures::Failure;
use crate::link::Link;
use crate::not_executed::NotExecuted;
use crate::plan::Plan;
use crate::usual::{Kind, USUAL_BIAS, Usual};
use crate::wanted::Wanted;

/// How often a run that has lost is told so: it may be about to begin.
const END_EVERY: Duration = Duration::from_millis(5);

/// How a race ended.
pub(super) enum Raced {
    /// By a worker, well or not.
    Elsewhere(Result<Executed, NotExecuted>),
    /// Here, and nobody has seen what it printed yet.
    Here {
        ran: here::Ran,
        output: Vec<u8>,
        error_output: Vec<u8>,
        /// What a worker had said before, if that was a failure.
        fallback: Option<String>,
    },
}

/// Whether a command may run in two places at once.
pub(super) fn may_race(wanted: &Wanted, plan: &Plan) -> bool {
    let outputs = &plan.subject.outputs;
    wanted.strategy == Strategy::Racing
        && wanted.input.is_none()
        // A wrapper may start what leaves its process group, and would go on.
        && !wanted.is_wrapped()
        // Whether it is unchanged nobody can say once a loser has written there.
        && !wanted.settings.preserve_unchanged_output_mtime
        && plan.elsewhere.is_none()
        && !plan.is_declared
        && !plan.is_quick
        && outputs
            .iter()
            .all(|output| output.is_required && !output.is_directory)
}

/// Has a worker run it, and this machine too where that promises to be sooner.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    asked: &Asked,
    server: &Server,
    plan: &Arc<Plan>,
    link: &mut Link,
) -> io::Result<Raced> {
    let wanted = &*asked.wanted;
    let kind = (plan.subject.program.clone(), plan.is_link);
    let bias = daemon.rules.racing_bias.unwrap_or(USUAL_BIAS);
    let delay = daemon.usual.local_start(&kind, bias);
    link.say(&Answer::Waiting).await?;
    let begun = Instant::now();
    let mut elsewhere = pin!(executing(daemon, server, asked, plan, !wanted.takes_known()));
    let turn = async {
        sleep(delay).await;
        let turn = daemon.racers.acquire().await;
        turn.expect("nobody closes the semaphore")
    };
    let first = async {
        tokio::select! {
            biased;
            executed = &mut elsewhere => Err(executed),
            turn = turn => Ok(turn),
        }
    };
    let _turn = match link.meanwhile(first).await? {
        Ok(turn) => turn,
        Err(executed) => {
            if executed.is_ok() {
                daemon.usual.elsewhere(kind, begun.elapsed());
            }
            return Ok(Raced::Elsewhere(executed));
        }
    };

    let earlier = here::before(link, plan, daemon).await?;
    asked.course.enter(Phase::Here);
    let begun_here = SystemTime::now();
    let child = OnceLock::new();
    let answer = here::rehearsal(plan);
    // Meanwhile it may be over.
    tokio::select! {
        biased;
        executed = &mut elsewhere => return Ok(Raced::Elsewhere(executed)),
        () = ready(()) => {}
    }
    let (seen, executed) = {
        let limit = wanted.exec_timeout();
        let mut here = pin!(here::watched(link, &answer, &child, limit));
        tokio::select! {
            seen = &mut here => (seen?, None),
            executed = &mut elsewhere => {
                let seen = match has_won(&executed) {
                    true => ended(here, &child).await?,
                    false => here.await?,
                };
                (seen, Some(executed))
            }
        }
    };
    let is_won = executed.as_ref().is_some_and(has_won);
    // Without the time that it waited for its place among make's jobs.
    let ran = child.get().map(Child::since);
    learn(&daemon.usual, kind, is_won, begun.elapsed(), ran);
    match (seen, executed) {
        (_, Some(executed)) if is_won => {
            if let Some(child) = child.get() {
                link.meanwhile(child.gone()).await?;
            }
            Ok(Raced::Elsewhere(executed))
        }
        ((End::Exited(code), Some(output), Some(error_output)), executed) => {
            let failure = Failure {
                exit_code: code,
                output: output.clone(),
                error_output: error_output.clone(),
            };
            // It may have been this machine's: no memory, no room.
            let may_go_well = code != 0 && executed.is_none() && !failure.follows_from_inputs();
            let mut executed = match may_go_well {
                true => Some(link.meanwhile(elsewhere).await?),
                false => executed,
            };
            if let Some(executed) = executed.take_if(|executed| has_won(executed)) {
                return Ok(Raced::Elsewhere(executed));
            }
            let seen = (
                End::Exited(code),
                Some(failure.output),
                Some(failure.error_output),
            );
            let now = daemon.action_now(asked);
            let ran = here::judged(link, plan, earlier, begun_here, seen, now, &daemon.host_name).await?;
            Ok(Raced::Here {
                ran,
                output,
                error_output,
                fallback: executed.and_then(Result::err).map(|why| why.to_string()),
            })
        }
        // Nobody has seen anything of it, and nobody can any more.
        ((end, ..), executed) => {
            let executed = match executed {
                Some(executed) => executed,
                None => link.meanwhile(elsewhere).await?,
            };
            let is_to_be_seen = matches!(end, End::Exited(_)) && !has_won(&executed);
            Ok(Raced::Elsewhere(match is_to_be_seen {
                true => Err(NotExecuted::Remote("it prints more than is kept".to_owned())),
                false => executed,
            }))
        }
    }
}

/// What a race that both have run says of how long they take. `here` is `None` where nothing ran here.
fn learn(usual: &Usual, kind: Kind, is_won: bool, elsewhere: Duration, here: Option<Duration>) {
    match (is_won, here) {
        (true, Some(here)) => {
            usual.elsewhere(kind.clone(), elsewhere);
            usual.here_at_least(kind, here);
        }
        (true, None) => usual.elsewhere(kind, elsewhere),
        (false, Some(here)) => {
            usual.here(kind.clone(), here);
            usual.elsewhere_at_least(kind, elsewhere);
        }
        (false, None) => {}
    }
}

fn has_won(executed: &Result<Executed, NotExecuted>) -> bool {
    executed
        .as_ref()
        .is_ok_and(|executed| executed.fetched.exit_code == 0)
}

/// Ends a run here, and waits for its end.
async fn ended(
    mut here: Pin<&mut impl Future<Output = io::Result<Seen>>>,
    child: &OnceLock<Child>,
) -> io::Result<Seen> {
    let mut begun = None;
    loop {
        // It may be that it waits for a place among make's jobs and has not begun.
        if let Some(child) = child.get() {
            child.end(begun.get_or_insert_with(Instant::now).elapsed());
        }
        tokio::select! {
            seen = &mut here => return seen,
            () = sleep(END_EVERY) => {}
        }
    }
}
