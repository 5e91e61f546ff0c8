//! The dialect of recc: its variables and files, its program.
//!
//! recc is one process for each command, and knows nothing of the one before. Here the same words lead to the daemon, which
//! is started if it is not there. What is in doubt is run here, as recc does: a build never fails because of it.
//!
//! Read `run.rs` first; `variables.rs` has every variable, `plan.rs` what they come to.

mod called_as;
mod config_file;
mod environment;
mod paths;
mod plan;
mod run;
mod said;
mod server;
mod variables;

pub use called_as::{is_recc_name, words};
pub use plan::{NoPlan, Plan, Surroundings, plan};
pub use run::main;
pub use said::{Said, read};
pub use server::{Server, daemon_arguments};
pub use variables::{Effect, Kind, VARIABLES, Variable};
