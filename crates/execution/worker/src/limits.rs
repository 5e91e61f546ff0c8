//! Every numeric bound of a worker, with what happens beyond it.

use std::time::Duration;

/// Largest blob that is fetched, or kept for upload, as one piece of memory. Larger ones are streamed.
pub(crate) const SMALL_BLOB_BYTES_MAX: u64 = 128 << 10;
/// Fetches of one action in flight at once. Many, so that a store over a network can batch small ones.
pub(crate) const FETCHES_IN_FLIGHT_MAX: usize = 256;
/// Streamed fetches of one action in flight at once.
pub(crate) const LARGE_FETCHES_IN_FLIGHT_MAX: usize = 4;
/// Bytes of blobs held in memory on their way in, all actions together; more fetches wait.
pub(crate) const FETCH_BYTES_IN_FLIGHT_MAX: usize = 64 << 20;
/// Small files written to the cache in one hop to a blocking thread.
pub(crate) const FILES_PER_HOP_MAX: usize = 128;
/// Largest encoded `Directory` that is read; a larger one fails the action.
pub(crate) const DIRECTORY_BYTES_MAX: u64 = 32 << 20;
/// Encoded bytes of the `Directory` messages kept decoded in memory, least recently used dropped first.
pub(crate) const DIRECTORY_CACHE_BYTES_MAX: u64 = 64 << 20;
/// Piece of a large file that is read or written in one hop to a blocking thread.
pub(crate) const FILE_PIECE_BYTES: usize = 1 << 20;

/// Bytes of paths that are remembered of what commands have read; those that ran longest ago are forgotten first.
pub(crate) const READ_BEFORE_BYTES_MAX: u64 = 32 << 20;
/// Bytes of files that are fetched ahead for one action.
pub(crate) const PREFETCH_BYTES_MAX: u64 = 256 << 20;

/// Longest path of an input, relative to the input root: `PATH_MAX` less room for where the root is mounted.
pub(crate) const INPUT_PATH_BYTES_MAX: usize = 3800;
/// Times an input root is built anew because a cached file turned out to be damaged or gone.
pub(crate) const PLACEMENT_ATTEMPTS_MAX: usize = 3;
/// With less than so many bytes free on this machine's disk, a command that fails is thought to have failed for that.
pub(crate) const DISK_BYTES_WANTED: u64 = 32 << 20;
/// The same, of files.
pub(crate) const DISK_FILES_WANTED: u64 = 1000;
/// How often it is looked at how much an action has written, where that is bounded.
pub(crate) const DISK_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many levels of directories are looked into for that; a descriptor each.
pub(crate) const DISK_LOOK_DEPTH_MAX: usize = 200;
/// How many names are looked at; an action with more has passed every bound.
pub(crate) const DISK_LOOK_ENTRIES_MAX: u32 = 2_000_000;
/// How long the account of an action without a result may take to be stored; it goes without then.
pub(crate) const ACCOUNT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a new build directory waits on a full disk for old ones to be removed.
pub(crate) const DISK_PATIENCE: Duration = Duration::from_secs(10);
/// Trees that are kept on the disk, least recently used forgotten first.
pub(crate) const TREES_MAX: usize = 64;
/// Files, directories and symlinks in all of them together.
pub(crate) const TREE_PATHS_KEPT_MAX: u64 = 4_000_000;
/// What each of those is thought to take on the disk beside its content: an entry, and a share of a block.
pub(crate) const TREE_PATH_BYTES: u64 = 256;
/// The most recently used trees that an input root is compared with.
pub(crate) const BASES_COMPARED_MAX: usize = 8;
/// Large input roots remembered to see whether they come again.
pub(crate) const SEEN_ROOTS_MAX: usize = 8;
/// Nodes looked at in one comparison of two input roots; what would take more counts as different.
pub(crate) const COMPARED_NODES_MAX: usize = 50_000;
/// With fewer files, directories and symlinks an input root is always linked: an overlay would cost more.
pub(crate) const OVERLAY_PATHS_MIN: u64 = 200;
/// With fewer, no tree is made of an input root.
pub(crate) const BASE_PATHS_MIN: u64 = 1000;
/// An overlay may take this share of an input root's paths as steps, one in so many.
pub(crate) const DIFFERENCE_SHARE: u64 = 8;
/// Or so many in any case.
pub(crate) const DIFFERENCE_STEPS_ALWAYS: usize = 64;
/// Images whose description is kept in memory, least recently used forgotten first.
pub(crate) const IMAGES_KNOWN_MAX: usize = 64;
/// How long the server is not asked again whether an image is still there.
pub(crate) const IMAGE_TRUST: Duration = Duration::from_secs(30);
/// Largest `Tree` of an image.
pub(crate) const IMAGE_TREE_BYTES_MAX: u64 = 64 << 20;
/// Symlinks of an input root followed on the way to one program.
pub(crate) const SYMLINKS_FOLLOWED_MAX: usize = 40;
/// Entries of a command's PATH that are looked at for its program in the input root.
pub(crate) const TOOL_PLACES_MAX: usize = 64;
/// Build directories that may wait for their removal before new actions wait for it.
pub(crate) const REMOVALS_PENDING_MAX: usize = 64;
/// Removals at the same time. File systems with a journal make each removed directory wait, so several wait together.
pub(crate) const REMOVALS_IN_FLIGHT_MAX: usize = 4;
/// Names of subdirectories remembered per level while a tree is removed; a directory with more is read again.
pub(crate) const REMOVAL_NAMES_PER_LEVEL_MAX: usize = 1024;
/// Times a removal starts again because something still writes below it.
pub(crate) const REMOVAL_ATTEMPTS_MAX: u32 = 20;
/// Pause before a removal starts again.
pub(crate) const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// stdout or stderr up to this size are returned inline as well as by digest.
pub(crate) const LOG_INLINE_BYTES_MAX: u64 = 16 << 10;
/// Output files, symlinks and directories one action may produce.
pub(crate) const OUTPUT_ENTRIES_MAX: usize = 1_000_000;
/// Sum of the sizes of one action's output files.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 64 << 30;
/// Levels of directories below an output directory.
pub(crate) const OUTPUT_DEPTH_MAX: usize = 200;
/// Bytes of small outputs kept in memory between hashing and upload; the rest is read again.
pub(crate) const OUTPUT_BYTES_IN_MEMORY_MAX: u64 = 16 << 20;
/// Up to this many bytes are uploaded without asking first which are missing: one round trip instead of two.
pub(crate) const UPLOAD_UNASKED_BYTES_MAX: u64 = 64 << 10;
/// Up to this many blobs are uploaded without asking first.
pub(crate) const UPLOAD_UNASKED_BLOBS_MAX: usize = 8;
/// Uploads of one action in flight at once.
pub(crate) const UPLOADS_IN_FLIGHT_MAX: usize = 64;
/// Largest response of one action: most gRPC clients take 4 MiB in one message.
pub(crate) const RESPONSE_BYTES_MAX: usize = (4 << 20) - (64 << 10);
/// Between two looks at which packages this machine has.
pub(crate) const HOST_TOOLS_LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Special files that a message to the user names; more are only counted.
pub(crate) const SKIPPED_NAMED_MAX: usize = 5;

/// Largest answer of a persistent process; one that says more is ended.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Largest request to a persistent process; a larger one runs in the ordinary way.
pub(crate) const ASK_BYTES_MAX: usize = 64 << 20;
/// Requests on their way to one persistent process; more wait.
pub(crate) const ASKS_IN_FLIGHT_MAX: usize = 64;
/// Requests that one multiplex process works on at once; more start another, or run in the ordinary way.
pub(crate) const MULTIPLEX_REQUESTS_MAX: usize = 32;
/// How long a multiplex process may take to confirm that it has let go of a request, before it is ended.
pub(crate) const LET_GO_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a failed persistent process's stderr that are told with the failure.
pub(crate) const LAST_WORDS_BYTES_MAX: u64 = 2048;
/// How long a persistent process waits for another request before it is ended.
pub(crate) const IDLE_PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked for persistent processes that have waited too long.
pub(crate) const IDLE_CHECK: Duration = Duration::from_secs(10);
/// Persistent processes of one kind that may fail in a row before its commands run in the ordinary way.
pub(crate) const PROCESS_FAILURES_MAX: u32 = 3;
/// How long they do.
pub(crate) const DISTRUST: Duration = Duration::from_secs(600);
/// Kinds of processes whose failures are remembered, oldest forgotten first.
pub(crate) const DISTRUSTED_MAX: usize = 64;
/// Levels of directories that tools may lie deep to be kept between requests.
pub(crate) const TOOL_DEPTH_MAX: usize = 64;
/// Files and symlinks that are kept between requests.
pub(crate) const TOOLS_MAX: usize = 100_000;
/// Entries of directories moved in one round, and remembered for it.
pub(crate) const MOVES_PER_ROUND_MAX: usize = 1024;
/// Entries that may have to be moved after a request; a process that leaves more is ended.
pub(crate) const MOVES_MAX: usize = 1_000_000;
/// Bytes of all flag files of a request together.
pub(crate) const FLAG_FILE_BYTES_MAX: u64 = 16 << 20;
/// Levels of flag files that name others.
pub(crate) const FLAG_FILE_DEPTH_MAX: usize = 16;
/// Arguments of one request.
pub(crate) const REQUEST_ARGUMENTS_MAX: usize = 1_000_000;

/// Largest message of the server that is taken: every lease in full.
pub(crate) const DESIRED_STATE_BYTES_MAX: usize = 64 << 20;
/// Finished actions that one message to the server carries; those beyond it wait for the next.
pub(crate) const COMPLETED_BYTES_MAX: usize = 32 << 20;
/// Messages to the server waiting in the stream. The newest says everything, so one is enough.
pub(crate) const STATES_IN_FLIGHT_MAX: usize = 4;
/// Leases held at once, as a multiple of the slots; what the server wants beyond that is not started.
pub(crate) const LEASES_PER_SLOT_MAX: usize = 4;
/// Reports of running actions waiting for the sync loop.
pub(crate) const REPORTS_IN_FLIGHT_MAX: usize = 1024;
/// A change of phase may wait this long for company: an action shorter than this is reported once, when it ends.
pub(crate) const PHASE_DELAY: Duration = Duration::from_millis(50);
/// Sent messages whose time is remembered until the server acknowledges them.
pub(crate) const UNACKNOWLEDGED_MAX: usize = 4096;
/// Until the server has said otherwise.
pub(crate) const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);
/// The server's heartbeat is taken within these bounds.
pub(crate) const HEARTBEAT_BOUNDS: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(60));
/// Until the server has said otherwise.
pub(crate) const LEASE_DURATION_DEFAULT: Duration = Duration::from_secs(30);
/// The server's lease duration is taken within these bounds.
pub(crate) const LEASE_DURATION_BOUNDS: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(3600));
/// First pause before connecting again; it doubles up to the second, which has to be well below the grace that the
/// scheduler gives to a worker that is cut off.
pub(crate) const RECONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Longest wait for the server to accept a stream and answer its first message.
pub(crate) const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Parts of one action's output that are sent on while it runs; what the server wants beyond that is not begun.
pub(crate) const FOLLOWED_OUTPUTS_MAX: usize = 64;
/// Bytes of output sent on in one message.
pub(crate) const FOLLOWED_PIECE_BYTES_MAX: u64 = 64 << 10;
/// Pause between two looks at an output that has not grown.
pub(crate) const FOLLOWED_LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Pause before output is sent on again after the call broke, as often as the server wants it.
pub(crate) const FOLLOWED_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often the target of an output symlink is opened while the kernel says to try again.
pub(crate) const OPENS_MAX: usize = 1000;
