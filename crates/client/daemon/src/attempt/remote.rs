//! By a worker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use parking_lot::Mutex;
use reapi::execution::execution_stage::Value as Stage;
use reapi::execution::{ActionResult, ExecuteOperationMetadata, ExecuteResponse};
use reapi::rpc::Code;
use remote_action::{Execution, Observer, OperationSlot, Server};
use tokio::time::Instant;

use super::cached::first_blob;
use super::shown::{self, Fetched};
use crate::breaker::Deed;
use crate::course::{Course, Phase};
use crate::limits::{EXECUTE_FAILS_FOR, FETCH_STALLS_FOR, MADE_STALLS_FOR, STORE_STALLS_FOR};
use crate::not_executed::NotExecuted;
use crate::outages::{NotRun, is_outage};
use crate::plan::Plan;
use crate::service::{Part, Service, Turn};
use crate::uploads::Upload;

/// What a worker has made of a command.
pub(crate) struct Executed {
    pub(crate) fetched: Fetched,
    /// It was known already, under the name that workers know it by.
    pub(crate) is_cached: bool,
    /// To be kept under the name that it is looked for by; or why not.
    pub(crate) upload: Result<Upload, &'static str>,
    /// What the worker was lacking.
    pub(crate) uploaded_bytes: u64,
}

impl Executed {
    /// It is known to have failed before.
    pub(crate) fn is_cached_failure(&self) -> bool {
        self.is_cached && self.fetched.exit_code != 0
    }
}

/// What is to be run, and for whom.
pub(crate) struct Wish<'a> {
    pub(crate) plan: &'a Plan,
    /// Even if the result is known.
    pub(crate) again: bool,
    /// Nobody else can do it: whatever may still help is waited for.
    pub(crate) needs: bool,
    pub(crate) course: &'a Course,
}

/// Has a worker run it. An error says why none did; what the command itself does wrong is a result.
pub(crate) async fn run(service: &Arc<Service>, server: &Server, wish: Wish<'_>) -> Result<Executed> {
    let turn = service.turn(Part::Workers, wish.needs).map_err(|why| {
        let why = format!("workers are not asked for now: {why}");
        NotExecuted::Remote(why)
    })?;
    let lost = async {
        match wish.needs {
            // Nobody else can do it: whether it can be done, the calls themselves find out.
            true => std::future::pending().await,
            false => tokio::select! {
                () = service.down() => {}
                () = service.watch(server) => {}
            },
        }
    };
    tokio::select! {
        biased;
        outcome = executed(service, server, &wish, turn) => outcome,
        () = lost => bail!("the server went down"),
    }
}

/// Uploads what the worker needs, has it run, and fetches what it has made.
async fn executed(service: &Arc<Service>, server: &Server, wish: &Wish<'_>, turn: Turn) -> Result<Executed> {
    let Wish { plan, course, .. } = wish;
    let (store, subject) = (&*server.store, &plan.subject);
    course.enter(Phase::Upload);
    let uploading = plan.sources.upload_missing(store);
    let sent = service.moves.up.while_moving(STORE_STALLS_FOR, uploading).await;
    let sent = match sent.map_err(Error::from).and_then(|sent| sent) {
        Ok(sent) => sent,
        Err(error) => {
            // Without its inputs no worker can do anything either.
            if is_outage(Deed::Store, &error) {
                turn.failed(format!("{error:#}"));
            }
            return Err(error);
        }
    };

    course.enter(Phase::Queue);
    let operation = CancelledOnDrop {
        operation: OperationSlot::default(),
        service: service.clone(),
    };
    let turn = Mutex::new(turn);
    let progress = Progress {
        course,
        turn: &turn,
        patience: (!wish.needs).then_some(EXECUTE_FAILS_FOR),
        failing_since: Mutex::default(),
    };
    let execution = Execution {
        server,
        action_digest: plan.executed_digest,
        skip_cache_lookup: wish.again,
        priority: 0,
        observer: &progress,
        operation: &operation.operation,
    };
    let response = execution.run_uploaded(&plan.sources).await;
    let response = response.and_then(|response| Ok((response.cached_result, result_of(response)?)));
    let (is_cached, result) = match response {
        Ok(response) => {
            turn.lock().does();
            response
        }
        Err(error) => {
            if is_outage(Deed::Execute, &error) {
                turn.into_inner().failed(format!("{error:#}"));
            }
            return Err(error);
        }
    };

    course.enter(Phase::Download);
    let stalls_for = match wish.needs {
        true => MADE_STALLS_FOR,
        false => FETCH_STALLS_FOR,
    };
    let fetching = shown::fetch_made(store, subject, result.clone());
    let fetched = service.moves.down.while_moving(stalls_for, fetching).await;
    let fetched = fetched.map_err(Error::from).and_then(|fetched| fetched);
    let fetched = service
        .noted(Deed::Fetch, fetched)
        .inspect_err(|_| service.withholds(first_blob(&result)))?;
    let fetched = fetched.ok_or_else(|| anyhow!("an output is missing"))?;
    let (kept, is_at_server) = match (&subject.moved, fetched.exit_code) {
        (None, _) => (Ok((result, fetched.blobs())), true),
        (Some(_), 0) => (fetched.kept(subject, &result), false),
        (Some(_), _) => (Err("the command failed"), false),
    };
    let upload = kept.map(|(result, blobs)| Upload {
        action: subject.action_digest,
        result,
        blobs,
        messages: Vec::new(),
        is_at_server,
    });
    Ok(Executed {
        fetched,
        is_cached,
        upload,
        uploaded_bytes: sent.bytes,
    })
}

/// How an execution goes, and how long it may go wrong.
struct Progress<'a> {
    course: &'a Course,
    turn: &'a Mutex<Turn>,
    patience: Option<Duration>,
    failing_since: Mutex<Option<Instant>>,
}

impl Observer for Progress<'_> {
    fn stage(&self, metadata: &ExecuteOperationMetadata) {
        *self.failing_since.lock() = None;
        // How long it waits and runs is its own business.
        self.turn.lock().does();
        self.course.enter(match metadata.stage() {
            Stage::Executing => Phase::Worker,
            Stage::Unknown | Stage::CacheCheck | Stage::Queued => Phase::Queue,
            // Its outputs are on their way.
            Stage::Completed => return,
        });
    }

    fn step(&self, line: &dyn Fn() -> String) {
        tracing::debug!("{}", line());
    }

    fn goes_on(&self) -> bool {
        let since = *self.failing_since.lock().get_or_insert_with(Instant::now);
        self.patience.is_none_or(|patience| since.elapsed() < patience)
    }
}

fn result_of(response: ExecuteResponse) -> Result<ActionResult> {
    let status = response.status.unwrap_or_default();
    if status.code == Code::DeadlineExceeded as i32 {
        return Err(NotExecuted::ExecTimeout.into());
    }
    if status.code != Code::Ok as i32 {
        return Err(Error::new(NotRun {
            code: status.code,
            message: status.message,
        }));
    }
    response
        .result
        .context("the server reports success without a result")
}

/// An execution that nobody waits for any more is cancelled.
struct CancelledOnDrop {
    operation: OperationSlot,
    service: Arc<Service>,
}

impl Drop for CancelledOnDrop {
    fn drop(&mut self) {
        let operation = self.operation.clone();
        self.service.spawn("cancelling an execution", async move {
            if let Some(outcome) = operation.cancel().await {
                tracing::debug!(outcome, "an execution that nobody waits for");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::service::tests::unreachable;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_to_execute_is_asked_again_only_for_a_while() {
        let course = Course::begin("a.o".to_owned());
        let service = unreachable();
        let turn = Mutex::new(service.turn(Part::Workers, false).unwrap());
        let progress = |patience| Progress {
            course: &course,
            turn: &turn,
            patience,
            failing_since: Mutex::default(),
        };
        let (bounded, needed) = (progress(Some(EXECUTE_FAILS_FOR)), progress(None));
        assert!(bounded.goes_on());
        advance(EXECUTE_FAILS_FOR / 2).await;
        assert!(bounded.goes_on());
        // It says something: what fails then is another failure.
        bounded.stage(&ExecuteOperationMetadata::default());
        advance(EXECUTE_FAILS_FOR / 2).await;
        assert!(bounded.goes_on() && needed.goes_on());
        advance(EXECUTE_FAILS_FOR).await;
        assert!(!bounded.goes_on() && needed.goes_on());
    }
}
