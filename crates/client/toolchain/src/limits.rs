//! Bounds of what is taken from a compiler.

use std::time::Duration;

/// Bytes of one answer: Clang's `-dM -v` has some 30 KB.
pub const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// How long a compiler may take to answer.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Questions put to a compiler in one run.
pub(crate) const QUESTIONS_MAX: usize = 10_000;
/// Files one toolchain is made of: programs and shared libraries.
pub(crate) const PARTS_MAX: usize = 500;
/// Bytes of one part.
pub(crate) const PART_BYTES_MAX: u64 = 4 << 30;
/// Bytes of an ELF file's tables that are read.
pub(crate) const ELF_TABLE_BYTES_MAX: u64 = 16 << 20;
/// Libraries one ELF file may name.
pub(crate) const ELF_NEEDED_MAX: usize = 1000;
