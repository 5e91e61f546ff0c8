//! One command, from the wrapper's request to its end.

mod compared;
mod counted;
mod known;
mod observed;
mod racing;
mod real;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use daemon_api::{Answer, End, Request};
use prost_types::Any;
use remote_action::Server;
use settings::{Kind, Strategy};
use tokio::time::timeout;
use uuid::Uuid;

use self::known::{is_kept_failure, known};
use self::racing::Raced;
use crate::attempt::observed::Observer;
use crate::attempt::{Fetched, Whole, here, print, remote, show};
use crate::counts::{How, Record};
use crate::course::{Course, Phase};
use crate::daemon::{Asked, Daemon, Finished};
use crate::link::Link;
use crate::not_executed::NotExecuted;
use crate::plan::{Plan, Subject, Why, kind_of, may_read_input, reads_input, strategy};
use crate::tool::{self, first_words};
use crate::uploads::Upload;
use crate::volume::Volume;
use crate::wanted::Wanted;

/// How a command went.
struct Outcome {
    how: How,
    fallback: Option<String>,
    /// Which outputs are not the same each time, if that was looked at.
    different: Option<Vec<String>>,
    /// How long it would have run here, if a known result says so.
    spared: Duration,
    /// Why nobody ran it, where nobody did.
    not_executed: Option<NotExecuted>,
    /// What servers and workers have added to its result.
    added: Vec<Any>,
    /// How much it read, made and moved.
    volume: Volume,
    /// `None` where the wrapper has become the real tool.
    end: Option<End>,
}

/// Does one command for a wrapper. An error means that the wrapper has gone, or goes on without the daemon.
pub(crate) async fn command(
    daemon: &Arc<Daemon>,
    request: Arc<Request>,
    link: &mut Link,
) -> io::Result<Option<Finished>> {
    let (begun, start) = (SystemTime::now(), Instant::now());
    let execution_id = Uuid::new_v4().to_string();
    // Without a tool there is nothing to run; the wrapper says so in the words of a shell.
    let Some(program) = tool::find(&request) else {
        return Ok(None);
    };
    daemon.slots.asks_anew(link.process());
    let course = Course::begin(first_words(&request));
    let _under_way = daemon.running.begin(&course);
    let _witnessed = daemon.witness.as_ref().map(|witness| witness.begins());
    let build;
    let Done {
        subject,
        planning,
        outcome,
    } = match Wanted::of(&request, daemon.strategy) {
        Ok(wanted) => {
            build = wanted.build.clone();
            let asked = Asked {
                request: request.clone(),
                program,
                wanted: Arc::new(wanted),
                execution_id: execution_id.clone(),
                course: course.clone(),
            };
            wish(daemon, asked, link).await?
        }
        // A front end of another version.
        Err(error) => {
            build = String::new();
            real::become_it(link, &program).await?;
            let why = Why::Setting(error.to_string());
            Done {
                subject: None,
                planning: start.elapsed(),
                outcome: Outcome::of(How::Real(why.label()), None),
            }
        }
    };
    let spans = course.end();
    let finished = Finished {
        execution_id,
        not_executed: outcome.not_executed,
        added: outcome.added,
        volume: outcome.volume,
        spans: spans.clone(),
        different: outcome.different,
        exit_code: outcome.end.map(|end| i32::from(end.exit_code())),
        is_cache_hit: outcome.how == How::Hit,
        ran_remotely: matches!(outcome.how, How::Remote | How::RemoteOnly(_)),
        fallback: outcome.fallback.clone(),
        begun,
        ended: SystemTime::now(),
        action: subject
            .as_ref()
            .map(|subject| subject.action_digest.digest().to_string()),
        request: request.clone(),
    };
    daemon.counts.add(Record {
        build,
        name: subject
            .as_ref()
            .map_or_else(|| first_words(&request), |subject| subject.name.clone()),
        how: outcome.how,
        fallback: outcome.fallback,
        different: finished.different.clone(),
        spared: outcome.spared,
        unsure: subject.as_ref().and_then(|subject| subject.unsure.clone()),
        dated: subject.as_ref().and_then(|subject| subject.dated),
        exit_code: finished.exit_code,
        begun,
        took: start.elapsed(),
        planning,
        spans,
        action: finished.action.clone(),
    });
    // Before the wrapper ends: who waits for it may read what is written down.
    if let Some(witness) = &daemon.witness {
        witness.finished(&finished);
    }
    if let Some(end) = outcome.end {
        link.say(&Answer::Ended(end)).await?;
    }
    Ok(Some(finished))
}

/// Does it as it is wanted, or leaves it to the real tool where not all of that is done here.
async fn wish(daemon: &Arc<Daemon>, mut asked: Asked, link: &mut Link) -> io::Result<Done> {
    let start = Instant::now();
    let wanted = Arc::make_mut(&mut asked.wanted);
    wanted.strategy = strategy(&asked.request, wanted);
    let forbidden = daemon.rules.apply(wanted);
    if let Some(setting) = forbidden.or_else(|| wanted.first_not_done()) {
        let why = Why::Setting(setting.to_owned());
        return real::done(daemon, &asked, link, &why, start.elapsed()).await;
    }
    asked.wanted = with_input(asked.wanted, &asked.request, link).await?;
    match observer_of(daemon, &asked) {
        Some(observer) => observed::done(daemon, &asked, observer, link).await,
        None => understood(daemon, &asked, link).await,
    }
}

/// Who is to watch the command, where its tool is one that is to be watched.
fn observer_of<'a>(daemon: &'a Daemon, asked: &Asked) -> Option<&'a Observer> {
    let observer = daemon.observer.as_ref()?;
    asked.wanted.is_observed(&asked.program).then_some(observer)
}

/// Asks for standard input where the command reads it. No worker gets any, so where one is to run the command it is left
/// to the real tool. Of a declared command nobody knows whether it does: it has to have none.
async fn with_input(wanted: Arc<Wanted>, request: &Request, link: &mut Link) -> io::Result<Arc<Wanted>> {
    let input = if may_read_input(request, &wanted) {
        // Nothing is taken: what the command leaves unread is somebody else's.
        link.has_no_input().then(Vec::new)
    } else if wanted.strategy != Strategy::Remote && reads_input(request) {
        link.input().await?
    } else {
        return Ok(wanted);
    };
    Ok(Arc::new(Wanted {
        input,
        ..Arc::unwrap_or_clone(wanted)
    }))
}

/// A command that is done, and what it was known by.
struct Done {
    /// `None` where it was not understood.
    subject: Option<Subject>,
    planning: Duration,
    outcome: Outcome,
}

/// A command of which everything that is wanted is done here: the cache, if it was looked at before; then a look at it, and
/// whatever follows from that.
async fn understood(daemon: &Arc<Daemon>, asked: &Asked, link: &mut Link) -> io::Result<Done> {
    let start = Instant::now();
    let wanted = &asked.wanted;
    let is_only_asked = wanted.settings.no_execute || wanted.settings.compare;
    if wanted.settings.count_link_hits && !is_only_asked && kind_of(&asked.request) == Some(Kind::Link) {
        return counted::run(daemon, asked, link).await;
    }
    let takes_known = wanted.takes_known() && !wanted.settings.no_execute && !wanted.settings.compare;
    let mut looked_up = None;
    if takes_known && let Some(subject) = link.meanwhile(daemon.recall(asked)).await? {
        let planning = start.elapsed();
        asked.course.makes(&subject.name);
        if let Some(outcome) = known(daemon, asked, &subject, link).await? {
            return Ok(Done {
                subject: Some(subject),
                planning,
                outcome,
            });
        }
        looked_up = Some(subject.action_digest);
    }
    let begun = Instant::now();
    asked.course.enter(Phase::Planning);
    let plan = match link.meanwhile(daemon.plan(asked)).await? {
        Ok(plan) => Arc::new(plan),
        Err(why) => return real::done(daemon, asked, link, &why, begun.elapsed()).await,
    };
    let planning = begun.elapsed();
    asked.course.makes(&plan.subject.name);
    let is_new = looked_up != Some(plan.subject.action_digest);
    let known = match takes_known && is_new {
        true => known(daemon, asked, &plan.subject, link).await?,
        false => None,
    };
    let outcome = match known {
        Some(outcome) => outcome,
        None if let Some(setting) = not_comparable(wanted, &plan) => {
            let why = Why::Setting(setting.to_owned());
            return real::done(daemon, asked, link, &why, planning).await;
        }
        None if wanted.settings.compare => compared::run(daemon, asked, &plan, link).await?,
        None => done(daemon, asked, &plan, link).await?,
    };
    Ok(Done {
        subject: Some(plan.subject.clone()),
        planning,
        outcome,
    })
}

/// The setting that a command cannot be run again and again for, if it is to be.
fn not_comparable(wanted: &Wanted, plan: &Plan) -> Option<&'static str> {
    if !wanted.settings.compare {
        return None;
    }
    // What is read can be read once.
    if wanted.reruns_here() && wanted.input.is_some() {
        return Some("local_reruns");
    }
    // They are made where they are, and the second time something is there.
    let makes_directory = plan.subject.outputs.iter().any(|output| output.is_directory);
    makes_directory.then_some("compare")
}

/// A worker or this machine.
async fn done(daemon: &Arc<Daemon>, asked: &Asked, plan: &Arc<Plan>, link: &mut Link) -> io::Result<Outcome> {
    let service = &daemon.service;
    let wanted = &*asked.wanted;
    let subject = &plan.subject;
    if wanted.settings.no_execute {
        let line = format!("{}\n", subject.action_digest.digest());
        link.say(&Answer::ErrorOutput(line.into_bytes())).await?;
        let why = "it was only to be named".to_owned();
        return Ok(Outcome::of(How::LocalOnly(why), Some(End::Exited(0))));
    }
    let needs = wanted.strategy == Strategy::Remote;
    let caller = wanted.caller();
    let server = async {
        match needs {
            true => service.needed_server(&caller).await,
            false => service.server(&caller).await,
        }
    };
    let Some(server) = link.meanwhile(server).await? else {
        let ended = real::run(daemon, asked, link, &subject.program).await?;
        return Ok(ended.into_outcome(How::Real("the server is down".to_owned())));
    };
    let products = subject.outputs.iter().map(|output| output.path.as_path());
    if wanted.takes_known()
        && !wanted.settings.ignore_failures
        && let Some(failure) = daemon.failures.get(&subject.action_digest, products)
    {
        return shown(daemon, asked, link, subject, failure.into(), How::Hit).await;
    }
    let mut fallback = None;
    if wanted.strategy != Strategy::Local {
        let mut executed = match racing::may_race(wanted, plan) {
            false => worker(daemon, &server, asked, plan, !wanted.takes_known(), link).await?,
            true => match racing::run(daemon, asked, &server, plan, link).await? {
                Raced::Elsewhere(executed) => executed,
                Raced::Here {
                    ran,
                    output,
                    error_output,
                    fallback,
                } => {
                    print(link, &output, &error_output).await?;
                    let end = Some(ran.end);
                    return Ok(Outcome {
                        fallback,
                        ..Outcome::of(kept(daemon, server, wanted, plan, ran), end)
                    });
                }
            },
        };
        if wanted.settings.ignore_failures && executed.as_ref().is_ok_and(|it| it.is_cached_failure()) {
            executed = worker(daemon, &server, asked, plan, true, link).await?;
        }
        match executed {
            Ok(executed)
                if wanted.strategy != Strategy::Remote && executed.fetched.complains_of_absent_files() =>
            {
                fallback = Some("a worker did not find a file".to_owned());
            }
            Ok(executed) => {
                let mut how = if executed.is_cached { How::Hit } else { How::Remote };
                if executed.fetched.exit_code == 0 && !wanted.settings.uncacheable {
                    match executed.upload {
                        Ok(upload) => _ = daemon.uploads.send(service, Some(server), upload),
                        Err(why) if how == How::Remote => how = How::RemoteOnly(why.to_owned()),
                        Err(_) => {}
                    }
                }
                let uploaded_bytes = executed.uploaded_bytes;
                let outcome = shown(daemon, asked, link, subject, executed.fetched, how).await?;
                return Ok(outcome.with_inputs(plan, uploaded_bytes));
            }
            Err(why) if wanted.strategy == Strategy::Remote => {
                let dialect = wanted.settings.dialect;
                let line = why.line(dialect, &asked.execution_id, &subject.name);
                link.say(&Answer::ErrorOutput(line.into_bytes())).await?;
                let end = End::Exited(why.exit_code(dialect));
                return Ok(Outcome {
                    fallback: Some(why.to_string()),
                    not_executed: Some(why),
                    ..Outcome::of(How::LocalOnly("no worker could run it".to_owned()), Some(end))
                });
            }
            Err(why) => fallback = Some(why.to_string()),
        }
    }
    let _slot = real::slot(daemon, asked, link).await?;
    let ran = here::run(link, plan, asked, daemon).await?;
    if ran.is_late {
        let ended = real::too_late(asked, link, &subject.name).await?;
        let how = How::LocalOnly("it ran for too long".to_owned());
        return Ok(Outcome {
            fallback,
            ..ended.into_outcome(how)
        });
    }
    let end = Some(ran.end);
    Ok(Outcome {
        fallback,
        ..Outcome::of(kept(daemon, server, wanted, plan, ran), end)
    })
}

/// Keeps what a run here has made, if it is to be kept.
fn kept(daemon: &Daemon, server: Server, wanted: &Wanted, plan: &Plan, ran: here::Ran) -> How {
    let (service, subject) = (&daemon.service, &plan.subject);
    let keeps_failures =
        plan.is_probe && wanted.keeps_own() && plan.not_kept_here.is_none() && !plan.is_declared;
    let is_remembered = |failure| keeps_failures && daemon.failures.add(subject.action_digest, failure);
    let upload = match &ran.failure {
        Some(failure) if is_kept_failure(plan, failure) => Upload::of(plan, Whole::failed(failure)),
        _ => ran.upload,
    };
    match upload {
        Err(_) if ran.failure.is_some_and(is_remembered) => How::Local,
        Ok(_) if plan.not_kept_here.is_some() => {
            How::LocalOnly(plan.not_kept_here.unwrap_or_default().to_owned())
        }
        Ok(_) if !wanted.keeps_own() => How::LocalOnly("it is not to be kept".to_owned()),
        Ok(upload) => match daemon.uploads.send(service, Some(server), upload) {
            true => How::Local,
            false => How::LocalOnly("too much waits to be uploaded".to_owned()),
        },
        Err(why) => How::LocalOnly(why.to_owned()),
    }
}

impl Outcome {
    fn of(how: How, end: Option<End>) -> Self {
        Outcome {
            how,
            fallback: None,
            different: None,
            spared: Duration::ZERO,
            not_executed: None,
            added: Vec::new(),
            volume: Volume::default(),
            end,
        }
    }

    /// With what a worker was given.
    fn with_inputs(mut self, plan: &Plan, uploaded_bytes: u64) -> Self {
        self.volume.inputs = plan.volume.inputs;
        self.volume.command.clone_from(&plan.volume.command);
        self.volume.uploaded_bytes = uploaded_bytes;
        self
    }
}

/// Has a worker do it, `again` even if that was done before, or says why not.
async fn worker(
    daemon: &Arc<Daemon>,
    server: &Server,
    asked: &Asked,
    plan: &Plan,
    again: bool,
    link: &mut Link,
) -> io::Result<Result<remote::Executed, NotExecuted>> {
    if let Some(elsewhere) = &plan.elsewhere {
        let why = format!("{} is only on this machine", elsewhere.display());
        return Ok(Err(NotExecuted::Remote(why)));
    }
    if plan.is_quick && asked.wanted.strategy != Strategy::Remote {
        let why = match plan.is_probe {
            true => "a question to a compiler is answered here",
            false => "it is over here before a worker has what it reads",
        };
        return Ok(Err(NotExecuted::Remote(why.to_owned())));
    }
    // From here on this machine has nothing to do.
    link.say(&Answer::Waiting).await?;
    link.meanwhile(executing(daemon, server, asked, plan, again))
        .await
}

/// A worker does it, whose turn it may not be at once.
async fn executing(
    daemon: &Daemon,
    server: &Server,
    asked: &Asked,
    plan: &Plan,
    again: bool,
) -> Result<remote::Executed, NotExecuted> {
    asked.course.enter(Phase::Queue);
    let turn = daemon.executions.acquire().await;
    let _turn = turn.expect("nobody closes the semaphore");
    let wish = remote::Wish {
        plan,
        again,
        needs: asked.wanted.strategy == Strategy::Remote,
        course: &asked.course,
    };
    let running = remote::run(&daemon.service, server, wish);
    let executed = match asked
        .wanted
        .settings
        .reclient_timeout
        .filter(|limit| !limit.is_zero())
    {
        Some(limit) => timeout(limit, running)
            .await
            .unwrap_or_else(|_elapsed| Err(NotExecuted::RemoteTimeout(limit).into())),
        None => running.await,
    };
    executed.map_err(NotExecuted::of)
}

async fn shown(
    daemon: &Daemon,
    asked: &Asked,
    link: &mut Link,
    subject: &Subject,
    fetched: Fetched,
    how: How,
) -> io::Result<Outcome> {
    let end = Some(End::Exited(fetched.exit_code));
    let spared = match how {
        How::Hit => fetched.ran,
        _ => Duration::ZERO,
    };
    let (added, volume) = (fetched.added.clone(), fetched.volume());
    asked.course.enter(Phase::Writing);
    match show(link, fetched, asked.wanted.manner(), &daemon.filled).await? {
        Ok(()) => Ok(Outcome {
            spared,
            added,
            volume,
            ..Outcome::of(how, end)
        }),
        // The real tool finds the same obstacle, or none, and has words for it.
        Err(not_written) => {
            let ended = real::run(daemon, asked, link, &subject.program).await?;
            let how = How::Real(format!("cannot write an output: {not_written}"));
            Ok(ended.into_outcome(how))
        }
    }
}

#[cfg(test)]
mod tests;
