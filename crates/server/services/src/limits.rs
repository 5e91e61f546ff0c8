//! Every numeric limit of the doors, in one place. What a client must know of them is in the capabilities.

use std::time::Duration;

/// Largest response message. Clients refuse more than 4 MiB unless told otherwise (checklist G14).
pub const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest request message. Above what clients may send by the rules, so that one that counts only the bytes of
/// its blobs, not those around them, still gets through.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Advertised as `max_batch_total_size_bytes`: data of one batch call. The rest of a response message is left to
/// what travels beside the data, [`BATCH_ENTRY_OVERHEAD_BYTES`] for each blob.
pub const BATCH_DATA_BYTES_MAX: u64 = RESPONSE_BYTES_MAX as u64 - 512 * 1024;

/// Room that one blob takes in a batch response besides its data: digest, status, tags and lengths.
pub const BATCH_ENTRY_OVERHEAD_BYTES: u64 = 104;

/// Blobs of one batch that are read, or decompressed in pieces, at the same time.
pub const BATCH_CONCURRENCY: usize = 16;

/// Blobs of one batch that are put at the same time: as good as all, so that a store which commits what came together
/// can do it at once. Their bytes are in memory anyway, and admitted.
pub const BATCH_PUT_CONCURRENCY: usize = 4096;

/// Largest blob that an entry of a batch is decompressed to in memory; larger ones are in pieces.
pub const BATCH_DECOMPRESSED_BYTES_MAX: u64 = 256 * 1024;

/// Smallest blob that a batch read compresses; below it, the frame costs more than it saves.
pub const BATCH_COMPRESSED_BYTES_MIN: usize = 512;

/// Largest blob that an upload may keep in memory as a whole, instead of passing it on in pieces.
pub const UPLOAD_IN_MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Data of one `ReadResponse` at most. Also what a client that stops reading makes the server hold.
pub const READ_MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Pieces from a store below this are joined before they are sent, so that a slow store does not make small messages.
pub const READ_MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// How long a client may take no further piece of a blob; then its read is ended. It may go on from where it is.
pub const READ_IDLE_MAX: Duration = Duration::from_secs(60);

/// How often reads are looked through within that time.
pub const READS_SWEPT_TIMES: u32 = 6;

/// Chunks of one SplitBlob answer and of one SpliceBlob request: at 74 bytes for a SHA-256 digest they fit a response.
pub const RECIPE_CHUNKS_MAX: usize = 50_000;

/// Blobs that are cut by SplitBlob or joined by SpliceBlob at the same time; further calls wait their turn.
pub const CHUNKING_CALLS_MAX: usize = 16;

/// Chunks of one blob that SplitBlob stores at the same time.
pub const CHUNK_PUTS_MAX: usize = 4;

/// Directories of one GetTree message at most, also when the client asks for more.
pub const TREE_PAGE_DIRECTORIES_MAX: usize = 10_000;

/// Bytes of directories in one GetTree message at most, the last one not counted.
pub const TREE_PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Directories of one GetTree call at most.
pub const TREE_DIRECTORIES_MAX: usize = 1_000_000;

/// Directories that GetTree fetches at the same time.
pub const TREE_CONCURRENCY: usize = 16;

/// Largest encoded Action taken.
pub const ACTION_BYTES_MAX: u64 = 1024 * 1024;

/// Largest encoded Command taken: a long link line with its response files written out.
pub const COMMAND_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Largest stored ActionResult: it must fit a response, without anything inlined, beside an operation's metadata.
pub const ACTION_RESULT_BYTES_MAX: usize = RESPONSE_BYTES_MAX - 128 * 1024;

/// What an ActionResult may grow to by inlining (checklist A2).
pub const INLINED_RESULT_BYTES_MAX: usize = 1024 * 1024;

/// Files of one ActionResult that are inlined at most; further hints are ignored.
pub const INLINED_FILES_MAX: usize = 1000;

/// Multi-message uploads at most, live and parked together.
pub const UPLOADS_MAX: usize = 4096;

/// Interrupted uploads that are kept for their client to come back to; above it, the oldest is given up.
pub const PARKED_UPLOADS_MAX: usize = 64;

/// How long an interrupted upload is kept.
pub const PARKED_UPLOAD_IDLE_MAX: Duration = Duration::from_secs(60);

/// How long a live upload waits for its client's next message before it is parked.
pub const UPLOAD_MESSAGE_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a call that resumes an upload waits for the call it takes over from.
pub const UPLOAD_TAKEOVER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a call waits for room for its bytes before it is told to come back.
pub const ADMISSION_WAIT_MAX: Duration = Duration::from_secs(10);

/// Default for the bytes that all calls together hold while they wait for storage.
pub const IN_FLIGHT_BYTES_MAX_DEFAULT: u64 = 256 * 1024 * 1024;

/// Default for the largest blob.
pub const BLOB_SIZE_BYTES_MAX_DEFAULT: u64 = 64 * 1024 * 1024 * 1024;

/// Longest message of a status. It travels as a header, whose total many clients limit to 8 KiB.
pub const STATUS_MESSAGE_BYTES_MAX: usize = 1024;

/// Longest details of a status, before base64, for the same reason.
pub const STATUS_DETAILS_BYTES_MAX: usize = 4096;

/// What a client is told to wait before it tries again when there is no room.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Most actions whose commands and input trees are fetched and checked at the same time; further calls wait their turn.
pub const PREPARING_MAX: usize = 64;

/// Bytes that a log stream made by CreateLogStream keeps while it is written; of more, the oldest are dropped.
pub const LOG_STREAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a running action's output on the way from its worker to those who read it. Beyond, the worker waits for the
/// slowest of them.
pub const FOLLOWED_OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// How long a worker waits for a reader that takes nothing; then the reader's bytes are dropped.
pub const FOLLOWED_OUTPUT_WAIT_MAX: Duration = Duration::from_secs(30);

/// Log streams that the readers of one operation's output have at the same time: those that read at about the same place
/// share one.
pub const FOLLOWED_OUTPUTS_MAX: usize = 8;

/// Bytes of all log streams in memory; what is appended beyond takes the place of older bytes of the same stream.
pub const LOG_STREAMS_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Log streams at the same time. For another one, the one that was finished longest ago is forgotten.
pub const LOG_STREAMS_MAX: usize = 4096;

/// Bytes that one step of reading or writing a log stream moves at most.
pub const LOG_STREAM_PIECE_BYTES_MAX: usize = 256 * 1024;

/// How long a finished log stream is remembered.
pub const LOG_STREAM_FINISHED_MAX: Duration = Duration::from_secs(600);

/// How long a log stream is kept that nobody writes to and nobody has finished, and how long a writer may say nothing.
pub const LOG_STREAM_IDLE_MAX: Duration = Duration::from_secs(3600);

/// How often log streams are looked through for those whose time is over.
pub const LOG_STREAMS_SWEPT_EVERY: Duration = Duration::from_secs(10);
