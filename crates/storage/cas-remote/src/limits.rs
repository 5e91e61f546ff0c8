//! Every number of this crate, in one place.

use std::time::Duration;

/// Largest message read from a server. The rules say 4 MiB; servers that put more into an action result are
/// understood too.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What one stream may have under way towards us: rate times delay of a fast network.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// What all streams of one connection may have under way towards us.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;
/// Largest HTTP/2 frame taken. The receiver chooses; large ones more than double the rate of a download.
pub(crate) const FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// Headers of one answer. FAILED_PRECONDITION carries its details in trailers.
pub(crate) const HEADERS_BYTES_MAX: u32 = 64 * 1024;

/// Connections that only `ByteStream` uses: a reader who pauses fills the window of one of these and holds up
/// neither small calls nor executions.
pub(crate) const BULK_CONNECTIONS: usize = 2;

/// Default for how long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Default for how long one call that is not a stream may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A silent connection is asked for a sign of life this often …
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// … and given up when none comes for so long.
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream may make no progress because of the server.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(60);

/// Largest blob that travels in a batch; larger ones get a stream of their own.
pub(crate) const BATCHED_BLOB_BYTES_MAX: u64 = 256 * 1024;
/// Largest batch: 4 MiB, the largest message that every server takes, less room for what is around the blobs.
pub(crate) const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024 - 64 * 1024;
/// Blobs in one batch.
pub(crate) const BATCH_BLOBS_MAX: usize = 4000;
/// Room that one blob takes in a batch beside its data: digest, status, lengths.
pub(crate) const BATCH_ENTRY_OVERHEAD_BYTES: u64 = 160;
/// Batches of one kind and instance under way at once. While that many are, newcomers gather in the next.
pub(crate) const BATCHES_IN_FLIGHT_MAX: usize = 4;

/// Digests in one `FindMissingBlobs`: about 80 bytes each, so that the message stays below 4 MiB.
pub(crate) const FIND_MISSING_DIGESTS_MAX: usize = 40_000;
/// Calls that one large `find_missing` makes at once.
pub(crate) const FIND_MISSING_CALLS_MAX: usize = 4;

/// Data in one message of an upload, and the most that is sent in a single message when it is the whole blob.
pub(crate) const WRITE_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// A blob that fits this goes in one message: the server then needs no state for it.
pub(crate) const WRITE_WHOLE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Pieces below this are joined before they are sent.
pub(crate) const WRITE_MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// Smallest blob that travels in chunks, where its server offers that: below, asking costs more than sending.
pub(crate) const CHUNKED_BLOB_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Chunks of one blob: as digests they fit a message of 4 MiB.
pub(crate) const RECIPE_CHUNKS_MAX: u64 = 40_000;
/// Bytes of chunks that one `FindMissingBlobs` asks for, and that wait in memory for its answer.
pub(crate) const CHUNK_WINDOW_BYTES: usize = 8 * 1024 * 1024;
/// Chunks of one blob that are sent at once.
pub(crate) const CHUNK_UPLOADS_MAX: usize = 8;
/// Chunks of one blob that are fetched at once, ahead of its reader.
pub(crate) const CHUNK_DOWNLOADS_MAX: usize = 4;
/// Largest chunk that is read into memory: the largest that the specification allows.
pub(crate) const CHUNK_IN_MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Smallest blob worth compressing in a batch.
pub(crate) const COMPRESSED_BYTES_MIN: u64 = 1024;

/// How often one call is tried again without any progress between.
pub(crate) const RETRIES_MAX: u32 = 8;
/// Wait before the first retry; it doubles from one to the next …
pub(crate) const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
/// … up to this.
pub(crate) const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// Longest wait that a server may ask for by `RetryInfo`; if it asks for more, the call fails.
pub(crate) const RETRY_INFO_DELAY_MAX: Duration = Duration::from_secs(60);
/// Retries that all calls of one channel may make before successes earn new ones.
pub(crate) const RETRY_BUDGET_MAX: u32 = 200;
/// Successes that earn one retry.
pub(crate) const SUCCESSES_PER_RETRY: u32 = 10;

/// Stores of instances that one channel remembers; beyond that, each call makes a new one, which coalesces less.
pub(crate) const INSTANCES_MAX: usize = 1024;
