//! Every bound of this crate.

/// How many hexadecimal digits a fingerprint has: 64 bits. It keeps apart the few machines of one farm, none of which
/// means to deceive.
pub const FINGERPRINT_DIGITS: usize = 16;

/// The largest package data base that is read, bytes. Large installations have 10 MiB (dpkg) to 300 MiB (rpm).
pub const DATABASE_BYTES_MAX: u64 = 2 << 30;

/// The largest file that is kept in memory whole: dpkg's list of packages, and small texts about the system.
pub const TEXT_BYTES_MAX: u64 = 256 << 20;

/// The most choices among alternatives; systems have hundreds.
pub const ALTERNATIVES_MAX: usize = 100_000;

/// How often what has changed while it was read is read again before that is an error.
pub const READS_MAX: usize = 3;
