//! The daemon as a whole: its memory, its door.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use action::ActionDigest;
use daemon_api::{Answer, End, Request};
use file_digests::FileDigests;
use observation::Deeds;
use parking_lot::Mutex;
use prost_types::Any;
use serde_json::json;
use settings::Strategy;
use step_memory::Memory;
use tasks::Group;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::attempt::observed::Observer;
use crate::counts::Counts;
use crate::course::{Course, Running, Span};
use crate::door::Door;
use crate::failures::Failures;
use crate::filled::Filled;
use crate::journey;
use crate::limits::{EXECUTIONS_MAX, REQUEST_WITHIN, RUNNING_TOLD_MAX, SESSIONS_MAX};
use crate::link::Link;
use crate::local_cache::{Kept, LocalCache, LocalCacheOptions};
use crate::not_executed::NotExecuted;
use crate::plan::{Knowledge, Plan, Prediction, Question, Subject, Why, plan, recall};
use crate::rules::Rules;
use crate::service::{FUNCTION, Part, Service, ServiceOptions};
use crate::slots::{self, Slots};
use crate::uploads::Uploads;
use crate::usual::Usual;
use crate::view;
use crate::volume::Volume;
use crate::wanted::{self, Wanted};

/// What a daemon is started with.
#[derive(Clone)]
pub struct DaemonOptions {
    /// The server.
    pub service: ServiceOptions,
    /// Whether the server was started for this daemon.
    pub is_own_server: bool,
    /// What commands get that do not say.
    pub strategy: Strategy,
    /// Ends when nobody has asked for anything for so long; never if zero.
    pub idle: Duration,
    /// Platform properties of every action.
    pub platform: Vec<(String, String)>,
    /// This machine, in the results of commands that ran here.
    pub host_name: String,
    /// Who is told of every command that came to an end.
    pub witness: Option<Arc<dyn Witness>>,
    /// What every command is subject to.
    pub rules: Rules,
    /// A cache on this machine.
    pub here: Option<LocalCacheOptions>,
    /// How commands of unknown tools are watched; `None` if they are not.
    pub observer: Option<Observer>,
    /// The file in which what was found out about commands outlives the daemon.
    pub memory: Option<PathBuf>,
}

/// Is told of commands.
pub trait Witness: Send + Sync {
    /// One begins. What is returned is dropped when it is over, whatever has come of it.
    fn begins(&self) -> Box<dyn Send>;

    /// One came to an end.
    fn finished(&self, finished: &Finished);
}

/// A command that came to an end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Names this run.
    pub execution_id: String,
    /// As it was asked for.
    pub request: Arc<Request>,
    /// Its exit code, as a shell would say it; `None` where the wrapper has become the real tool.
    pub exit_code: Option<i32>,
    /// It was answered from the cache.
    pub is_cache_hit: bool,
    /// It was answered by a worker.
    pub ran_remotely: bool,
    /// Why no worker did it, where one was to.
    pub fallback: Option<String>,
    /// Why nobody did it, where nobody did.
    pub not_executed: Option<NotExecuted>,
    /// What servers and workers have added to its result.
    pub added: Vec<Any>,
    /// How much it read, made and moved.
    pub volume: Volume,
    /// What it waited for, one after the other.
    pub spans: Vec<Span>,
    /// Which outputs are not the same each time, if that was looked at.
    pub different: Option<Vec<String>>,
    /// When it was asked for.
    pub begun: SystemTime,
    /// When it was over.
    pub ended: SystemTime,
    /// The action, `hash/size`.
    pub action: Option<String>,
}

/// A command that is asked for: the request, the real tool, and what is wanted.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) request: Arc<Request>,
    pub(crate) program: PathBuf,
    pub(crate) wanted: Arc<Wanted>,
    /// Names this run.
    pub(crate) execution_id: String,
    /// How it is going.
    pub(crate) course: Arc<Course>,
}

/// The daemon.
pub struct Daemon {
    pub(crate) service: Arc<Service>,
    pub(crate) digests: Arc<FileDigests>,
    pub(crate) here: Option<Arc<LocalCache>>,
    pub(crate) counts: Counts,
    pub(crate) failures: Failures,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) executions: Semaphore,
    /// How long commands usually take, for those that race.
    pub(crate) usual: Usual,
    /// Commands that run here beside a worker: no more than there are places. They have these to themselves: they wait for make's
    /// while they have one.
    pub(crate) racers: Semaphore,
    /// Places for commands that run here instead of elsewhere.
    pub(crate) slots: Arc<Slots>,
    /// Commands that are under way.
    pub(crate) running: Running,
    pub(crate) host_name: String,
    pub(crate) strategy: Strategy,
    pub(crate) rules: Rules,
    pub(crate) witness: Option<Arc<dyn Witness>>,
    pub(crate) observer: Option<Observer>,
    knowledge: Arc<Knowledge>,
    /// Commands that are looked at: no more than there are processors, or they would only wait for each other.
    planners: Semaphore,
    is_own_server: bool,
    idle: Duration,
    last_asked: Mutex<Instant>,
    under_way: AtomicU64,
    /// Output directories of commands that run here.
    pub(crate) filled: Arc<Filled>,
    tasks: Group,
}

impl Daemon {
    /// Ready to serve. Its tasks end with `tasks`. What it keeps on this machine is of use and no more: where it cannot be
    /// opened, the daemon does without, and says so in its log. Blocks while it reads what is there.
    pub fn new(options: DaemonOptions, tasks: Group) -> Arc<Self> {
        let digests = Arc::new(FileDigests::new(FUNCTION));
        let here = options.here.as_ref().and_then(|here| {
            // A server of our own has another address each time, and is the same.
            let server = match options.is_own_server {
                true => "own",
                false => &options.service.endpoint,
            };
            let server = format!("{server}\n{}", options.service.instance);
            let opened = LocalCache::open(here, &server);
            opened
                .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "no cache on this machine"))
                .ok()
        });
        let here = here.map(Arc::new);
        let memory = options.memory.as_ref().and_then(|path| {
            let opened = Memory::open(path, digests.clone());
            opened
                .inspect_err(
                    |error| tracing::warn!(%error, path = %path.display(), "steps are not remembered"),
                )
                .ok()
        });
        let memory = memory.unwrap_or_else(|| Memory::new(digests.clone()));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = slots::count(processors, options.rules.local_fraction.unwrap_or(1.0));
        Arc::new(Daemon {
            service: Service::new(options.service, tasks.clone()),
            knowledge: Arc::new(Knowledge::new(digests.clone(), memory, options.platform)),
            digests,
            uploads: Arc::new(Uploads::new(here.clone(), tasks.clone())),
            here,
            counts: Counts::default(),
            failures: Failures::default(),
            executions: Semaphore::new(EXECUTIONS_MAX),
            usual: Usual::default(),
            racers: Semaphore::new(slots),
            slots: Slots::new(slots, tasks.clone()),
            running: Running::default(),
            host_name: options.host_name,
            planners: Semaphore::new(processors),
            is_own_server: options.is_own_server,
            strategy: options.strategy,
            rules: options.rules,
            witness: options.witness,
            observer: options.observer,
            idle: options.idle,
            last_asked: Mutex::new(Instant::now()),
            under_way: AtomicU64::new(0),
            filled: Arc::default(),
            tasks,
        })
    }

    /// What is kept on this machine; `None` if that is nothing.
    pub fn kept(&self) -> Option<Kept> {
        self.here.as_ref().map(|here| here.kept())
    }

    /// Serves wrappers until it is told to stop, or has nothing to do for long.
    pub async fn serve(self: Arc<Self>, door: Door) -> io::Result<()> {
        let stopping = self.tasks.stopping();
        let room = Arc::new(Semaphore::new(SESSIONS_MAX));
        loop {
            let Ok(turn) = room.clone().acquire_owned().await else {
                return Ok(());
            };
            let stream = tokio::select! {
                () = stopping.cancelled() => break,
                () = self.is_idle() => break,
                accepted = door.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // Descriptors may be short for a moment; they come back with every wrapper that ends.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a wrapper");
                        sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                },
            };
            let daemon = self.clone();
            self.tasks.spawn("a wrapper", async move {
                let _turn = turn;
                daemon.under_way.fetch_add(1, Ordering::Relaxed);
                let served = daemon.session(stream).await;
                daemon.under_way.fetch_sub(1, Ordering::Relaxed);
                *daemon.last_asked.lock() = Instant::now();
                if let Err(error) = served {
                    tracing::debug!(%error, "a wrapper has gone");
                }
            });
        }
        let left = self.uploads.flush().await;
        if left > 0 {
            tracing::warn!(left, "results are not stored: the server takes too long");
        }
        self.put_away();
        Ok(())
    }

    /// What a command is as an action.
    pub(crate) async fn plan(&self, asked: &Asked) -> Result<Plan, Why> {
        self.find_out(asked, |knowledge, asked| {
            plan(knowledge, &asked.request, &asked.program, &asked.wanted)
        })
        .await
    }

    /// What a command is known by, if it was looked at before and nothing has changed.
    pub(crate) async fn recall(&self, asked: &Asked) -> Option<Subject> {
        let recalled = self.look(asked, |knowledge, asked| {
            recall(knowledge, &asked.request, &asked.program, &asked.wanted)
        });
        recalled.await.ok().flatten()
    }

    /// What a command of an unknown tool is before anybody knows what it looks at.
    pub(crate) async fn question_of(&self, asked: &Asked) -> Result<Question, Why> {
        self.find_out(asked, |knowledge, asked| {
            Question::of(knowledge, &asked.request, &asked.program, &asked.wanted)
        })
        .await
    }

    /// What it is as an action if it looks at what is predicted.
    pub(crate) async fn predicted(
        &self,
        asked: &Asked,
        question: &Arc<Question>,
        prediction: &Prediction,
    ) -> Result<Plan, Why> {
        let (question, prediction) = (question.clone(), prediction.clone());
        self.find_out(asked, move |knowledge, asked| {
            question.predicted(knowledge, &asked.wanted, &prediction)
        })
        .await
    }

    /// The same, and as a worker would execute it, with what that has to be given.
    pub(crate) async fn executed(
        &self,
        asked: &Asked,
        question: &Arc<Question>,
        prediction: &Prediction,
    ) -> Result<(Prediction, Plan, Plan), Why> {
        let (question, prediction) = (question.clone(), prediction.clone());
        self.find_out(asked, move |knowledge, asked| {
            let prediction = question.for_worker(&prediction)?;
            let predicted = || question.predicted(knowledge, &asked.wanted, &prediction);
            let known = predicted()?;
            let executed = question.executed(knowledge, &asked.wanted, &prediction, &known)?;
            // What is sent has to be what the result will be known by.
            if predicted()?.subject.action_digest != known.subject.action_digest {
                return Err(Why::Inputs("what it looks at changes just now".to_owned()));
            }
            Ok((prediction, known, executed))
        })
        .await
    }

    /// What it was as an action when it was seen to do this.
    pub(crate) async fn seen(
        &self,
        asked: &Asked,
        question: &Arc<Question>,
        deeds: Deeds,
        begun: SystemTime,
    ) -> Result<(Plan, Prediction), Why> {
        let question = question.clone();
        self.find_out(asked, move |knowledge, asked| {
            question.seen(knowledge, &asked.wanted, &deeds, begun)
        })
        .await
    }

    /// Which action a command is now.
    pub(crate) async fn action_now(&self, asked: &Asked) -> Result<ActionDigest, Why> {
        match self.recall(asked).await {
            Some(subject) => Ok(subject.action_digest),
            None => self.plan(asked).await.map(|plan| plan.subject.action_digest),
        }
    }

    /// Finds something out by looking at files.
    async fn find_out<T: Send + 'static>(
        &self,
        asked: &Asked,
        look: impl FnOnce(&Knowledge, &Asked) -> Result<T, Why> + Send + 'static,
    ) -> Result<T, Why> {
        let found = self.look(asked, look).await;
        found.unwrap_or_else(|panic| Err(Why::Action(panic)))
    }

    /// Looks at files, on a thread that may wait for them.
    async fn look<T: Send + 'static>(
        &self,
        asked: &Asked,
        look: impl FnOnce(&Knowledge, &Asked) -> T + Send + 'static,
    ) -> Result<T, String> {
        let _turn = self
            .planners
            .acquire()
            .await
            .expect("nobody closes the semaphore");
        let (knowledge, asked) = (self.knowledge.clone(), asked.clone());
        let looking = tokio::task::spawn_blocking(move || look(&knowledge, &asked));
        let looked = match self.rules.input_timeout {
            Some(limit) => timeout(limit, looking)
                .await
                .map_err(|_elapsed| format!("looking at its inputs takes more than {limit:?}"))?,
            None => looking.await,
        };
        looked.map_err(|panic| panic.to_string())
    }

    /// What outlives the daemon is put where it is found again.
    fn put_away(&self) {
        self.knowledge.flush();
        if let Some(here) = &self.here {
            here.close();
        }
    }

    async fn session(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        self.converse(stream).await.map(|_done| ())
    }

    /// Serves one conversation. What came of it, if it was a command that came to an end.
    pub async fn converse(self: &Arc<Self>, stream: UnixStream) -> io::Result<Option<Finished>> {
        let mut link = Link::new(stream);
        let Some(request) = timeout(REQUEST_WITHIN, link.request()).await?? else {
            return Ok(None);
        };
        if let Some(question) = wanted::question(&request) {
            return self.question(&question, &request, &mut link).await.map(|()| None);
        }
        // Left alone, the wrapper goes on as if there were no daemon.
        if !link.process().is_some_and(view::is_shared_with) {
            return Ok(None);
        }
        journey::command(self, Arc::new(request), &mut link).await
    }

    /// What `farrier run`, `status` and `stats` ask; the answer is JSON.
    async fn question(
        self: &Arc<Self>,
        question: &str,
        request: &Request,
        link: &mut Link,
    ) -> io::Result<()> {
        let build = request
            .arguments
            .first()
            .map(|build| build.to_string_lossy().into_owned());
        let answer = match question {
            "status" => json!({
                "version": env!("CARGO_PKG_VERSION"),
                "process": std::process::id(),
                "endpoint": self.service.endpoint(),
                "instance": self.service.instance(),
                "is_own_server": self.is_own_server,
                "is_up": self.service.is_up(),
                "last_failure": self.service.last_failure(),
                "workers_failure": self.service.failure_of(Part::Workers),
                "running": self.running.to_json(RUNNING_TOLD_MAX),
                "under_way": self.under_way.load(Ordering::Relaxed).saturating_sub(1),
                "files_known": self.digests.len(),
            }),
            "build" => {
                let left = link.meanwhile(self.uploads.flush()).await?;
                self.knowledge.flush();
                let mut counts = self.counts.build(build.as_deref().unwrap_or_default());
                counts["uploads_left"] = left.into();
                counts["server_failure"] = self
                    .service
                    .failure_for(build.as_deref().unwrap_or_default())
                    .into();
                counts["workers_failure"] = self.service.failure_of(Part::Workers).into();
                counts["keeping_failure"] = self.service.failure_of(Part::Keeping).into();
                counts
            }
            "progress" => {
                let mut counts = self.counts.build(build.as_deref().unwrap_or_default());
                counts["under_way"] = self.under_way.load(Ordering::Relaxed).saturating_sub(1).into();
                counts
            }
            "stats" => json!({
                "builds": self.counts.builds(),
                "cache": self.here.as_ref().map(|here| here.usage()),
                "steps_known": self.knowledge.steps_known(),
                "files_known": self.digests.len(),
            }),
            "steps" => self.counts.steps(build.as_deref()).into(),
            "history" => self.counts.history(build.as_deref().unwrap_or_default()).into(),
            "stop" => {
                self.tasks.stop();
                json!({})
            }
            other => {
                json!({ "error": format!("nobody knows what `{other}` is; the daemon may be of another version") })
            }
        };
        let text = answer.to_string().into_bytes();
        for piece in text.chunks(daemon_api::PIECE_BYTES_MAX) {
            link.say(&Answer::Output(piece.to_vec())).await?;
        }
        link.say(&Answer::Ended(End::Exited(0))).await
    }

    /// Ends when nobody has asked for anything for long.
    async fn is_idle(&self) {
        if self.idle.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let quiet = self.last_asked.lock().elapsed();
            let is_quiet = self.under_way.load(Ordering::Relaxed) == 0;
            match self.idle.checked_sub(quiet) {
                None if is_quiet => return,
                left => sleep(left.unwrap_or(self.idle)).await,
            }
        }
    }

    /// Ends: nobody is served any more, and what is to be stored is stored when this returns, as far as the server allows.
    pub async fn end(&self) {
        let left = self.uploads.flush().await;
        self.tasks.stop();
        self.put_away();
        if left > 0 {
            tracing::warn!(left, "results are not stored: the server takes too long");
        }
    }
}
