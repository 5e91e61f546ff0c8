//! What the preprocessor would read for one translation unit, without running it.
//!
//! [`scan()`] walks the directives of the sources as GCC and Clang do: conditionals are really evaluated, macros really
//! expanded, headers searched in the order of the compiler's own search path. It is exact or it says [`Unsure`] with the
//! reason; it never guesses. Each file is parsed once into a [`Source`], which all scans share. Nothing here does I/O:
//! files come through a [`SourceView`], what the compiler knows comes as [`Macros`], [`Dialect`] and [`Answers`].
//!
//! Read `unit.rs` and `closure.rs` first (question and answer), then `parse.rs` (from bytes to directives), then `scan.rs`
//! (the walk), `expand.rs` and `expression.rs` (macros and conditions), `include.rs` (how headers are found).

mod answers;
mod assembly;
mod characters;
mod clean;
mod closure;
mod condition;
mod definition;
mod definitions;
mod directive;
mod expand;
mod expression;
mod hash;
mod include;
mod limits;
mod macros;
mod number;
mod parse;
mod pragma;
mod pragma_options;
mod quick;
mod scan;
mod source;
mod substitute;
mod text;
mod token;
mod unit;
mod unknown;
mod view;

pub use answers::{Answers, Question};
pub use closure::{Closure, Missed, Position, Unsure};
pub use hash::hash_bytes;
pub use macros::Macros;
pub use scan::scan;
pub use source::{Source, Traits};
pub use unit::{CommandLineMacro, Dialect, Directories, Family, Language, SearchPath, Unit};
pub use view::{File, Identity, Lookup, SourceView, Unreadable};
