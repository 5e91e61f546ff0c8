//! A command's init: pid 1 of its world, when pids are its own.
//!
//! It builds the world around itself, gives up every right, starts the command, reaps what the command leaves behind,
//! reports how the command ended, and exits; then the kernel kills whatever is left. It never returns to the code
//! it was cloned from.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use runner_api::{Mechanism, Request, Root};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::cgroup::Limits;
use crate::channel::{Channel, Culprit, Message};
use crate::confinement::Confinement;
use crate::mounts::{BuildDirectory, Tree};
use crate::program::Program;
use crate::rusage::resource_usage;
use crate::setup_error::{Result, Step};
use crate::sys::{self, InitSignal};
use crate::{id_map, landlock, namespaces, privileges, system_calls};

/// What a command's world is made of.
pub(crate) struct World<'a> {
    pub(crate) confinement: &'a Confinement,
    pub(crate) errand: Errand,
    /// Set before it is let go.
    pub(crate) limits: Limits,
}

/// What a world is built for.
pub(crate) enum Errand {
    /// Nothing: it is only tried.
    Trial,
    /// The command that is known when the world is built.
    Given { build: BuildDirectory, command: Command },
    /// A command that comes over the channel when the rest is ready.
    ToCome,
}

/// What runs in it.
pub(crate) struct Command {
    pub(crate) program: Program,
    /// `None`: nothing to read.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The whole life of an init.
pub(crate) fn live(world: World<'_>, channel: &Channel) -> ! {
    // A panic must not unwind into the supervisor's code, of which this is a copy.
    let lived = catch_unwind(AssertUnwindSafe(|| match build(world, channel) {
        Ok(None) => channel.send(&Message::Ready),
        Ok(Some(program)) => run(&program, channel),
        Err(error) => channel.send(&Message::SetupFailed(error.to_string())),
    }));
    // If the supervisor is gone there is nobody to tell, and our end is all that is left to do.
    sys::exit(if matches!(lived, Ok(Ok(()))) { 0 } else { 1 })
}

/// Builds the world, outside in.
fn build(world: World<'_>, channel: &Channel) -> Result<Option<Program>> {
    let World {
        confinement, errand, ..
    } = world;
    die_with_parent()?;
    channel.wait_for_go().step("waiting for the id map")?;
    keep_only_what_is_needed(channel, &errand)?;
    let tree = prepare(confinement, &errand)?;
    let (build, command) = errand.settle(channel, &confinement.through)?;
    let (program, stdin) = match command {
        None => (None, None),
        Some(Command {
            program,
            stdin,
            stdout,
            stderr,
        }) => {
            sys::duplicate_to(&stdout, 1).step("connecting standard output")?;
            sys::duplicate_to(&stderr, 2).step("connecting standard error")?;
            (Some(program), stdin)
        }
    };
    let root = program.as_ref().map_or(Root::Host, |program| program.root);
    let place = program.as_ref().and_then(|program| program.place.as_ref());
    let processes_max = program.as_ref().and_then(|program| program.processes_max);
    if let (true, Some(processes_max)) = (confinement.bounds_own_processes(), processes_max) {
        privileges::bound_processes(processes_max)?;
    }
    if let Some(tree) = tree {
        tree.complete(build, root, place)?;
    }
    complete(confinement, stdin, root)?;
    Ok(program)
}

/// All that does not depend on the command. What comes after it is what a command that comes later has to wait for.
fn prepare(confinement: &Confinement, errand: &Errand) -> Result<Option<Tree>> {
    sys::prepare_init_signals();
    if let Some(command_line) = confinement.command_line {
        command_line.blank();
    }
    rustix::thread::set_name(c"farrier-init").step("naming init")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    namespaces::furnish(confinement)?;
    let own_tree = confinement.has(Mechanism::MountNamespace);
    if let (false, Some(path)) = (own_tree, errand.host_path()) {
        // While directories above it are still open to us.
        rustix::process::chdir(path).step_with(|| format!("entering {path:?}"))?;
    }
    let own_ids = confinement.has(Mechanism::UserNamespace);
    if own_ids {
        id_map::become_inner(&confinement.ids)?;
    }
    let mut tree = own_tree.then(|| Tree::build(confinement)).transpose()?;
    if let (Some(tree), false) = (&mut tree, errand.needs_host(confinement)) {
        tree.leave_host()?;
    }
    if confinement.has(Mechanism::NoNestedNamespaces) {
        namespaces::forbid_nesting()?;
    }
    privileges::no_core_files()?;
    match confinement.drops_capabilities {
        true => privileges::renounce()?,
        false => privileges::no_new_privs()?,
    }
    privileges::hide_from_trace()?;
    // Changing ids made the kernel forget. A supervisor that died meanwhile is noticed at the channel.
    die_with_parent()?;
    Ok(tree)
}

/// The end of every right.
fn complete(confinement: &Confinement, stdin: Option<OwnedFd>, root: Root) -> Result<()> {
    if !confinement.has(Mechanism::UserNamespace) {
        id_map::become_host(&confinement.ids)?;
    }
    if confinement.drops_capabilities {
        privileges::drop_capabilities()?;
    }
    // Changing ids and rights made the kernel forget these.
    privileges::hide_from_trace()?;
    die_with_parent()?;
    connect_stdin(stdin)?;
    if confinement.has(Mechanism::Landlock) {
        landlock::restrict(root)?;
    }
    // Last: the world was built with some of what is refused.
    match confinement.has(Mechanism::SystemCallFilter) {
        true => system_calls::refuse(),
        false => Ok(()),
    }
}

impl Errand {
    /// The build directory's path, when it is known and a path.
    fn host_path(&self) -> Option<&Path> {
        match self {
            Errand::Given {
                build: BuildDirectory::Path(path),
                ..
            } => Some(path),
            _ => None,
        }
    }

    /// Whether the host's tree must stay in reach until the build directory is known.
    fn needs_host(&self, confinement: &Confinement) -> bool {
        match self {
            Errand::Trial => false,
            Errand::Given { .. } => self.host_path().is_some(),
            Errand::ToCome => !confinement.clones_mounts,
        }
    }

    /// The command and where it runs; waits for it if it is still to come.
    fn settle(self, channel: &Channel, through: &[Vec<u8>]) -> Result<(BuildDirectory, Option<Command>)> {
        match self {
            Errand::Trial => Ok((BuildDirectory::None, None)),
            Errand::Given { build, command } => Ok((build, Some(command))),
            Errand::ToCome => {
                let (encoded_request, descriptors) =
                    channel.wait_for_errand().step("waiting for a command")?;
                arrived(&encoded_request, descriptors, through)
                    .ok_or(Errno::BADMSG)
                    .step("reading the command")
            }
        }
    }
}

/// What a supervisor sent, which has checked the request before. `None` if it did not.
fn arrived(
    encoded_request: &[u8],
    descriptors: Vec<OwnedFd>,
    through: &[Vec<u8>],
) -> Option<(BuildDirectory, Option<Command>)> {
    let Ok(Request::Run(request)) = Request::decode(encoded_request) else {
        return None;
    };
    let mut descriptors = descriptors.into_iter();
    let command = Command {
        program: Program::of(&request, through).ok()?,
        stdin: None,
        stdout: descriptors.next()?,
        stderr: descriptors.next()?,
    };
    let build = match (descriptors.next(), descriptors.next()) {
        (Some(tree), None) => BuildDirectory::Tree(tree),
        (Some(tree), Some(image)) => BuildDirectory::InImage { tree, image },
        (None, _) => BuildDirectory::Path(request.input_root),
    };
    Some((build, Some(command)))
}

fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step("asking to die with the supervisor")
}

/// Forgets every descriptor of the supervisor: its connection, its ends of the pipes, its logs.
fn keep_only_what_is_needed(channel: &Channel, errand: &Errand) -> Result<()> {
    let mut keep = vec![channel.as_fd().as_raw_fd()];
    if let Errand::Given { build, command } = errand {
        keep.extend([command.stdout.as_raw_fd(), command.stderr.as_raw_fd()]);
        keep.extend(command.stdin.as_ref().map(AsRawFd::as_raw_fd));
        keep.extend(build.descriptors().iter().map(AsRawFd::as_raw_fd));
    }
    sys::close_all_but(&keep).step("closing the supervisor's descriptors")
}

/// Last, so that without anything to read it is the world's own `/dev/null`.
fn connect_stdin(stdin: Option<OwnedFd>) -> Result<()> {
    let null = || {
        rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .step("opening /dev/null for standard input")
    };
    let stdin = stdin.map_or_else(null, Ok)?;
    sys::duplicate_to(&stdin, 0).step("connecting standard input")
}

/// Starts the command, waits for its end, reports.
fn run(program: &Program, channel: &Channel) -> std::result::Result<(), Errno> {
    channel.send(&Message::Ready)?;
    let not_started = |errno: Errno, culprit| {
        channel.send(&Message::NotStarted {
            errno: errno.raw_os_error(),
            culprit,
        })
    };
    if let Err(errno) = enter_working_directory(&program.working_directory) {
        return not_started(errno, Culprit::WorkingDirectory);
    }
    match sys::spawn(&program.execution) {
        Ok(pid) => channel.send(&wait_for(pid)?),
        Err(errno) => not_started(errno, Culprit::Executable),
    }
}

fn enter_working_directory(path: &CStr) -> std::result::Result<(), Errno> {
    match path.is_empty() {
        true => Ok(()),
        false => rustix::process::chdir(path),
    }
}

/// Reaps everything until the command itself is dead; or, when the supervisor wants an end, until everything is, so
/// that what it used is known.
fn wait_for(command: libc::pid_t) -> std::result::Result<Message, Errno> {
    let mut stopping = false;
    let mut command_status = None;
    loop {
        match sys::wait4(-1, libc::WNOHANG) {
            Ok(Some((pid, status, usage))) if pid == command => {
                if !stopping {
                    return Ok(Message::Ended {
                        status,
                        usage: resource_usage(&usage),
                    });
                }
                command_status = Some(status);
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                if sys::next_init_signal() == InitSignal::StopFromOutside {
                    sys::kill_everything_else()?;
                    stopping = true;
                }
            }
            // Everything is dead, so the command is: it was seen above.
            Err(Errno::CHILD) => {
                let status = command_status.ok_or(Errno::CHILD)?;
                return Ok(Message::Ended {
                    status,
                    usage: resource_usage(&sys::usage_of_children()),
                });
            }
            Err(errno) => return Err(errno),
        }
    }
}
