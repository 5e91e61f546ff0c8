//! The programs around reproxy. None is on the path of a command, so they may start a runtime.

mod bootstrap;
mod credentials;
mod daemon_options;
mod dumpstats;
mod flag_words;
mod foreign;
mod metrics;
mod process;
mod reproxy;
mod runtime;
mod scandeps_server;
mod sockets;
mod status;
mod tool;

pub use bootstrap::main as bootstrap;
pub use daemon_options::daemon_options;
pub use dumpstats::main as dumpstats;
pub use foreign::run as foreign;
pub use reproxy::main as reproxy;
pub use scandeps_server::main as scandeps_server;
pub use status::main as reproxystatus;
pub use tool::main as reproxytool;

/// What wrong calls, and everything that is not said otherwise, end with.
pub(crate) const EXIT_WRONG: u8 = 1;
