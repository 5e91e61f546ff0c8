//! Every bound of the runner, in one place.

use std::time::Duration;

/// How many commands run at the same time. One more is refused with a reply that says so.
pub const RUNS_MAX: u32 = 256;

/// The user and group id, on the host, that commands of a privileged runner get unless options say otherwise. It only
/// has to be an id that owns nothing: above what distributions give to people and services (60 000 at most) and below
/// the ranges handed to containers (65 536 and up).
pub const ACTION_ID: u32 = 62_000;

/// How long a client may take to send its request after connecting.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to read its reply.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long building a command's world may take; only a hung file system takes more than milliseconds.
pub(crate) const SETUP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an init may take to kill and count a command whose time is over, before it is killed itself.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long killed processes may take to die unless options say otherwise; only one stuck in the kernel takes more than
/// milliseconds.
pub const DEATH_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two looks at processes that do not die.
pub(crate) const UNDEAD_PAUSE: Duration = Duration::from_secs(1);

/// How many directories of a `PATH` are looked at for a bare command name; a longer `PATH` is refused.
pub(crate) const PATH_ENTRIES_MAX: usize = 1024;

/// No path may be longer for the kernel.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// How many control groups of dead runners and supervisors are looked after.
pub(crate) const CGROUPS_LEFT_MAX: usize = 4096;

/// Directories of one level that are remembered while a build directory is lent or taken back.
pub(crate) const LENT_DIRECTORIES_MAX: usize = 1_000_000;

/// How much of a stream is copied at a time.
pub(crate) const COPY_BYTES: usize = 64 * 1024;

/// How many words of a client are read at a time; of those only the last counts.
pub(crate) const CLIENT_WORDS_PER_TURN: usize = 64;

/// How many copies are made before the other descriptors get a turn; also bounds the last look after death, when a
/// pipe (1 MiB at most) may still be full.
pub(crate) const COPIES_PER_TURN: usize = 32;

/// Connections the kernel queues for the runner.
pub(crate) const BACKLOG: i32 = 1024;

/// The longest message a command's init sends: longer texts are cut.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2048;

/// How large each of a command's private tmpfs (`/tmp`, `/dev/shm`) may grow, as tmpfs understands it: half of
/// the memory, the kernel's own default, said aloud. Their pages count as the command's memory.
pub(crate) const TMPFS_SIZE: &str = "50%";

/// How many supervisors wait for a command, at most. More commands than this rarely start in the few milliseconds that
/// it takes to replace them.
pub(crate) const SPARES_MAX: usize = 8;

/// How long after the last connection the waiting supervisors are made complete again: what was connected for is
/// started by then, and nobody is slowed down.
pub(crate) const REFILL_PAUSE: Duration = Duration::from_millis(3);

/// How old a waiting supervisor and its world may be to be used: what of the host changes without a change of mounts
/// (a tool directory renamed) is seen by commands after this long.
pub(crate) const SPARE_AGE_MAX: Duration = Duration::from_secs(30);

/// How long a request may be to be sent into a world that is ready; a longer one's world is built with it. Half of
/// what sockets take by default.
pub(crate) const ERRAND_BYTES_MAX: usize = 96 * 1024;

/// How many descriptors a message carries at most: between our processes two logs, the build directory and an image; from a
/// client the two ends of a conversation.
pub(crate) const DESCRIPTORS_MAX: usize = 4;

/// How often a path is opened while the kernel says to try again.
pub(crate) const OPENS_MAX: usize = 1000;
