//! Every number of this crate, in one place.

use std::time::Duration;

/// Blobs below this are packed into segments; others are an object each. Part of the format: a blob is looked for in
/// one place only, so buckets written with another value are not understood.
pub const SMALL_BLOB_BYTES_MAX: u64 = 64 << 10;

/// Payload after which a segment is full. A PUT of this size is bound by the rate of the network, not by its delay.
pub(crate) const SEGMENT_BYTES_MAX: usize = 8 << 20;
/// Blobs in one segment, so that many tiny blobs do not make an index larger than what it describes.
pub(crate) const SEGMENT_BLOBS_MAX: usize = 32_768;
/// How long the first blob of a segment waits for company.
pub(crate) const SEGMENT_WAIT: Duration = Duration::from_millis(20);
/// Segments being stored at once. While that many are, the next one fills up.
pub(crate) const SEGMENT_UPLOADS_MAX: usize = 4;
/// Bytes of small blobs that wait for their segment, in all; further puts wait.
pub(crate) const PACKING_BYTES_MAX: u32 = 64 << 20;
/// What a waiting blob costs beside its bytes, roughly.
pub(crate) const PACKING_ENTRY_BYTES: u32 = 256;
/// Puts in the queue of the packer.
pub(crate) const PACKING_QUEUE_MAX: usize = 1024;
/// Read at first from the end of a segment; holds the index of most.
pub(crate) const SEGMENT_TAIL_BYTES: u64 = 64 << 10;
/// Segments whose indices are read at once.
pub(crate) const SEGMENT_READS_MAX: usize = 16;
/// Listing for new segments goes back so far behind the listing before: a writer's clock may be wrong by
/// [`CLOCK_SKEW_MAX`], and its PUT takes less than the rest.
pub(crate) const SEGMENT_OVERLAP: Duration = Duration::from_secs(30 * 60);
/// Entries whose segment has gone are swept when so many segments have.
pub(crate) const GONE_SEGMENTS_MAX: usize = 64;

/// What one checksum of a large object covers.
pub(crate) const BLOCK_BYTES: u64 = 64 << 10;
/// Blocks whose checksums stand together, behind them.
pub(crate) const FRAME_BLOCKS: u64 = 16;
/// Frames that one request brings.
pub(crate) const PIECE_FRAMES: u64 = 2;
/// Requests of one read that are under way at once. With [`PIECE_FRAMES`] it bounds what a slow reader holds.
pub(crate) const PIECES_AHEAD_MAX: usize = 2;

/// Objects above this are uploaded in parts.
pub(crate) const SINGLE_PUT_BYTES_MAX: u64 = 16 << 20;
/// Smallest part; every part of an upload but the last has the same size, which some servers insist on.
pub(crate) const PART_BYTES_MIN: u64 = 16 << 20;
/// Parts of one upload; S3 takes 10 000.
pub(crate) const PARTS_MAX: u64 = 9_000;
/// Times that an object is stored for one put, when collections keep removing it meanwhile.
pub(crate) const CREATES_MAX: u32 = 3;
/// Places in which one read looks for a packed blob, when segments keep turning out to be gone or damaged.
pub(crate) const PLACES_MAX: u32 = 4;
/// Largest blob: S3 takes objects of 5 TiB, the others larger ones.
pub(crate) const BLOB_BYTES_MAX: u64 = 4 << 40;

/// Existence questions of one `find_missing` that are under way at once.
pub(crate) const HEADS_MAX: usize = 64;
/// Objects and segments whose last touch is remembered, about 150 bytes each.
pub(crate) const TOUCHED_MAX: u64 = 1 << 20;
/// Keys in one record of touches, or in one list of the collector.
pub(crate) const RECORD_KEYS_MAX: usize = 10_000;
/// Largest record that is read: so many keys of the longest kind, and room.
pub(crate) const RECORD_BYTES_MAX: u64 = 4 << 20;
/// Questions in the queue of the toucher.
pub(crate) const TOUCH_QUEUE_MAX: usize = 1024;
/// Records being stored at once.
pub(crate) const RECORDS_AT_ONCE_MAX: usize = 4;
/// Questions answered by one record.
pub(crate) const TOUCH_BATCH_MAX: usize = 1024;
/// Damaged blobs that are remembered, so that a put replaces them.
pub(crate) const DAMAGED_MAX: u64 = 1 << 16;

/// Attempts at a request whose failure `object_store` does not try again itself.
pub(crate) const ATTEMPTS_MAX: u32 = 4;
/// Attempts of `object_store` at one request that the server refuses for the moment.
pub(crate) const SERVER_RETRIES_MAX: usize = 6;
/// Wait before another attempt; it doubles from one to the next …
pub(crate) const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
/// … up to this.
pub(crate) const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// After this long, no further attempt.
pub(crate) const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the first requests to a bucket may take, with everything that is tried again.
pub(crate) const TRIAL_TIME_MAX: Duration = Duration::from_secs(45);

/// Clocks of writers and collectors may differ by this much.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a put waits for a collection that is just removing its object.
pub(crate) const DOOM_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it looks.
pub(crate) const DOOM_POLL: Duration = Duration::from_millis(500);
/// A collector removes what it has doomed within this long, or not at all; afterwards another one takes over. Far more
/// than all attempts at one request take.
pub(crate) const DOOM_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// Objects removed by one request, and doomed by one list.
pub(crate) const DOOMED_MAX: usize = 1_000;
/// Objects that one collection condemns. What is beyond waits for the next.
pub(crate) const CONDEMNED_MAX: usize = 1_000_000;
/// Segments that one collection stores again. What is beyond waits for the next …
pub(crate) const MERGED_MAX: usize = 1_000;
/// … and so many of them into one new segment at most: they are doomed together.
pub(crate) const MERGED_AT_ONCE_MAX: usize = 64;
/// Largest segment that is read as a whole: the bytes of the last blob, and an index, may come on top of a full one.
pub(crate) const MERGED_BYTES_MAX: u64 = 16 << 20;
/// Records of touches that a collector reads at once.
pub(crate) const RECORD_READS_MAX: usize = 16;
/// How long closing waits for what is being stored.
pub(crate) const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
/// Largest action result that is taken.
pub(crate) const RESULT_BYTES_MAX: u64 = 64 << 20;
