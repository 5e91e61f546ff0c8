//! One command, and what became of it.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::InputRootPlace;

/// Where a command sees its build directory when the runner has mount namespaces: one fixed path, so that no worker's
/// own path leaks into outputs and two workers give the same bytes.
pub const BUILD_PATH: &str = "/build";

/// Where a bare `argv[0]` is looked up when the command's environment has no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How long a command's clock can stand still, all in all; then it goes on whatever the client says.
pub const CLOCK_STOPPED_MAX: Duration = Duration::from_secs(3600);

/// No marker line that replaces dropped output is longer than this, so a log file never exceeds
/// [`RunRequest::output_log_bytes_max`] by more.
pub const LOG_MARKER_BYTES_MAX: usize = 160;

/// What stands in a log for output that was dropped, on a line of its own. `name` is stdout or stderr, `ends_line` whether
/// what is kept ends with the end of a line. At most [`LOG_MARKER_BYTES_MAX`] bytes.
pub fn log_marker(name: &str, kept_bytes: u64, dropped_bytes: u64, ends_line: bool) -> String {
    let line_end = if ends_line { "" } else { "\n" };
    format!(
        "{line_end}[farrier: {name} cut after {kept_bytes} bytes; the other {dropped_bytes} bytes were dropped]\n"
    )
}

/// What to run, where, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// The command and its arguments, at least one. The first, with a slash in it, is absolute or relative to
    /// `working_directory`; without one it is looked up in the `PATH` of `env`, else in [`DEFAULT_PATH`].
    pub argv: Vec<Vec<u8>>,
    /// The whole environment: nothing is added, nothing inherited. Names are unique, not empty, without `=`.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The build directory of this action: an absolute path on the host. The command sees it at `input_root_place`.
    pub input_root: PathBuf,
    /// Where the command sees it, in a mount namespace; `None` is [`BUILD_PATH`]. Not with [`Root::InputRoot`].
    pub input_root_place: Option<InputRootPlace>,
    /// What shows through where the build directory has nothing, by overlayfs. What the command writes, changes or
    /// removes is in `input_root` all the same. Takes a runner that has [overlays](crate::Capabilities::overlays).
    pub input_root_base: Option<Base>,
    /// Where the command starts: relative to the build directory, without `..`; empty is the build directory itself.
    pub working_directory: PathBuf,
    /// How long the command may run, counted from when it is about to start. `None`: as long as it likes.
    pub timeout: Option<Duration>,
    /// Absolute path of the host file that gets the standard output. It must not exist; the runner creates it at the
    /// first byte, so a silent command leaves none.
    pub stdout_path: PathBuf,
    /// Absolute path of the host file that gets the standard error. It must not exist; the runner creates it at the
    /// first byte, so a silent command leaves none.
    pub stderr_path: PathBuf,
    /// How many bytes of each stream are kept. The rest is read and dropped, and one marker line of at most
    /// [`LOG_MARKER_BYTES_MAX`] bytes is appended that says so.
    pub output_log_bytes_max: u64,
    /// What the command sees at `/`.
    pub root: Root,
    /// The file system of [`Root::Image`]; given with it and only with it.
    pub image: Option<Image>,
    /// Who the command sees itself as, in a user namespace; `None` for the same user on every worker.
    pub user: Option<User>,
    /// Whether the command keeps the host's network. Otherwise it has a loopback interface of its own and nothing else.
    pub network: bool,
    /// How much memory all processes of the command may use together, files they keep in memory and `/tmp` included.
    /// `None`: what all commands of the runner may use. No bound where the runner has
    /// [none](crate::Capabilities::memory_limit).
    pub memory_bytes_max: Option<u64>,
    /// How many processes and threads the command may have at once. No bound where the runner has
    /// [none](crate::Capabilities::process_limit).
    pub processes_max: Option<u32>,
    /// How many processors' time the command may use at most. `None`: all that are idle. No bound where the runner has
    /// [none](crate::Capabilities::processor_limit).
    pub processors_max: Option<u32>,
}

/// What a command sees at `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// The host's tools, read-only, with the build directory at [`BUILD_PATH`] or the place that was asked for.
    #[default]
    Host,
    /// The build directory itself and nothing of the host but `/dev`, `/proc` and a private `/tmp`. Directories of these
    /// names must be in it.
    InputRoot,
    /// A file system of its own that goes with the command, with the build directory at [`BUILD_PATH`] or the place that was
    /// asked for, and nothing of the host but `/dev`, `/proc` and a private `/tmp`. Directories of these names must be in it.
    Image,
}

/// The lower part of an overlay. Absolute paths on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// A directory tree that is read and never written; many commands may have it at once.
    pub tree: PathBuf,
    /// An empty directory for overlayfs itself, on the file system of what lies above the tree, and no other command's.
    pub work: PathBuf,
}

/// A root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The directory that takes what the command writes: an absolute path on the host.
    pub upper: PathBuf,
    /// What is there before.
    pub base: Base,
}

/// The directories that have to be in a build directory to be a root.
pub const MOUNT_POINTS: [&str; 3] = ["dev", "proc", "tmp"];

/// Ids that a command sees as its own. On the host it has those that any command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Of the user.
    pub uid: u32,
    /// Of the group.
    pub gid: u32,
}

/// Who a command sees itself as if it does not say: the same everywhere, so that nothing about a worker's accounts leaks
/// into outputs.
pub const DEFAULT_USER: User = User { uid: 1000, gid: 1000 };

impl RunRequest {
    /// Whether the request can be run at all; what is wrong with it if not. Both sides check.
    pub fn check(&self) -> Result<(), InvalidRequest> {
        if self.argv.first().is_none_or(|first| first.is_empty()) {
            return Err(InvalidRequest::NoCommand);
        }
        if let Some(index) = self.argv.iter().position(|argument| argument.contains(&0)) {
            return Err(InvalidRequest::NulByte {
                what: format!("argument {index}"),
            });
        }
        self.check_env()?;
        if (self.root == Root::Image) != self.image.is_some() {
            return Err(InvalidRequest::Image);
        }
        if self.root == Root::InputRoot && self.input_root_place.is_some() {
            return Err(InvalidRequest::TwoPlaces);
        }
        let bases = self.input_root_base.iter();
        let bases = bases.chain(self.image.as_ref().map(|image| &image.base));
        let more = bases
            .flat_map(|base| [("base", &base.tree), ("base", &base.work)])
            .chain(self.image.as_ref().map(|image| ("image", &image.upper)));
        for (what, path) in [
            ("input_root", &self.input_root),
            ("stdout_path", &self.stdout_path),
            ("stderr_path", &self.stderr_path),
        ]
        .into_iter()
        .chain(more)
        {
            check_path(what, path)?;
            if !path.is_absolute() {
                return Err(InvalidRequest::NotAbsolute {
                    what,
                    path: path.clone(),
                });
            }
        }
        check_path("working_directory", &self.working_directory)?;
        if !self
            .working_directory
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(InvalidRequest::WorkingDirectory {
                path: self.working_directory.clone(),
            });
        }
        Ok(())
    }

    fn check_env(&self) -> Result<(), InvalidRequest> {
        let mut names: Vec<&[u8]> = Vec::with_capacity(self.env.len());
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(&b'=') {
                return Err(InvalidRequest::VariableName { name: lossy(name) });
            }
            if name.contains(&0) || value.contains(&0) {
                return Err(InvalidRequest::NulByte {
                    what: format!("environment variable {}", lossy(name)),
                });
            }
            names.push(name);
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(InvalidRequest::DuplicateVariable { name: lossy(pair[0]) }),
            None => Ok(()),
        }
    }
}

fn check_path(what: &'static str, path: &Path) -> Result<(), InvalidRequest> {
    match path.as_os_str().as_bytes().contains(&0) {
        true => Err(InvalidRequest::NulByte {
            what: what.to_owned(),
        }),
        false => Ok(()),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Why a [`RunRequest`] cannot be run, whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// `argv` is empty, or its first element is.
    NoCommand,
    /// Something that goes to the kernel as a C string holds a NUL byte.
    NulByte {
        /// Which part.
        what: String,
    },
    /// The name of an environment variable is empty or holds `=`.
    VariableName {
        /// The name.
        name: String,
    },
    /// An environment variable is given twice.
    DuplicateVariable {
        /// The name.
        name: String,
    },
    /// A host path is relative.
    NotAbsolute {
        /// Which one.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// There is an image and the root is another, or the other way round.
    Image,
    /// The input root is to be the root and somewhere else.
    TwoPlaces,
    /// The working directory is absolute or leaves the build directory.
    WorkingDirectory {
        /// The path.
        path: PathBuf,
    },
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidRequest::NoCommand => {
                write!(f, "the command has no arguments; the first names the executable")
            }
            InvalidRequest::NulByte { what } => {
                write!(f, "{what} holds a NUL byte, which no program can receive")
            }
            InvalidRequest::VariableName { name } => {
                write!(f, "environment variable name {name:?} is empty or holds '='")
            }
            InvalidRequest::DuplicateVariable { name } => {
                write!(f, "environment variable {name:?} is given twice")
            }
            InvalidRequest::NotAbsolute { what, path } => {
                write!(f, "{what} {path:?} is not an absolute path")
            }
            InvalidRequest::Image => {
                write!(f, "the root is to be an image exactly if there is one")
            }
            InvalidRequest::TwoPlaces => {
                write!(f, "the input root is to be the root, so it cannot be elsewhere")
            }
            InvalidRequest::WorkingDirectory { path } => {
                write!(
                    f,
                    "working directory {path:?} is absolute or has a '..'; it must lie in the input root"
                )
            }
        }
    }
}

impl std::error::Error for InvalidRequest {}

/// What became of a command. Sent only when every process it started is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResponse {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used. After a timeout: what all its processes used together.
    pub usage: ResourceUsage,
    /// When the command was about to start: nanoseconds since 1970 by the host's clock.
    pub started_unix_ns: u64,
    /// When its last process was dead: nanoseconds since 1970 by the host's clock.
    pub finished_unix_ns: u64,
    /// How long it ran until its last process was dead, by the clock that [`RunRequest::timeout`] counts by: it does not
    /// jump when somebody sets the host's. Zero if it never began.
    pub ran: Duration,
    /// Whether output was dropped; the log file then ends with a marker line.
    pub stdout_truncated: bool,
    /// Whether output was dropped; the log file then ends with a marker line.
    pub stderr_truncated: bool,
    /// How often it could not start a process because it had as many as it may.
    pub processes_refused: u64,
    /// For how much of the time between start and end its clock stood still, nanoseconds.
    pub clock_stopped_ns: u64,
}

impl RunResponse {
    /// How long it ran by the clock that its timeout counts by.
    pub fn time_counted(&self) -> Duration {
        self.ran
            .saturating_sub(Duration::from_nanos(self.clock_stopped_ns))
    }
}

/// How a command ended. All but [`SetupFailed`](Outcome::SetupFailed) are the command's own doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this code.
    Exited(i32),
    /// A signal of this number ended it.
    Signaled(i32),
    /// It did not succeed, and the kernel killed some of it because the memory it may have was used up.
    OutOfMemory,
    /// It ran longer than its timeout and was killed. The logs hold what it wrote until then.
    TimedOut,
    /// The runner could not do its part. Nothing is known about the command; trying again may help.
    SetupFailed {
        /// What failed, on what.
        message: String,
    },
    /// The command could not be started: its executable or its working directory is missing or unusable.
    NotStarted {
        /// What the kernel said, as `errno`: `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG`, ...
        errno: i32,
        /// What it said it about: the executable as the command gave it, or the working directory.
        path: PathBuf,
    },
}

/// What a command used, as `getrusage(2)` counts it: the command and every descendant it waited for. The last number is
/// the control group's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Time in user mode, microseconds.
    pub user_us: u64,
    /// Time in the kernel, microseconds.
    pub system_us: u64,
    /// The largest resident set of any one process, bytes.
    pub max_rss_bytes: u64,
    /// Page faults served without I/O.
    pub minor_faults: u64,
    /// Page faults that needed I/O.
    pub major_faults: u64,
    /// Blocks of 512 bytes read.
    pub in_blocks: u64,
    /// Blocks of 512 bytes written.
    pub out_blocks: u64,
    /// Times it gave up the processor.
    pub voluntary_switches: u64,
    /// Times the processor was taken from it.
    pub involuntary_switches: u64,
    /// The most memory that all its processes used at one time, files in memory included; bytes. Zero if nobody counted.
    pub memory_peak_bytes: u64,
}

impl ResourceUsage {
    /// Every field in the order they are declared: for whoever sends them as bytes.
    pub fn to_numbers(self) -> [u64; 10] {
        let ResourceUsage {
            user_us,
            system_us,
            max_rss_bytes,
            minor_faults,
            major_faults,
            in_blocks,
            out_blocks,
            voluntary_switches,
            involuntary_switches,
            memory_peak_bytes,
        } = self;
        [
            user_us,
            system_us,
            max_rss_bytes,
            minor_faults,
            major_faults,
            in_blocks,
            out_blocks,
            voluntary_switches,
            involuntary_switches,
            memory_peak_bytes,
        ]
    }

    /// The inverse of [`to_numbers`](Self::to_numbers).
    pub fn from_numbers(numbers: [u64; 10]) -> Self {
        let [
            user_us,
            system_us,
            max_rss_bytes,
            minor_faults,
            major_faults,
            in_blocks,
            out_blocks,
            voluntary_switches,
            involuntary_switches,
            memory_peak_bytes,
        ] = numbers;
        ResourceUsage {
            user_us,
            system_us,
            max_rss_bytes,
            minor_faults,
            major_faults,
            in_blocks,
            out_blocks,
            voluntary_switches,
            involuntary_switches,
            memory_peak_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RunRequest {
        RunRequest {
            argv: vec![b"true".to_vec()],
            env: vec![(b"A".to_vec(), b"b=c".to_vec())],
            input_root: "/r".into(),
            working_directory: PathBuf::new(),
            timeout: None,
            stdout_path: "/o".into(),
            stderr_path: "/e".into(),
            output_log_bytes_max: 1,
            root: Root::Host,
            image: None,
            input_root_place: None,
            input_root_base: None,
            user: None,
            network: false,
            memory_bytes_max: None,
            processes_max: None,
            processors_max: None,
        }
    }

    fn check(change: impl FnOnce(&mut RunRequest), expected: &str) {
        let mut request = request();
        change(&mut request);
        assert_eq!(
            request.check().map_err(|e| e.to_string()),
            Err(expected.to_owned())
        );
    }

    #[test]
    fn a_plain_request_is_fine() {
        assert_eq!(request().check(), Ok(()));
        let nested = RunRequest {
            working_directory: "a/./b".into(),
            ..request()
        };
        assert_eq!(nested.check(), Ok(()));
    }

    #[test]
    fn every_impossible_request_is_named() {
        let no_command = "the command has no arguments; the first names the executable";
        check(|r| r.argv.clear(), no_command);
        check(|r| r.argv[0].clear(), no_command);
        check(
            |r| r.argv.push(b"a\0b".to_vec()),
            "argument 1 holds a NUL byte, which no program can receive",
        );
        check(
            |r| r.env[0].0.clear(),
            "environment variable name \"\" is empty or holds '='",
        );
        check(
            |r| r.env[0].0 = b"A=".to_vec(),
            "environment variable name \"A=\" is empty or holds '='",
        );
        check(
            |r| r.env[0].1 = vec![0],
            "environment variable A holds a NUL byte, which no program can receive",
        );
        check(
            |r| r.env.push((b"A".to_vec(), vec![])),
            "environment variable \"A\" is given twice",
        );
        check(
            |r| r.input_root = "r".into(),
            "input_root \"r\" is not an absolute path",
        );
        check(
            |r| r.stderr_path = "".into(),
            "stderr_path \"\" is not an absolute path",
        );
        check(
            |r| {
                r.root = Root::InputRoot;
                r.input_root_place = InputRootPlace::parse("/home/ann").ok();
            },
            "the input root is to be the root, so it cannot be elsewhere",
        );
        for path in ["/abs", "a/../b", ".."] {
            let expected = format!(
                "working directory {path:?} is absolute or has a '..'; it must lie in the input root"
            );
            check(|r| r.working_directory = path.into(), &expected);
        }
    }
}
