//! Command lines of build tools: arguments, a working directory and a few environment variables in; what the step reads
//! and what it writes out.
//!
//! Pure: no file is opened (response files come through [`ResponseFiles`]), no clock, no process. What a tool is asked
//! to do is read from tables, one row an option; what no table and no safe general rule knows is [`NotOurs`], and the
//! caller then runs the real tool as if we did not exist. A guess would be a stale result one day.
//!
//! Read `invocation.rs` first (the question), then `step.rs` (the answer), then `driver.rs` with `driver/table.rs` (how
//! gcc and clang are read). Every other tool has a file of its own with a table of its own.

mod absolute;
mod archiver;
mod assembler;
mod caution;
mod clang_tools;
mod dexer;
mod driver;
mod environment;
mod invocation;
mod javac;
mod language;
pub mod library_search;
mod limits;
mod linker;
pub mod linker_script;
mod metalava;
mod nm;
mod not_ours;
mod objcopy;
mod option;
mod response;
mod rustc;
mod step;
pub mod thin_archive;
mod tool;
mod typescript;

pub use caution::Caution;
pub use environment::environment_names;
pub use invocation::{Invocation, NoResponseFiles, Parsed, ResponseFiles, parse};
pub use language::Language;
pub use limits::{ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, RESPONSE_DEPTH_MAX, RESPONSE_FILE_BYTES_MAX};
pub use not_ours::NotOurs;
pub use step::{
    DirectoryKind, Forced, Included, Kind, LinkItem, LinkLine, Macro, Output, Preprocessing, Processors,
    SearchDirectory, Shape, Step,
};
pub use tool::{Tool, is_tool_name, plain_tool_names};
