//! One command, from the supervisor's side: started, watched, ended.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use runner_api::{
    CLOCK_GOES, CLOCK_STANDS_STILL, CONVERSATION_DESCRIPTORS, Mechanism, Outcome, Reply, ResourceUsage,
    RunRequest, RunResponse, UidMode,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::thread::{Gid, Uid};

use crate::cgroup::{Counts, Limits};
use crate::channel::{Culprit, Message};
use crate::clock::Clock;
use crate::confinement::{Confinement, Ids};
use crate::descendants;
use crate::init::{Command, Errand, World};
use crate::lending::Lender;
use crate::limits::{CLIENT_WORDS_PER_TURN, COPY_BYTES, SETUP_TIMEOUT, STOP_TIMEOUT};
use crate::log_file::LogFile;
use crate::mounts::BuildDirectory;
use crate::overlay;
use crate::program::{self, Program};
use crate::ready_world::ReadyWorld;
use crate::rusage::resource_usage;
use crate::setup_error::SetupError;
use crate::spawn::Init;
use crate::sys;
use crate::undead::{Ended, Undead};

/// A command on its way.
pub(crate) struct Run {
    init: Init,
    logs: [LogFile; 2],
    buffer: Vec<u8>,
    timeout: Option<Duration>,
    /// What the timeout counts by.
    clock: Clock,
    death_timeout: Duration,
    /// Whether there is a pid namespace.
    init_owns_pids: bool,
    /// What is started, for messages about it.
    executable: PathBuf,
    phase: Phase,
    /// When the present phase has taken too long.
    deadline: Option<Instant>,
    started_unix_ns: u64,
    /// When the command began, by the clock of its timeout.
    began: Option<Instant>,
    /// Whether the command's world stood.
    was_ready: bool,
    /// What init said last, but for `Ready`.
    last_words: Option<Message>,
    killed_for: Option<KilledFor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Init builds the command's world.
    Setup,
    /// The command runs.
    Running,
    /// Its time is over and its init was asked to kill it, so that what it used is known.
    Stopping,
    /// The command is dead or killed; init and the rest are dying.
    Dying,
}

/// Why a command was killed.
enum KilledFor {
    Timeout,
    Cancel,
    Trouble(String),
}

/// The ends of two pipes that a client gives to a command to talk to it.
pub(crate) struct Conversation {
    stdin: OwnedFd,
    stdout: OwnedFd,
}

impl Conversation {
    /// Of what came along with a request. `None` when that is something else than two descriptors.
    pub(crate) fn of(descriptors: Vec<OwnedFd>) -> Option<Conversation> {
        let [stdin, stdout] = <[OwnedFd; CONVERSATION_DESCRIPTORS]>::try_from(descriptors).ok()?;
        Some(Conversation { stdin, stdout })
    }

    /// Gives both to the command's user, so that opening `/dev/stdin` and `/dev/stdout` works. Without rights over users
    /// that is the runner's own, and the client's.
    fn give_to(&self, ids: &Ids) -> Result<(), String> {
        if ids.mode == UidMode::Rootless {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
        [&self.stdin, &self.stdout]
            .into_iter()
            .try_for_each(|pipe| rustix::fs::fchown(pipe, Some(uid), Some(gid)))
            .map_err(|errno| format!("giving the conversation to the command: {errno}"))
    }
}

/// What a wait was ended by, besides output and words of init, which are looked at anyway.
struct Woken {
    init_died: bool,
    client_left: bool,
    client_spoke: bool,
}

impl Run {
    /// Starts init. An error says what failed, on what; then nothing runs.
    pub(crate) fn start(
        request: &RunRequest,
        program: Program,
        conversation: Option<Conversation>,
        confinement: &Confinement,
    ) -> Result<Run, String> {
        let confinement = &confinement.asked_for(request)?;
        if !confinement.has(Mechanism::PidNamespace) {
            descendants::adopt_orphans().map_err(|error| format!("becoming a subreaper: {error}"))?;
        }
        let (logs, [stdout, stderr]) = logs(request, confinement)?;
        let build = build_directory(request, confinement)?;
        let (stdin, stdout) = match conversation {
            None => (None, stdout),
            // The log's pipe has nobody to write to it then, and the log stays empty.
            Some(conversation) => {
                conversation.give_to(&confinement.ids)?;
                (Some(conversation.stdin), conversation.stdout)
            }
        };
        let command = Command {
            program,
            stdin,
            stdout,
            stderr,
        };
        let init = Init::start(World {
            confinement,
            errand: Errand::Given { build, command },
            limits: Limits::of(request),
        })
        .map_err(|error| error.to_string())?;
        Ok(Run::of(init, logs, request, confinement))
    }

    /// Starts in a world that is ready. An error means that it cannot be used, and that nothing runs.
    pub(crate) fn start_in(
        world: ReadyWorld,
        request: &RunRequest,
        encoded_request: &[u8],
        confinement: &Confinement,
    ) -> Result<Run, String> {
        // What is refused here is refused again, with the reason, by whoever builds a new world.
        confinement.check_place(request)?;
        let (logs, [stdout, stderr]) = logs(request, confinement)?;
        let build = build_directory(request, confinement)?;
        let init = world
            .enter(encoded_request, Limits::of(request), &build, &stdout, &stderr)
            .map_err(|error| format!("entering a world that was ready: {error}"))?;
        Ok(Run::of(init, logs, request, confinement))
    }

    fn of(init: Init, logs: [LogFile; 2], request: &RunRequest, confinement: &Confinement) -> Run {
        Run {
            init,
            logs,
            buffer: Vec::with_capacity(COPY_BYTES),
            timeout: request.timeout,
            clock: Clock::new(),
            death_timeout: confinement.death_timeout,
            init_owns_pids: confinement.has(Mechanism::PidNamespace),
            executable: program::executable(request, &confinement.through),
            phase: Phase::Setup,
            deadline: Some(Instant::now() + SETUP_TIMEOUT),
            started_unix_ns: unix_ns(),
            began: None,
            was_ready: false,
            last_words: None,
            killed_for: None,
        }
    }

    /// Whether init has died by itself before it could start the command; so nothing ran, and another may try.
    pub(crate) fn never_began(&self) -> bool {
        !self.was_ready && self.killed_for.is_none()
    }

    /// Copies logs, and watches init, the clock and the client. Returns when init is dead; or when it should be but is
    /// not, with an error.
    pub(crate) fn watch(&mut self, client: &UnixStream) -> Result<(), String> {
        let mut client = Some(client);
        loop {
            let woken = self.wait(client).map_err(|errno| {
                self.init.kill();
                format!("waiting for the command: {errno}")
            })?;
            if let (true, Some(client)) = (woken.client_spoke, client) {
                self.listen_to_client(client);
            }
            if woken.client_left {
                client = None;
                self.kill(KilledFor::Cancel);
            }
            self.copy_logs();
            self.listen_to_init();
            if woken.init_died {
                return Ok(());
            }
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.out_of_time()?;
            }
        }
    }

    fn wait(&self, client: Option<&UnixStream>) -> Result<Woken, Errno> {
        let [stdout, stderr] = &self.logs;
        let readable = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let death = readable(self.init.death());
        // It may stop the clock, and it may leave.
        let client =
            client.map(|client| PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN | PollFlags::RDHUP));
        let has_client = client.is_some();
        // An init that is dying has closed its end, which would wake us for nothing again and again.
        let words = (self.phase != Phase::Dying).then(|| readable(self.init.channel.as_fd()));
        let pipes = [stdout.pipe(), stderr.pipe()].into_iter().flatten().map(readable);
        let mut descriptors: Vec<PollFd<'_>> = [death]
            .into_iter()
            .chain(client)
            .chain(words)
            .chain(pipes)
            .collect();

        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match rustix::event::poll(&mut descriptors, left.map(timespec).as_ref()) {
            Ok(_) => {
                let woke = |index: usize| descriptors[index].revents();
                let client = match has_client {
                    true => woke(1),
                    false => PollFlags::empty(),
                };
                Ok(Woken {
                    init_died: !woke(0).is_empty(),
                    client_left: !(client - PollFlags::IN).is_empty(),
                    client_spoke: client.contains(PollFlags::IN),
                })
            }
            Err(Errno::INTR) => Ok(Woken {
                init_died: false,
                client_left: false,
                client_spoke: false,
            }),
            Err(errno) => Err(errno),
        }
    }

    fn out_of_time(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Setup => {
                let message = format!("building the command's world took longer than {SETUP_TIMEOUT:?}");
                self.kill(KilledFor::Trouble(message));
            }
            Phase::Running => self.stop(),
            Phase::Stopping => self.kill(KilledFor::Timeout),
            Phase::Dying => {
                return Err(format!(
                    "the command's processes did not die in {:?}",
                    self.death_timeout
                ));
            }
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.killed_for.get_or_insert(KilledFor::Timeout);
        match self.init_owns_pids {
            true => {
                self.init.stop();
                self.phase = Phase::Stopping;
                self.deadline = Some(Instant::now() + STOP_TIMEOUT);
            }
            // Its kill would reach too far; ours follows the tree.
            false => self.kill(KilledFor::Timeout),
        }
    }

    /// Only the first reason counts; the rest is its echo.
    fn kill(&mut self, reason: KilledFor) {
        self.killed_for.get_or_insert(reason);
        self.init.kill();
        self.dying();
    }

    fn dying(&mut self) {
        if self.phase != Phase::Dying {
            self.phase = Phase::Dying;
            self.deadline = Some(Instant::now() + self.death_timeout);
        }
    }

    fn copy_logs(&mut self) {
        for index in 0..self.logs.len() {
            if let Err(error) = self.logs[index].copy(&mut self.buffer) {
                self.kill(KilledFor::Trouble(error.to_string()));
            }
        }
    }

    /// Takes all that the client has said; the last word counts.
    fn listen_to_client(&mut self, client: &UnixStream) {
        let mut words = [0; CLIENT_WORDS_PER_TURN];
        match rustix::net::recv(client, &mut words[..], RecvFlags::DONTWAIT) {
            // Its leaving is seen elsewhere.
            Ok((0, _)) | Err(Errno::AGAIN | Errno::INTR | Errno::CONNRESET) => {}
            Ok((length, _)) => match words[..length].last() {
                Some(&CLOCK_STANDS_STILL) => self.set_clock(true),
                Some(&CLOCK_GOES) => self.set_clock(false),
                word => self.kill(KilledFor::Trouble(format!(
                    "the client said {word:?}, which means nothing"
                ))),
            },
            Err(errno) => self.kill(KilledFor::Trouble(format!("listening to the client: {errno}"))),
        }
    }

    fn set_clock(&mut self, stands_still: bool) {
        self.clock.set(stands_still, Instant::now());
        if self.phase == Phase::Running {
            self.deadline = self.clock.deadline(self.timeout);
        }
    }

    fn listen_to_init(&mut self) {
        loop {
            match self.init.channel.receive() {
                Ok(None) => return,
                Ok(Some(Message::Ready)) => {
                    self.was_ready = true;
                    self.started_unix_ns = unix_ns();
                    let now = Instant::now();
                    self.began = Some(now);
                    if self.phase == Phase::Setup {
                        self.phase = Phase::Running;
                        self.clock.start(now);
                        self.deadline = self.clock.deadline(self.timeout);
                    }
                }
                Ok(Some(words)) => {
                    self.last_words = Some(words);
                    self.dying();
                }
                Err(errno) => {
                    self.kill(KilledFor::Trouble(format!(
                        "listening to the command's init: {errno}"
                    )));
                    return;
                }
            }
        }
    }

    /// Makes sure that nothing is left, completes the logs, and says how it all ended.
    pub(crate) fn end(mut self, watched: Result<(), String>, request: &RunRequest) -> Ended {
        let remains = match watched.and_then(|()| self.bury()) {
            Ok(remains) => remains,
            // Worse than anything the command did.
            Err(message) => return Undead::new(self.init, self.init_owns_pids).ended(message),
        };
        if matches!(self.killed_for, Some(KilledFor::Cancel)) {
            return Reply::Cancelled.into();
        }
        // Writers are dead; what they wrote last is still in the pipes.
        self.copy_logs();
        self.listen_to_init();
        let finished_unix_ns = unix_ns();
        let ran = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let clock_stopped = self.clock.stopped(Instant::now());
        let counts = self.init.group.counts();
        let [stdout, stderr] = self.logs;
        let logs = (stdout.finish(), stderr.finish());

        let (outcome, usage, stdout_truncated, stderr_truncated) = match logs {
            (Err(error), _) | (_, Err(error)) => (
                Outcome::SetupFailed {
                    message: error.to_string(),
                },
                ResourceUsage::default(),
                false,
                false,
            ),
            (Ok(stdout_truncated), Ok(stderr_truncated)) => {
                let end = End {
                    was_ready: self.was_ready,
                    last_words: self.last_words,
                    killed_for: self.killed_for,
                };
                let (outcome, mut usage) = end.outcome(&remains, request, self.executable);
                usage.memory_peak_bytes = counts.memory_peak_bytes;
                (
                    for_want_of_memory(outcome, counts),
                    usage,
                    stdout_truncated,
                    stderr_truncated,
                )
            }
        };
        let started_unix_ns = self.started_unix_ns;
        Reply::Run(RunResponse {
            outcome,
            usage,
            started_unix_ns,
            finished_unix_ns,
            ran,
            stdout_truncated,
            stderr_truncated,
            processes_refused: counts.refused_processes,
            clock_stopped_ns: u64::try_from(clock_stopped.as_nanos()).unwrap_or(u64::MAX),
        })
        .into()
    }

    /// Reaps the dead init. Without a pid namespace, kills and reaps what it left behind.
    fn bury(&mut self) -> Result<Remains, String> {
        let status = self
            .init
            .reap()
            .map_err(|errno| format!("reaping the command's init: {errno}"))?;
        if !self.init_owns_pids {
            descendants::kill_all(self.death_timeout)
                .map_err(|error| format!("killing what the command left behind: {error}"))?;
        }
        Ok(Remains {
            status,
            usage: resource_usage(&sys::usage_of_children()),
        })
    }
}

/// What is left of an init.
struct Remains {
    status: i32,
    /// Of everything that was reaped: without a pid namespace, of the whole tree.
    usage: ResourceUsage,
}

/// What is known about a command's end.
struct End {
    was_ready: bool,
    last_words: Option<Message>,
    killed_for: Option<KilledFor>,
}

impl End {
    fn outcome(
        self,
        remains: &Remains,
        request: &RunRequest,
        executable: PathBuf,
    ) -> (Outcome, ResourceUsage) {
        match (self.killed_for, self.last_words) {
            (Some(KilledFor::Trouble(message)), _) | (_, Some(Message::SetupFailed(message))) => {
                (Outcome::SetupFailed { message }, ResourceUsage::default())
            }
            (Some(KilledFor::Timeout), Some(Message::Ended { usage, .. })) => (Outcome::TimedOut, usage),
            (_, Some(Message::Ended { status, usage })) => (of_status(status), usage),
            (_, Some(Message::NotStarted { errno, culprit })) => {
                let path = match culprit {
                    Culprit::Executable => executable,
                    Culprit::WorkingDirectory => request.working_directory.clone(),
                };
                (Outcome::NotStarted { errno, path }, ResourceUsage::default())
            }
            (Some(KilledFor::Timeout), _) => (Outcome::TimedOut, remains.usage),
            // Somebody killed init without a word from it. After Ready that can only be the command, which may when
            // there is no pid namespace, or a kernel out of memory.
            (_, _) => match (self.was_ready, of_status(remains.status)) {
                (true, Outcome::Signaled(signal)) => (Outcome::Signaled(signal), remains.usage),
                (_, outcome) => {
                    let message = format!("the command's init ended without a word: {outcome:?}");
                    (Outcome::SetupFailed { message }, ResourceUsage::default())
                }
            },
        }
    }
}

/// A command may survive the loss of some of its processes; one that did not has its reason here.
fn for_want_of_memory(outcome: Outcome, counts: Counts) -> Outcome {
    match outcome {
        Outcome::Exited(0) | Outcome::TimedOut | Outcome::NotStarted { .. } => outcome,
        _ if counts.killed_for_memory > 0 => Outcome::OutOfMemory,
        outcome => outcome,
    }
}

fn of_status(status: i32) -> Outcome {
    match libc::WIFSIGNALED(status) {
        true => Outcome::Signaled(libc::WTERMSIG(status)),
        false => Outcome::Exited(libc::WEXITSTATUS(status)),
    }
}

/// Where the command's output goes, and the command's ends of the pipes there.
fn logs(request: &RunRequest, confinement: &Confinement) -> Result<([LogFile; 2], [OwnedFd; 2]), String> {
    let log = |name, path| {
        LogFile::new(name, path, request.output_log_bytes_max, &confinement.ids)
            .map(|(log, pipe)| (log.owned_by(confinement.lender.map(Lender::owner)), pipe))
            .map_err(|error| error.to_string())
    };
    let (stdout_log, stdout) = log("stdout", &request.stdout_path)?;
    let (stderr_log, stderr) = log("stderr", &request.stderr_path)?;
    Ok(([stdout_log, stderr_log], [stdout, stderr]))
}

/// The way in for the build directory. A runner without rights over mounts lets init try.
fn build_directory(request: &RunRequest, confinement: &Confinement) -> Result<BuildDirectory, String> {
    let path = &request.input_root;
    let failed = |error: SetupError| error.to_string();
    let build = match &request.input_root_base {
        Some(base) => BuildDirectory::Tree(overlay::over_base(path, base).map_err(failed)?),
        None => match confinement
            .clones_mounts
            .then(|| BuildDirectory::clone_as_root(path))
        {
            Some(Ok(tree)) => tree,
            Some(Err(_)) | None => BuildDirectory::Path(path.clone()),
        },
    };
    match (&request.image, build) {
        (Some(image), BuildDirectory::Tree(tree)) => {
            let image = overlay::image(image).map_err(failed)?;
            Ok(BuildDirectory::InImage { tree, image })
        }
        (Some(_), _) => Err(format!("cannot take {path:?} into an image")),
        (None, build) => Ok(build),
    }
}

/// Nanoseconds since 1970; zero for a clock before that.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Rounded up, so that the deadline has passed when the wait ends. Too long for the kernel's type is for ever.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    let rounded = duration.saturating_add(Duration::from_nanos(1));
    Timespec {
        tv_sec: i64::try_from(rounded.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(rounded.subsec_nanos()),
    }
}
