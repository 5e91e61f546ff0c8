//! Every bound of the daemon.

use std::time::Duration;

/// Wrappers that are served at once. More wait in the socket's queue, and lose nothing.
pub(crate) const SESSIONS_MAX: usize = 4096;
/// Wrappers that may wait to be served.
pub(crate) const BACKLOG: i32 = 4096;
/// How long a wrapper may take to say what it wants.
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// Standard input of a command that is taken: what wrappers send at most, and the piece that took them there.
pub(crate) const INPUT_TAKEN_MAX: usize = daemon_api::INPUT_BYTES_MAX + daemon_api::PIECE_BYTES_MAX;
/// Failures of probes that are remembered, and what each may print.
pub(crate) const FAILURES_MAX: usize = 4096;
pub(crate) const FAILURE_BYTES_MAX: usize = 8 << 10;
/// Files that a front end may declare for one command, with those in declared directories; and how deep these may be.
pub(crate) const DECLARED_FILES_MAX: usize = 100_000;
pub(crate) const DECLARED_DEPTH_MAX: usize = 32;
/// A response file that is read.
pub(crate) const RESPONSE_FILE_BYTES_MAX: u64 = 16 << 20;
/// The table of a thin archive whose members are listed.
pub(crate) const THIN_ARCHIVE_BYTES_MAX: u64 = 64 << 20;

/// Ways in which a command of an unknown tool is expected to behave.
pub(crate) const PREDICTIONS_MAX: usize = 4;
/// How often a worker may run a command anew because it looked at more than was expected.
pub(crate) const CORRECTIONS_MAX: usize = 4;
/// Places that it may look at.
pub(crate) const PREDICTED_PLACES_MAX: usize = 100_000;

/// How long a connection to the server may take to be made.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long the action cache may take to answer. A build that waits longer for it would be faster without.
pub(crate) const LOOKUP_WITHIN: Duration = Duration::from_millis(1500);
/// How long nothing of what a result refers to may come from the server. A build that waits longer for it would be faster without.
pub(crate) const FETCH_STALLS_FOR: Duration = Duration::from_millis(1500);
/// The same for what a worker has just made for somebody who has nobody else to make it.
pub(crate) const MADE_STALLS_FOR: Duration = Duration::from_secs(10);
/// How long outputs may take to be fetched even so, beside a second for each of the bytes below.
pub(crate) const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// How long the server may take nothing of what is uploaded: a batch of blobs shows no progress before it is over.
pub(crate) const STORE_STALLS_FOR: Duration = Duration::from_secs(10);
/// How long the server may fail to execute something that can be done here as well, before that is what happens.
pub(crate) const EXECUTE_FAILS_FOR: Duration = Duration::from_secs(2);
/// What a build waits for in vain, whatever of the server does not answer …
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(2);
/// … and what is left of that when nothing is asked any more.
pub(crate) const PATIENCE_MIN: Duration = Duration::from_millis(200);
/// After so long all of it is back.
pub(crate) const PATIENCE_BACK_IN: Duration = Duration::from_secs(600);
/// The slowest network that is waited for.
pub(crate) const FETCH_BYTES_PER_SECOND_MIN: u64 = 1 << 20;
/// The longest token that is shown to a server.
pub(crate) const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// How long a program may take to say it.
pub(crate) const TOKEN_WITHIN: Duration = Duration::from_secs(30);
/// A server that failed is asked again after so long, by nobody who waits …
pub(crate) const PROBE_AFTER_MIN: Duration = Duration::from_secs(5);
/// … and when it fails again and again, after twice as long each time, up to this.
pub(crate) const PROBE_AFTER_MAX: Duration = Duration::from_secs(300);
/// While a worker is waited for and nothing else comes from the server, it is asked this often whether it is still there.
pub(crate) const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Builds whose connections are kept.
pub(crate) const BUILDS_MAX: usize = 16;
/// How often a command is run elsewhere to compare what comes out.
pub(crate) const RERUNS_MAX: u32 = 100;
/// Kinds of commands of which it is known how long they usually take.
pub(crate) const USUAL_MAX: usize = 1024;
/// How long what is left of a command that is to end may take to go.
pub(crate) const LOSER_GONE_WITHIN: Duration = Duration::from_secs(10);
/// Commands that were to be done elsewhere and wait for a place on this machine: when none has been given or has come back for so
/// long, whoever has them may be waiting for one of these.
pub(crate) const SLOTS_STUCK_FOR: Duration = Duration::from_secs(300);
/// How far up the process tree one that has a place is looked for.
pub(crate) const SLOT_ANCESTORS_MAX: usize = 64;
/// Commands that are told by `status`, those that have been under way for longest.
pub(crate) const RUNNING_TOLD_MAX: usize = 100;
/// Executions under way at the server.
pub(crate) const EXECUTIONS_MAX: usize = 1024;

/// Outputs of commands that ran here which wait in memory to be uploaded. Beyond, results are not stored.
pub(crate) const WAITING_BYTES_MAX: usize = 512 << 20;
/// The largest output that is read into memory to be stored; what is larger is uploaded before the command is over.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Blobs of one result that are stored at once.
pub(crate) const PUTS_AT_ONCE: usize = 64;
/// How long what waits may take to be uploaded when a build ends, or the daemon.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(60);

/// Steps that are remembered for `why`, `stats` and `trace`, less than a kilobyte each.
pub(crate) const STEPS_REMEMBERED_MAX: usize = 50_000;
/// Builds that are counted separately.
pub(crate) const BUILDS_COUNTED_MAX: usize = 64;
/// Sets of facts of compilers that are known at once: one for each set of options and directory.
pub(crate) const FACTS_MAX: usize = 4096;
/// Toolchains that are known at once.
pub(crate) const TOOLCHAINS_MAX: usize = 256;
/// Files of which it is known whether they name their tree, for builds that are independent of paths.
pub(crate) const MENTIONS_MAX: usize = 100_000;
/// The largest file that is looked through for that.
pub(crate) const MENTIONING_BYTES_MAX: u64 = 64 << 20;
/// Drivers of which it is known whether they map paths.
pub(crate) const MAPPING_MAX: usize = 256;
