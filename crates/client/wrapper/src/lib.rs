//! What stands in for a compiler: hands the command to the daemon and does what it says.
//!
//! A build starts it thousands of times, so it links std and nothing else, and does nothing before it has asked. When there
//! is no daemon, or it does not answer, or does not know the command, the real tool is executed in its place, silently:
//! a build never fails because of the wrapper.
//!
//! Read `converse.rs` first, then `called_as.rs` (which command was meant) and `job_server.rs` (who waits gives his place
//! to somebody else).

mod called_as;
mod converse;
mod in_process;
mod input;
mod job_server;
mod real_tool;
mod run_here;

use std::ffi::OsString;
use std::process::ExitCode;

pub use called_as::WRAPPER_NAME;
pub use converse::{Broken, Conversation, Outcome, request};
pub use in_process::InProcess;
pub use real_tool::{execute, find};
pub use run_here::end_of;

/// Names the directory of links to the wrapper, which the real tools must not find in their `PATH`.
pub const TOOLS_VARIABLE: &str = "FARRIER_TOOLS";
/// Set to anything, it makes the wrapper a mere `exec` of the real tool.
pub const OFF_VARIABLE: &str = "FARRIER_OFF";

/// Everything that the wrapper does.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    let Some(arguments) = called_as::command(argv, &real_tool::exists) else {
        eprintln!("usage: {WRAPPER_NAME} COMPILER ARGUMENTS…, or as a link named as the compiler");
        return ExitCode::from(2);
    };
    converse::converse(arguments)
}
