//! Bounds of a scan: past one of them the answer is "unsure", never a guess.

/// Files open at the same time, one including the next: what GCC and Clang allow (`-fmax-include-depth=200`).
pub(crate) const DEPTH_MAX: usize = 200;
/// Directives one scan walks. The largest translation units of Linux and of Boost need less than two million.
pub(crate) const STEPS_MAX: u64 = 50_000_000;
/// Files one scan opens, counting every time a file without guard is opened again.
pub(crate) const OPENED_MAX: usize = 1_000_000;
/// Tokens that the expansion of one directive may pass: Boost.Preprocessor needs some hundred thousand.
pub(crate) const TOKENS_MAX: usize = 4_000_000;
/// Bytes of tokens that one scan may paste and stringify.
pub(crate) const SCRATCH_BYTES_MAX: usize = 64 << 20;
/// Nesting of arguments within arguments while they are expanded, and of macros within macros.
pub(crate) const EXPANSION_DEPTH_MAX: usize = 200;
/// Nesting of parentheses and operators in one `#if`.
pub(crate) const EXPRESSION_DEPTH_MAX: usize = 200;
/// Nesting of `#if` in one file; compilers have none, this one keeps the parser's stack small.
pub(crate) const CONDITIONALS_MAX: usize = 10_000;
/// Bytes of one file that is parsed. Offsets are 32 bits wide.
pub(crate) const SOURCE_BYTES_MAX: usize = 1 << 30;
/// Saved definitions of `#pragma push_macro`.
pub(crate) const PUSHED_MACROS_MAX: usize = 100_000;
/// Questions about the compiler that one scan collects before it stops.
pub(crate) const QUESTIONS_MAX: usize = 10_000;
