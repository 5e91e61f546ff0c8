//! Starting a command's init in its new namespaces, and ending it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runner_api::Mechanism;
use rustix::io::Errno;
use rustix::process::Signal;

use crate::cgroup::{Group, Limits};
use crate::channel::Channel;
use crate::init::{self, World};
use crate::setup_error::{Result, Step};
use crate::sys::{self, Fork};
use crate::{id_map, namespaces};

/// A running init, seen by its supervisor.
pub(crate) struct Init {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    pub(crate) channel: Channel,
    /// Where it and all that it starts are bounded and counted.
    pub(crate) group: Group,
}

impl Init {
    /// Starts one. Until its world stands it may still fail; it says so on its channel.
    pub(crate) fn start(world: World<'_>) -> Result<Init> {
        let (ours, theirs) = Channel::pair().step("making a channel to init")?;
        let confinement = world.confinement;
        let mut group = confinement.cgroups.group(std::process::id())?;
        group.limit(world.limits)?;
        let namespaces = namespaces::flags(confinement);
        match sys::clone_into(namespaces).step("cloning a process with new namespaces")? {
            Fork::Child => {
                // Or it would not notice the supervisor's death: it would hold the other end itself.
                drop(ours);
                init::live(world, &theirs)
            }
            Fork::Parent((pid, pidfd)) => {
                let init = Init {
                    pid,
                    pidfd,
                    channel: ours,
                    group,
                };
                let ids_to_map = confinement
                    .has(Mechanism::UserNamespace)
                    .then_some(&confinement.ids);
                let released = init.group.take_in(pid).and_then(|()| init.release(ids_to_map));
                released.inspect_err(|_| {
                    init.kill();
                    // It was ours to reap; the error that matters is the first one.
                    let _ = init.reap();
                })?;
                Ok(init)
            }
        }
    }

    /// Bounds what it is going to start.
    pub(crate) fn limit(&mut self, limits: Limits) -> Result<()> {
        self.group.limit_running(limits, self.pid)
    }

    fn release(&self, ids_to_map: Option<&crate::confinement::Ids>) -> Result<()> {
        if let Some(ids) = ids_to_map {
            id_map::write(self.pid, ids)?;
        }
        self.channel.go().step("telling init to go on")
    }

    /// Readable when it is dead; in a pid namespace everything it started is dead by then too.
    pub(crate) fn death(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills it, and with it all of a pid namespace.
    pub(crate) fn kill(&self) {
        // It fails only when it is dead already, which is what we want.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Asks it to kill everything in its pid namespace and to report what that used.
    pub(crate) fn stop(&self) {
        // It fails only when it is dead already, which is what we want.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// Its raw wait status. Blocks until it is dead.
    pub(crate) fn reap(&self) -> std::result::Result<i32, Errno> {
        match sys::wait4(self.pid, 0)? {
            Some((_, status, _)) => Ok(status),
            None => Err(Errno::CHILD),
        }
    }
}
