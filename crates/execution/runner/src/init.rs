//! A command's init: pid 1 of its world, when pids are its own.
//!
//! It builds the world around itself, gives up every right, starts the command, reaps what the command leaves behind,
//! reports how the command ended, and exits; then the kernel kills whatever is left. It never returns to the code
//! it was cloned from.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use runner_api::Mechanism;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::channel::{Channel, Culprit, Message};
use crate::confinement::Confinement;
use crate::mounts::BuildDirectory;
use crate::program::Program;
use crate::rusage::resource_usage;
use crate::setup_error::{Result, Step};
use crate::sys::{self, InitSignal};
use crate::{id_map, mounts, namespaces, privileges};

/// What a command's world is made of.
pub(crate) struct World<'a> {
    pub(crate) confinement: &'a Confinement,
    pub(crate) build: BuildDirectory,
    /// Nothing to run when only the world is tried.
    pub(crate) command: Option<Command>,
}

/// What runs in it.
pub(crate) struct Command {
    pub(crate) program: Program,
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
        confinement,
        build,
        command,
    } = world;
    die_with_parent()?;
    channel.wait_for_go().step("waiting for the id map")?;
    let program = keep_only_what_is_needed(channel, &build, command)?;
    sys::prepare_init_signals();
    if let Some(command_line) = confinement.command_line {
        command_line.blank();
    }
    rustix::thread::set_name(c"farrier-init").step("naming init")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    namespaces::furnish(confinement)?;
    let own_tree = confinement.has(Mechanism::MountNamespace);
    if let (false, BuildDirectory::Path(path)) = (own_tree, &build) {
        // While directories above it are still open to us.
        rustix::process::chdir(path).step_with(|| format!("entering {path:?}"))?;
    }
    let own_ids = confinement.has(Mechanism::UserNamespace);
    if own_ids {
        id_map::become_inner(&confinement.ids)?;
    }
    if own_tree {
        mounts::enter(confinement, build)?;
    }
    if confinement.has(Mechanism::NoNestedNamespaces) {
        namespaces::forbid_nesting()?;
    }
    if !own_ids {
        id_map::become_host(&confinement.ids)?;
    }
    privileges::no_core_files()?;
    match confinement.drops_capabilities {
        true => privileges::drop_all()?,
        false => privileges::no_new_privs()?,
    }
    privileges::hide_from_trace()?;
    // Changing ids made the kernel forget. A supervisor that died meanwhile is noticed when Ready is sent.
    die_with_parent()?;
    open_stdin()?;
    Ok(program)
}

fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step("asking to die with the supervisor")
}

/// Forgets every descriptor of the supervisor: its connection, its ends of the pipes, its logs.
fn keep_only_what_is_needed(
    channel: &Channel,
    build: &BuildDirectory,
    command: Option<Command>,
) -> Result<Option<Program>> {
    let mut keep = vec![channel.as_fd().as_raw_fd()];
    if let BuildDirectory::Tree(tree) = build {
        keep.push(tree.as_fd().as_raw_fd());
    }
    let program = match command {
        None => None,
        Some(Command {
            program,
            stdout,
            stderr,
        }) => {
            sys::duplicate_to(&stdout, 1).step("connecting standard output")?;
            sys::duplicate_to(&stderr, 2).step("connecting standard error")?;
            Some(program)
        }
    };
    sys::close_all_but(&keep).step("closing the supervisor's descriptors")?;
    Ok(program)
}

/// Last, so that it is the world's own `/dev/null`.
fn open_stdin() -> Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step("opening /dev/null for standard input")?;
    sys::duplicate_to(&null, 0).step("connecting standard input")
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
