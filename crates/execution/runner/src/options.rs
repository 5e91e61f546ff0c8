//! What a runner is told at start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{ACTION_ID, DEATH_TIMEOUT};
use crate::mounts::HOST_PATHS;

/// How a runner serves. Plain values; every field matters.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// Where to listen. Created with mode 0600 when the runner is ready, removed at the end; only the runner's own
    /// user and root may connect, and `client_uids`. With those the mode is 0666, and who connects is asked of the kernel.
    pub socket_path: PathBuf,
    /// Others who may connect: users of workers that have not started this runner. Only for a runner that is root, which
    /// lends their build directories to a command and gives everything in them back.
    pub client_uids: Vec<u32>,
    /// What to do when the kernel does not give every mechanism.
    pub sandbox: Sandbox,
    /// The user id, on the host, for commands of a privileged runner. It should own nothing.
    pub action_uid: u32,
    /// The group id, on the host, for commands of a privileged runner. It should own nothing.
    pub action_gid: u32,
    /// Host files and directories that commands see read-only, at the same path. Those that do not exist are left out.
    pub host_paths: Vec<PathBuf>,
    /// Host files and directories that commands must not see into although they lie below a path that is shown. What does
    /// not exist needs not be hidden.
    pub hidden_paths: Vec<PathBuf>,
    /// Whether the end of standard input ends the runner. Whoever starts it with a pipe there and keeps the other end
    /// need not care how it dies itself: the runner follows.
    pub exit_with_stdin: bool,
    /// A program and its first arguments through which every command is started, for example an emulator; empty for none.
    /// The program is an absolute path, and is looked for where the command runs.
    pub through: Vec<OsString>,
    /// How much memory all commands together may use, bytes. The capabilities say whether that holds.
    pub memory_bytes_max: Option<u64>,
    /// How long killed processes may take to die before the client is told that they do not.
    pub death_timeout: Duration,
}

impl RunnerOptions {
    /// The defaults: everything required, [`ACTION_ID`], [`HOST_PATHS`], serving until killed.
    pub fn new(socket_path: impl Into<PathBuf>) -> Self {
        RunnerOptions {
            socket_path: socket_path.into(),
            client_uids: Vec::new(),
            sandbox: Sandbox::Require,
            action_uid: ACTION_ID,
            action_gid: ACTION_ID,
            host_paths: HOST_PATHS.iter().map(PathBuf::from).collect(),
            hidden_paths: Vec::new(),
            exit_with_stdin: false,
            through: Vec::new(),
            memory_bytes_max: None,
            death_timeout: DEATH_TIMEOUT,
        }
    }
}

/// What to do when the kernel does not give every mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Refuse to serve, naming what is missing and why.
    Require,
    /// Serve with what is there; the capabilities say what is not.
    BestEffort,
    /// Use none: commands run as the runner's own user, on the host's files and network. They still get no new
    /// privileges, and their processes are still all killed at the end.
    Off,
}
