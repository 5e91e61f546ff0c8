//! `rewrapper`: one command for the daemon.
//!
//! Unlike reclient's it passes on standard input, shows what a command prints when it prints it, and tells how the command
//! ended when it ran without the daemon, too.
//!
//! Read `run.rs` first; `ask.rs` turns flags into what the daemon is asked.

mod ask;
mod lists;
mod run;
mod virtual_inputs;

pub use ask::{Ask, NoAsk, ask};
pub use lists::with_lists;
pub use run::{Foreign, main};
