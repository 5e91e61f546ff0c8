//! A command's world that was built before there was a command.
//!
//! Its init has made every namespace and mount that does not depend on a request, and waits. What it was built from
//! may be out of date when the command comes; whoever wants to use it asks first, and builds a new one if in doubt.

use std::os::fd::{AsFd, OwnedFd};

use runner_api::{Mechanism, RunRequest};
use rustix::io::Errno;

use crate::cgroup::Limits;
use crate::confinement::Confinement;
use crate::init::{Errand, World};
use crate::limits::ERRAND_BYTES_MAX;
use crate::mount_table::MountTable;
use crate::mounts::BuildDirectory;
use crate::spawn::Init;

/// A world without a command.
pub(crate) struct ReadyWorld {
    init: Init,
    mounts: MountTable,
}

impl ReadyWorld {
    /// Starts to build one. `None` when this confinement has no world worth building in advance, or when it cannot be
    /// built: then the request that needs it finds out why.
    pub(crate) fn build(confinement: &Confinement) -> Option<ReadyWorld> {
        // Without a pid namespace an init that waits would be killed with what another command leaves behind.
        if !confinement.has(Mechanism::MountNamespace) || !confinement.has(Mechanism::PidNamespace) {
            return None;
        }
        // Before init copies them, so that no change is missed.
        let mounts = MountTable::open().ok()?;
        let errand = Errand::ToCome;
        let limits = Limits::default();
        let world = World {
            confinement,
            errand,
            limits,
        };
        let init = Init::start(world).ok()?;
        Some(ReadyWorld { init, mounts })
    }

    /// Whether this request's command would find in it what it finds in a new one.
    pub(crate) fn suits(&self, request: &RunRequest) -> bool {
        !request.network && request.user.is_none() && !self.mounts.has_changed()
    }

    /// Sends the command in, as its client described it. An error when it cannot be sent; then nothing happened, and
    /// the world is no more.
    pub(crate) fn enter(
        mut self,
        encoded_request: &[u8],
        limits: Limits,
        build: &BuildDirectory,
        stdout: &OwnedFd,
        stderr: &OwnedFd,
    ) -> Result<Init, String> {
        if let Err(error) = self.init.limit(limits) {
            self.dismiss();
            return Err(error.to_string());
        }
        let mut descriptors = vec![stdout.as_fd(), stderr.as_fd()];
        descriptors.extend(build.descriptors());
        let sent = match encoded_request.len() <= ERRAND_BYTES_MAX {
            true => self.init.channel.send_errand(encoded_request, &descriptors),
            false => Err(Errno::MSGSIZE),
        };
        match sent {
            Ok(()) => Ok(self.init),
            Err(errno) => {
                self.dismiss();
                Err(errno.to_string())
            }
        }
    }

    /// Nobody needs it. It is not waited for: nothing of any command was ever in it.
    pub(crate) fn dismiss(self) {
        self.init.kill();
    }
}
