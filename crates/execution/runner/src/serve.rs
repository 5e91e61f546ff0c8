//! The runner itself: accepts, forks a supervisor for each connection, reaps.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use runner_api::{Availability, Capabilities, Refusal, Reply, write_frame};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;

use crate::confinement::Confinement;
use crate::descendants;
use crate::limits::{BACKLOG, CGROUPS_LEFT_MAX, RUNS_MAX};
use crate::mount_table::MountTable;
use crate::options::{RunnerOptions, Sandbox};
use crate::probe::probe;
use crate::ready_world::ReadyWorld;
use crate::run::timespec;
use crate::spares::{self, Spares};
use crate::supervise::supervise;
use crate::sys::{self, Fork};

/// How long to wait when the kernel is out of something before accepting again.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(10);

/// Serves until told to stop by `SIGTERM`, `SIGINT` or the end of standard input; then every command is killed and the
/// socket removed. The socket appears when the runner is ready.
///
/// Missing mechanisms are named on standard error, one line each; with [`Sandbox::Require`] they are the error instead.
///
/// The process must have one thread only: it forks, and is going to be forked, without executing anything.
pub fn serve(options: RunnerOptions) -> io::Result<()> {
    refuse_threads()?;
    if !options.client_uids.is_empty() && !rustix::process::geteuid().is_root() {
        return Err(io::Error::other(
            "--client-uid is for a runner that is root: another cannot give what its commands make to another user. Run it as \
             the worker's user instead",
        ));
    }
    let signals = sys::signal_descriptor(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
    descendants::adopt_orphans()?;
    let (confinement, capabilities) = probe(&options);
    announce(options.sandbox, &capabilities)?;
    let listener = listen(&options.socket_path, !options.client_uids.is_empty())?;
    let mut runner = Runner {
        options,
        confinement,
        capabilities,
        listener,
        signals,
        supervisors: BTreeSet::new(),
        spares: Spares::new(Instant::now()),
        // Without it spares keep to themselves whether their worlds do.
        mounts: MountTable::open().ok(),
        groups_left: BTreeSet::new(),
    };
    let served = runner.accept_until_told_to_stop();
    // No new commands; then an end to the old ones, whatever the reason.
    let _ = fs::remove_file(&runner.options.socket_path);
    let killed = descendants::kill_all(runner.options.death_timeout);
    runner.confinement.cgroups.remove_all();
    served.and(killed)
}

fn refuse_threads() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(io::Error::other(format!(
            "the runner must be started in a process with one thread, this one has {threads}"
        ))),
    }
}

fn announce(sandbox: Sandbox, capabilities: &Capabilities) -> io::Result<()> {
    let limits = [
        ("memory", &capabilities.memory_limit),
        ("processes", &capabilities.process_limit),
        ("processors", &capabilities.processor_limit),
    ];
    for (what, limit) in limits {
        if let Availability::Missing { why } = limit {
            eprintln!("farrier runner: commands run without a bound on {what}: {why}");
        }
    }
    let missing: Vec<String> = capabilities
        .missing()
        .map(|(mechanism, why)| format!("{mechanism}: {why}"))
        .collect();
    match sandbox {
        Sandbox::Require if !missing.is_empty() => Err(io::Error::other(format!(
            "the sandbox lacks {} of {} mechanisms; allow them on this host, or serve without them with \
             --sandbox best-effort\n  {}",
            missing.len(),
            capabilities.mechanisms.len(),
            missing.join("\n  "),
        ))),
        Sandbox::Off => {
            eprintln!("farrier runner: the sandbox is switched off; commands can do what this user can");
            Ok(())
        }
        Sandbox::Require | Sandbox::BestEffort => {
            missing
                .iter()
                .for_each(|line| eprintln!("farrier runner: commands run without {line}"));
            Ok(())
        }
    }
}

fn listen(path: &Path, for_others: bool) -> io::Result<OwnedFd> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("listening at {path:?}: {error}"));
    let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
    let socket = || {
        rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
    };
    if path.exists() {
        // A runner that was killed leaves its socket behind; one that lives answers.
        match rustix::net::connect(&socket()?, &address) {
            Ok(()) => {
                return Err(failed(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another runner is serving there",
                )));
            }
            Err(Errno::CONNREFUSED) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    // Made beside its place and moved there when it listens, so that whoever sees it can connect.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let address = SocketAddrUnix::new(&unfinished).map_err(|errno| failed(errno.into()))?;
    let listener = socket()?;
    // Of those who can open it, each is asked who it is.
    let closed = if for_others { 0o111 } else { 0o177 };
    let umask = rustix::process::umask(Mode::from_raw_mode(closed));
    let bound = rustix::net::bind(&listener, &address);
    rustix::process::umask(umask);
    bound
        .and_then(|()| rustix::net::listen(&listener, BACKLOG))
        .map_err(|errno| failed(errno.into()))?;
    fs::rename(&unfinished, path).map_err(failed)?;
    Ok(listener)
}

struct Runner {
    options: RunnerOptions,
    confinement: Confinement,
    capabilities: Capabilities,
    listener: OwnedFd,
    signals: OwnedFd,
    /// At most [`RUNS_MAX`].
    supervisors: BTreeSet<libc::pid_t>,
    spares: Spares,
    mounts: Option<MountTable>,
    /// Those of dead supervisors whose control groups could not be removed yet.
    groups_left: BTreeSet<u32>,
}

/// What a supervisor is forked for.
enum Calling {
    /// This connection.
    Client(UnixStream),
    /// The one that will come over this socket.
    Spare(OwnedFd),
}

impl Runner {
    fn accept_until_told_to_stop(&mut self) -> io::Result<()> {
        loop {
            let woken = self.wait()?;
            if woken.stdin_ended || self.read_signals()? == Verdict::Stop {
                return Ok(());
            }
            if woken.mounts_changed {
                self.spares.dismiss_all();
            }
            if woken.client {
                self.accept()?;
            } else if self.spares.refill_after(Instant::now()) == Some(Duration::ZERO) {
                self.fork_spare();
            }
        }
    }

    fn wait(&self) -> io::Result<Woken> {
        let stdin = io::stdin();
        let readable = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let watched = self.options.exit_with_stdin.then(|| {
            // Nothing is expected there, so its end is all that can wake us, and whatever else does is as final.
            PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)
        });
        let has_mounts = self.mounts.is_some();
        let mut descriptors: Vec<PollFd<'_>> =
            [readable(self.listener.as_fd()), readable(self.signals.as_fd())]
                .into_iter()
                .chain(self.mounts.as_ref().map(MountTable::change))
                .chain(watched)
                .collect();
        let patience = self.spares.refill_after(Instant::now()).map(timespec);
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut descriptors, patience.as_ref()))?;
        let woke = |index: usize| {
            descriptors
                .get(index)
                .is_some_and(|descriptor| !descriptor.revents().is_empty())
        };
        Ok(Woken {
            client: woke(0),
            mounts_changed: has_mounts && woke(2),
            stdin_ended: woke(2 + usize::from(has_mounts)),
        })
    }

    fn read_signals(&mut self) -> io::Result<Verdict> {
        let mut verdict = Verdict::GoOn;
        while let Some(signal) = sys::next_signal(&self.signals) {
            match signal {
                libc::SIGCHLD => self.reap()?,
                // Ctrl-C at a terminal reaches every process there. Whoever started us with a pipe drains first.
                libc::SIGINT | libc::SIGHUP if self.options.exit_with_stdin => {}
                _ => verdict = Verdict::Stop,
            }
        }
        Ok(verdict)
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            match sys::wait4(-1, libc::WNOHANG) {
                Ok(Some((pid, status, _))) => {
                    self.groups_left.extend(u32::try_from(pid));
                    if self.spares.forget(pid) {
                        continue;
                    }
                    let was_supervisor = self.supervisors.remove(&pid);
                    if was_supervisor && libc::WIFSIGNALED(status) {
                        // It died before its command; without a pid namespace that leaves orphans, by now ours.
                        let spared = self.supervisors.iter().copied().chain(self.spares.pids());
                        descendants::kill_below(&spared.collect())?;
                    }
                }
                Ok(None) | Err(Errno::CHILD) => {
                    self.remove_groups();
                    return Ok(());
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// A supervisor removes its own; one that was killed does not, and what it ran may die a moment after it.
    fn remove_groups(&mut self) {
        let cgroups = &self.confinement.cgroups;
        self.groups_left
            .retain(|supervisor| !cgroups.remove_of(*supervisor));
        while self.groups_left.len() > CGROUPS_LEFT_MAX {
            self.groups_left.pop_first();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let connection = match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(connection) => UnixStream::from(connection),
            Err(Errno::INTR | Errno::AGAIN | Errno::CONNABORTED) => return Ok(()),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                std::thread::sleep(SHORTAGE_PAUSE);
                return Ok(());
            }
            Err(errno) => return Err(errno.into()),
        };
        if let Some(refusal) = self.refusal(&connection) {
            answer(connection, &refusal);
            return Ok(());
        }
        let now = Instant::now();
        self.spares.note_runs(self.supervisors.len() + 1, now);
        if let Some(pid) = self.spares.hand_over(&connection, now) {
            self.supervisors.insert(pid);
            return Ok(());
        }
        let own_pid = rustix::process::getpid();
        match sys::fork() {
            Ok(Fork::Child) => self.live_as_supervisor(Calling::Client(connection), own_pid),
            Ok(Fork::Parent(pid)) => {
                self.supervisors.insert(pid);
            }
            Err(errno) => {
                let message = format!("forking a supervisor: {errno}");
                answer(
                    connection,
                    &Reply::Refused {
                        refusal: Refusal::Internal,
                        message,
                    },
                );
            }
        }
        Ok(())
    }

    /// When there are no resources for a spare there are better uses for them; the next connection asks again.
    fn fork_spare(&mut self) {
        let Ok((ours, theirs)) = spares::hand_over_pair() else {
            self.spares.stop_refilling();
            return;
        };
        let own_pid = rustix::process::getpid();
        match sys::fork() {
            Ok(Fork::Child) => self.live_as_supervisor(Calling::Spare(theirs), own_pid),
            Ok(Fork::Parent(pid)) => self.spares.add(pid, ours, Instant::now()),
            Err(_) => self.spares.stop_refilling(),
        }
    }

    fn refusal(&self, connection: &UnixStream) -> Option<Reply> {
        let refused = |refusal, message| Some(Reply::Refused { refusal, message });
        match rustix::net::sockopt::socket_peercred(connection) {
            Ok(peer) if peer.uid.is_root() || peer.uid == rustix::process::geteuid() => {}
            Ok(peer) if self.options.client_uids.contains(&peer.uid.as_raw()) => {}
            Ok(peer) => {
                let message = format!(
                    "user {} may not use this runner, only its own, root, and those named by --client-uid",
                    peer.uid.as_raw()
                );
                return refused(Refusal::Internal, message);
            }
            Err(errno) => return refused(Refusal::Internal, format!("asking who connects: {errno}")),
        }
        match self.supervisors.len() >= RUNS_MAX as usize {
            true => refused(
                Refusal::Busy,
                format!("{RUNS_MAX} commands are running, which is the most"),
            ),
            false => None,
        }
    }

    fn live_as_supervisor(&self, calling: Calling, runner: rustix::process::Pid) -> ! {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            if rustix::process::getppid() != Some(runner) {
                // It died before we asked to be told.
                return Ok(());
            }
            let (connection, world) = match calling {
                Calling::Client(connection) => {
                    sys::close_all_but(&[connection.as_raw_fd()])?;
                    (connection, None)
                }
                Calling::Spare(socket) => {
                    sys::close_all_but(&[socket.as_raw_fd()])?;
                    let world = ReadyWorld::build(&self.confinement);
                    (spares::wait_for_connection(&socket)?, world)
                }
            };
            supervise(connection, &self.confinement, &self.capabilities, world)
        }));
        sys::exit(if matches!(lived, Ok(Ok(()))) { 0 } else { 1 })
    }
}

struct Woken {
    client: bool,
    mounts_changed: bool,
    stdin_ended: bool,
}

#[derive(PartialEq, Eq)]
enum Verdict {
    GoOn,
    Stop,
}

/// To a client that gets nothing else. Never waits: a reply this short fits any socket's buffer, and a client that has
/// left needs none.
fn answer(mut connection: UnixStream, reply: &Reply) {
    let _ = connection.set_nonblocking(true);
    let _ = write_frame(&mut connection, &reply.encode());
}
