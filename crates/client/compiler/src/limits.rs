//! Every bound of this crate.

/// More arguments than this, with response files expanded, are not ours: a link of Chromium has some 30 000.
pub const ARGUMENTS_MAX: usize = 200_000;
/// A longer single argument is not ours; Linux itself refuses 128 KiB, response files could hold more.
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024;
/// A longer response file is not ours.
pub const RESPONSE_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Response files within response files: gcc itself gives up at 2000 files, nobody nests more than two.
pub const RESPONSE_DEPTH_MAX: usize = 10;
/// Response files of one command in total.
pub(crate) const RESPONSE_FILES_MAX: usize = 1000;
