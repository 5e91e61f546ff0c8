//! Every bound, with what happens beyond it.

use std::time::Duration;

/// Threads that answer the kernel, for each mount. Two, so that a read from a slow disk does not hold up a lookup.
pub(crate) const SERVING_THREADS: usize = 2;
/// Directories and files of one mount that are being fetched at a time; more wait their turn. What a command asks for is
/// bounded by its threads, each of which can wait for one.
pub(crate) const FETCHES_IN_FLIGHT_MAX: usize = 64;
/// Files of one mount that are open at a time; one more fails the action, as it is this machine that has no room.
pub(crate) const OPEN_FILES_MAX: usize = 65_536;
/// Largest piece of a file in one answer; the kernel asks for no more.
pub(crate) const READ_BYTES_MAX: u32 = 1 << 20;
/// How long the kernel may believe what it was told: nothing here ever changes.
pub(crate) const TIME_TO_LIVE: Duration = Duration::from_secs(24 * 3600);
/// How long all waits of one mount together may take. Then every fetch that is waited for fails.
pub const WAIT_MAX: Duration = Duration::from_secs(1800);
/// Paths of one action that are noted; more are counted as cut off.
pub const OBSERVED_PATHS_MAX: usize = 20_000;
/// Bytes of all of them together: an answer has to fit into a message of 4 MiB, with room for the rest.
pub const OBSERVED_BYTES_MAX: usize = 1 << 20;
/// Levels of directories that are looked at for what an action has written.
pub(crate) const WRITTEN_DEPTH_MAX: usize = 200;
/// Times mounts below a directory are looked for and taken away: something may hide below another.
pub(crate) const DETACH_ROUNDS_MAX: usize = 16;
