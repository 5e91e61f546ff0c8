//! farrier: Remote Build Execution in one program. Every role and every command starts here.

mod bad_options;
mod banner;
mod byte_size;
mod cli;
mod commands;
mod data_directory;
mod durations;
mod local_storage;
mod private_file;
mod server_trust;
mod slots;
mod token_file;
mod wire;
mod worker_token;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The runner comes before everything else: it must stay small and single-threaded, because it forks.
    let mut arguments = std::env::args_os();
    if arguments
        .next()
        .is_some_and(|name| stands_for_tool(Path::new(&name)))
    {
        return wrapper::main(std::env::args_os().collect());
    }
    if arguments.next().as_deref() == Some(OsStr::new("runner")) {
        return runner::main("farrier runner", arguments);
    }
    // While there is one thread.
    lazy_root::keep_large_buffers_apart();
    cli::run()
}

/// Whether this is a name that `farrier run --observe` was given.
fn is_observed(tool: &str) -> bool {
    let names = std::env::var("FARRIER_OBSERVE").unwrap_or_default();
    names.split(',').any(|name| name.trim() == tool)
}

/// Whether this program was called as a link named as a tool: it stands in for it, where `farrier-cc` is not at hand.
fn stands_for_tool(called: &Path) -> bool {
    let Some(name) = called.file_name().and_then(OsStr::to_str) else {
        return false;
    };
    let tool = name.strip_prefix("farrier-").unwrap_or(name);
    name == wrapper::WRAPPER_NAME || compiler::is_tool_name(tool).is_some() || is_observed(tool)
}
