//! One command, from the wrapper's request to its end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use daemon_api::{Answer, End, Request};

use crate::attempt::{Fetched, cached, here, remote, show};
use crate::counts::{How, Record};
use crate::daemon::Daemon;
use crate::link::Link;
use crate::plan::{Plan, Why};
use crate::settings::{Settings, Strategy};
use crate::tool;

/// How a command went.
struct Outcome {
    how: How,
    fallback: Option<String>,
    /// `None` where the wrapper has become the real tool.
    end: Option<End>,
}

/// Does one command for a wrapper. An error means that the wrapper has gone, or goes on without the daemon.
pub(crate) async fn command(
    daemon: &Arc<Daemon>,
    request: Request,
    settings: Settings,
    link: &mut Link,
) -> io::Result<()> {
    let (begun, start) = (SystemTime::now(), Instant::now());
    // Without a tool there is nothing to run; the wrapper says so in the words of a shell.
    let Some(program) = tool::find(&request) else {
        return Ok(());
    };
    let words = first_words(&request);
    let planned = link
        .meanwhile(daemon.plan(request, program.clone(), settings.root.clone()))
        .await?;
    let planning = start.elapsed();
    let (plan, outcome) = match planned {
        Ok(plan) => {
            let plan = Arc::new(plan);
            let outcome = answer(daemon, &settings, &plan, link).await?;
            (Some(plan), outcome)
        }
        Err(why) => (None, real(link, &program, &why).await?),
    };
    daemon.counts.add(Record {
        build: settings.build,
        name: plan.as_ref().map_or(words, |plan| plan.name.clone()),
        how: outcome.how,
        fallback: outcome.fallback,
        unsure: plan.as_ref().and_then(|plan| plan.unsure.clone()),
        exit_code: outcome.end.map(|end| i32::from(end.exit_code())),
        begun,
        took: start.elapsed(),
        planning,
        action: plan.map(|plan| plan.action_digest.digest().to_string()),
    });
    match outcome.end {
        Some(end) => link.say(&Answer::Ended(end)).await,
        None => Ok(()),
    }
}

/// The cache, then a worker or this machine.
async fn answer(
    daemon: &Arc<Daemon>,
    settings: &Settings,
    plan: &Arc<Plan>,
    link: &mut Link,
) -> io::Result<Outcome> {
    let service = &daemon.service;
    let Some(server) = link.meanwhile(service.server(&settings.build)).await? else {
        let why = "the server is down".to_owned();
        real_tool(link, &plan.program).await?;
        return Ok(Outcome {
            how: How::Real(why),
            fallback: None,
            end: None,
        });
    };
    if let Some(fetched) = link.meanwhile(cached::known(service, &server, plan)).await? {
        return shown(link, plan, fetched, How::Hit).await;
    }
    let mut fallback = None;
    if settings.strategy != Strategy::Local {
        match worker(daemon, &server, plan, link).await? {
            Ok(executed) => {
                let how = if executed.is_cached { How::Hit } else { How::Remote };
                if executed.fetched.exit_code == 0 {
                    daemon.uploads.send(service, server, executed.upload);
                }
                return shown(link, plan, executed.fetched, how).await;
            }
            Err(why) if settings.strategy == Strategy::Remote => {
                let line = format!("farrier: {}: no worker could run it: {why}\n", plan.name);
                link.say(&Answer::ErrorOutput(line.into_bytes())).await?;
                let end = Some(End::Exited(EXIT_NOT_EXECUTED));
                return Ok(Outcome {
                    how: How::Remote,
                    fallback: None,
                    end,
                });
            }
            Err(why) => fallback = Some(why),
        }
    }
    let ran = here::run(link, plan, &daemon.digests, &daemon.host_name).await?;
    let how = match ran.upload {
        Ok(upload) => match daemon.uploads.send(service, server, upload) {
            true => How::Local,
            false => How::LocalOnly("too much waits to be uploaded".to_owned()),
        },
        Err(why) => How::LocalOnly(why.to_owned()),
    };
    Ok(Outcome {
        how,
        fallback,
        end: Some(ran.end),
    })
}

/// What `farrier exec` answers when a command could not be executed.
const EXIT_NOT_EXECUTED: i32 = 125;

/// Has a worker do it, or says why not.
async fn worker(
    daemon: &Arc<Daemon>,
    server: &remote_action::Server,
    plan: &Plan,
    link: &mut Link,
) -> io::Result<Result<remote::Executed, String>> {
    if let Some(elsewhere) = &plan.elsewhere {
        return Ok(Err(format!("{} is only on this machine", elsewhere.display())));
    }
    // From here on this machine has nothing to do.
    link.say(&Answer::Waiting).await?;
    let running = async {
        let _turn = daemon
            .executions
            .acquire()
            .await
            .expect("nobody closes the semaphore");
        remote::run(&daemon.service, server, plan).await
    };
    Ok(link
        .meanwhile(running)
        .await?
        .map_err(|error| format!("{error:#}")))
}

async fn shown(link: &mut Link, plan: &Plan, fetched: Fetched, how: How) -> io::Result<Outcome> {
    let end = Some(End::Exited(fetched.exit_code));
    match show(link, fetched).await? {
        Ok(()) => Ok(Outcome {
            how,
            fallback: None,
            end,
        }),
        // The real tool finds the same obstacle, or none, and has words for it.
        Err(not_written) => {
            real_tool(link, &plan.program).await?;
            Ok(Outcome {
                how: How::Real(format!("cannot write an output: {not_written}")),
                fallback: None,
                end: None,
            })
        }
    }
}

async fn real(link: &mut Link, program: &Path, why: &Why) -> io::Result<Outcome> {
    tracing::debug!(%why, "the real tool runs");
    real_tool(link, program).await?;
    Ok(Outcome {
        how: How::Real(why.label()),
        fallback: None,
        end: None,
    })
}

async fn real_tool(link: &mut Link, program: &Path) -> io::Result<()> {
    link.say(&Answer::Execute {
        program: program.to_owned(),
    })
    .await
}

/// Enough of a command to know it by.
const WORDS_BYTES_MAX: usize = 160;

fn first_words(request: &Request) -> String {
    let mut words = String::new();
    for argument in &request.arguments {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&argument.to_string_lossy());
        if words.len() > WORDS_BYTES_MAX {
            let end = words.floor_char_boundary(WORDS_BYTES_MAX);
            words.truncate(end);
            words.push('…');
            break;
        }
    }
    words
}
