//! Which mechanisms a command gets, and whose id it runs as.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use runner_api::{Mechanism, Root, RunRequest, UidMode, User};

use crate::cgroup::Cgroups;
use crate::lending::Lender;
use crate::sys::CommandLine;

/// Who answers questions about host names.
const RESOLVER_CONFIGURATION: &str = "/etc/resolv.conf";

/// Whose id commands run as, in numbers of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) mode: UidMode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// What a command sees them as, in a user namespace.
    pub(crate) inner: User,
}

/// What surrounds every command of this runner. Decided once, by `probe.rs`.
#[derive(Clone, Debug)]
pub(crate) struct Confinement {
    pub(crate) mechanisms: BTreeSet<Mechanism>,
    pub(crate) ids: Ids,
    pub(crate) host_paths: Vec<PathBuf>,
    /// What of them is not shown.
    pub(crate) hidden_paths: Vec<PathBuf>,
    /// What every command is started through: a program and its first arguments.
    pub(crate) through: Vec<Vec<u8>>,
    /// Whether commands lose the runner's capabilities. Only a sandbox that is switched off leaves them.
    pub(crate) drops_capabilities: bool,
    /// Whether the runner itself can clone the mount of a build directory, so that init need not see the host's tree.
    pub(crate) clones_mounts: bool,
    /// The runner's own arguments, which an init would otherwise show: they name places of the worker.
    pub(crate) command_line: Option<CommandLine>,
    /// Where commands are bounded and counted.
    pub(crate) cgroups: Cgroups,
    /// How long killed processes may take to die.
    pub(crate) death_timeout: Duration,
    /// The client, where its files are neither root's nor the commands'.
    pub(crate) lender: Option<Lender>,
}

impl Confinement {
    pub(crate) fn has(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&mechanism)
    }

    /// Whether a command's processes have to be bounded by its init, and can be: the kernel counts them for each user of
    /// a user namespace, but not those of the host's root.
    pub(crate) fn bounds_own_processes(&self) -> bool {
        !self.cgroups.bound_processes() && self.has(Mechanism::UserNamespace) && self.ids.uid != 0
    }

    /// Whether the input root can be shown where it is asked for, and hides nothing there that the operator shows.
    pub(crate) fn check_place(&self, request: &RunRequest) -> Result<(), String> {
        let Some(place) = &request.input_root_place else {
            return Ok(());
        };
        if !self.has(Mechanism::MountNamespace) {
            return Err(format!(
                "no mount namespace to show the input root at {} in",
                place.as_str()
            ));
        }
        let place = place.as_path();
        let overlaps = |path: &&PathBuf| path.starts_with(place) || place.starts_with(path.as_path());
        match self.host_paths.iter().find(overlaps) {
            None => Ok(()),
            Some(path) => Err(format!(
                "the input root cannot be at {place:?}: this runner shows the host's {path:?}"
            )),
        }
    }

    /// What this command asks for beside what all get: the host's network, another user. An error says what is not to
    /// be had.
    pub(crate) fn asked_for(&self, request: &RunRequest) -> Result<Confinement, String> {
        let mut asked = self.clone();
        if request.network {
            asked.mechanisms.remove(&Mechanism::NetworkNamespace);
            // On many hosts this is a link out of /etc, into a directory that commands do not see.
            asked.host_paths.extend(fs::canonicalize(RESOLVER_CONFIGURATION));
        }
        if request.root == Root::InputRoot && !self.has(Mechanism::MountNamespace) {
            return Err("no mount namespace to make the input root the root in".to_owned());
        }
        asked.check_place(request)?;
        if (request.root == Root::Image || request.input_root_base.is_some()) && !self.clones_mounts {
            return Err("no rights over mounts to make an overlay with".to_owned());
        }
        if let Some(user) = request.user {
            if !self.has(Mechanism::UserNamespace) {
                return Err("no user namespace to be another user in".to_owned());
            }
            asked.ids.inner = user;
        }
        Ok(asked)
    }
}
