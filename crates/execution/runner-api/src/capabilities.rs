//! Which confinement a runner can give.

use std::fmt;

/// What a runner says about itself when asked with `Hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Every mechanism the runner knows, each once, and whether commands get it.
    pub mechanisms: Vec<(Mechanism, Availability)>,
    /// Whose id commands run as.
    pub uid_mode: UidMode,
    /// Whether input files may be hard links into a shared cache; see the crate's introduction for the conditions.
    pub hardlinks_safe: bool,
    /// The user id, on the host, that commands run as.
    pub action_uid: u32,
    /// The group id, on the host, that commands run as.
    pub action_gid: u32,
    /// How many commands run at the same time at most; more are refused.
    pub runs_max: u32,
    /// Whether [`RunRequest::memory_bytes_max`](crate::RunRequest::memory_bytes_max) holds.
    pub memory_limit: Availability,
    /// Whether [`RunRequest::processes_max`](crate::RunRequest::processes_max) holds.
    pub process_limit: Availability,
    /// Whether [`RunRequest::processors_max`](crate::RunRequest::processors_max) holds.
    pub processor_limit: Availability,
    /// Whether a build directory may have a [base](crate::RunRequest::input_root_base), and a command an
    /// [image](crate::RunRequest::image).
    pub overlays: Availability,
}

/// Whose id commands run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UidMode {
    /// An unprivileged id of their own, other than the runner's. Needs a runner that is root.
    Privileged,
    /// The runner's own id.
    Rootless,
}

/// One way of keeping a command apart from its host and from other commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// No way to become another user, and none of the host's privileges.
    UserNamespace,
    /// A file tree of its own; the base of the four that follow it.
    MountNamespace,
    /// The host's tools are visible but cannot be changed; everything else of the host is out of sight.
    ReadOnlyHost,
    /// `/tmp` is empty at the start and gone at the end.
    PrivateTmp,
    /// `/dev` has the harmless devices only.
    PrivateDev,
    /// `/proc` shows the command's own processes only.
    PrivateProc,
    /// Other processes cannot be seen or signalled, and all of the command's die with its first one.
    PidNamespace,
    /// No network but a loopback interface.
    NetworkNamespace,
    /// No shared memory or message queue of others.
    IpcNamespace,
    /// A neutral host name.
    UtsNamespace,
    /// Set-user-id programs give no rights.
    NoNewPrivs,
    /// The command cannot make namespaces itself, which keeps a large part of the kernel out of its reach.
    NoNestedNamespaces,
    /// System calls that no build needs, and that lead deep into the kernel, are refused.
    SystemCallFilter,
    /// Nothing can be written outside of the build directory and scratch space, and no process outside be signalled or
    /// reached by an abstract Unix socket, as far as the kernel's Landlock goes.
    Landlock,
    /// The command's control group is the top of all that it sees of them, so their names tell nothing of the worker.
    CgroupNamespace,
}

impl Mechanism {
    /// All of them, in the order they are reported.
    pub const ALL: [Mechanism; 15] = [
        Mechanism::UserNamespace,
        Mechanism::MountNamespace,
        Mechanism::ReadOnlyHost,
        Mechanism::PrivateTmp,
        Mechanism::PrivateDev,
        Mechanism::PrivateProc,
        Mechanism::PidNamespace,
        Mechanism::NetworkNamespace,
        Mechanism::IpcNamespace,
        Mechanism::UtsNamespace,
        Mechanism::NoNewPrivs,
        Mechanism::NoNestedNamespaces,
        Mechanism::SystemCallFilter,
        Mechanism::Landlock,
        Mechanism::CgroupNamespace,
    ];

    pub(crate) fn from_code(code: u8) -> Option<Mechanism> {
        Mechanism::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::UserNamespace => "user namespace",
            Mechanism::MountNamespace => "mount namespace",
            Mechanism::ReadOnlyHost => "read-only host",
            Mechanism::PrivateTmp => "private /tmp",
            Mechanism::PrivateDev => "private /dev",
            Mechanism::PrivateProc => "private /proc",
            Mechanism::PidNamespace => "pid namespace",
            Mechanism::NetworkNamespace => "network namespace",
            Mechanism::IpcNamespace => "ipc namespace",
            Mechanism::UtsNamespace => "uts namespace",
            Mechanism::NoNewPrivs => "no_new_privs",
            Mechanism::NoNestedNamespaces => "no nested namespaces",
            Mechanism::SystemCallFilter => "system call filter",
            Mechanism::Landlock => "Landlock",
            Mechanism::CgroupNamespace => "cgroup namespace",
        })
    }
}

/// Whether commands get a mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// They do.
    Available,
    /// They do not.
    Missing {
        /// What stood in the way: what was tried and what the kernel said.
        why: String,
    },
}

impl Capabilities {
    /// The mechanisms commands do not get, with the reason for each.
    pub fn missing(&self) -> impl Iterator<Item = (Mechanism, &str)> {
        self.mechanisms
            .iter()
            .filter_map(|(mechanism, availability)| match availability {
                Availability::Available => None,
                Availability::Missing { why } => Some((*mechanism, why.as_str())),
            })
    }

    /// Whether commands get this mechanism.
    pub fn has(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&(mechanism, Availability::Available))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions() {
        for (position, mechanism) in Mechanism::ALL.into_iter().enumerate() {
            assert_eq!(mechanism as usize, position);
            assert_eq!(Mechanism::from_code(position as u8), Some(mechanism));
        }
        assert_eq!(Mechanism::from_code(Mechanism::ALL.len() as u8), None);
    }
}
