//! The flags of reclient's programs: one reader for all of them, and a table for each.
//!
//! A flag is taken from the command line, else from the environment (`RBE_name`, then `FLAG_name`), else from the file that
//! `-cfg` names, else it has its default. One file serves all programs, so names that a program does not know are skipped
//! in it; on a command line they are an error.
//!
//! Read `reader.rs` first; `value.rs` has the kinds of values, `tables/` the flags.

mod config_file;
mod reader;
mod table;
mod value;

pub mod tables;

pub use reader::{FlagError, Flags, Parsed, Surroundings, read};
pub use table::{Effect, Flag, usage};
pub use value::Kind;
