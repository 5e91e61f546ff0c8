//! Spawns and confines one command; a separate, small process.
//!
//! The worker never forks: it asks this process over a Unix socket (`runner-api`). The runner is single-threaded, has
//! little memory, and depends on nothing but the kernel, so a fork of it is cheap and an attacker who breaks out of a
//! command meets very little code.
//!
//! ```text
//! runner ── accepts; one supervisor per connection; reaps             serve.rs, spares.rs
//!   supervisor ── reads the request, copies logs, watches the         supervise.rs, run.rs
//!     │           clock and the client, kills, answers; bounds and counts   cgroup.rs
//!     init ── pid 1 of the command's world: builds it, drops          spawn.rs, init.rs, namespaces.rs,
//!       │     every right, starts the command, reaps, reports         mounts.rs, masks.rs, overlay.rs, id_map.rs,
//!       │                                                             privileges.rs, system_calls.rs
//!       command                                                       program.rs; one that does not die: undead.rs
//! ```
//!
//! Building a world takes longer than a short command, so a few supervisors are forked, each with an init that has
//! built all of its world that does not depend on a request, before one comes (`spares.rs`, `ready_world.rs`). What they
//! cannot serve is built afresh, so they change when things are done and nothing else.
//!
//! Each dies with the one above it, so a killed runner leaves no process of any command. (Without a pid namespace that
//! holds for what has not detached itself; an orderly end, and a supervisor's, still finds those too.)
//!
//! What it never does: read or write files of an action (the worker stages inputs and collects outputs), speak to the
//! network, keep anything on disk, or run a command with less confinement than it reports in its capabilities.
//!
//! # Two ways to be
//!
//! As root (*privileged*), commands run as an id of their own on the host ([`ACTION_ID`] unless told otherwise), so
//! inputs that belong to root cannot be changed by them even through a shared inode. As anybody else (*rootless*),
//! commands run as the runner's own id inside a user namespace. Inside they are uid 1000 either way. What the kernel
//! does not give is found by `probe.rs` at start and reported; [`Sandbox::Require`] then refuses to serve.
//!
//! # Observing
//!
//! `farrier-runner observe` is something else: a command of this machine's own user, not confined, of which is written down
//! what it does with files (`observe.rs`). It is here because it takes the same system calls.
//!
//! Read `serve.rs` first, then `supervise.rs`, then `init.rs`.

mod args;
mod cgroup;
mod channel;
mod clock;
mod confinement;
mod descendants;
mod descriptors;
mod id_map;
mod init;
mod landlock;
mod lending;
mod limits;
mod log_file;
mod masks;
mod mount_table;
mod mounts;
mod namespaces;
mod observe;
mod options;
mod overlay;
mod privileges;
mod probe;
mod program;
mod ready_world;
mod run;
mod rusage;
mod serve;
mod setup_error;
mod spares;
mod spawn;
mod supervise;
mod sys;
mod system_calls;
mod undead;

use std::ffi::OsString;
use std::process::ExitCode;

pub use args::{USAGE, UsageError, parse_args};
pub use limits::{ACTION_ID, DEATH_TIMEOUT, RUNS_MAX};
pub use mounts::HOST_PATHS;
pub use observe::{OBSERVE_USAGE, ObserveOptions, observe};
pub use options::{RunnerOptions, Sandbox};
pub use serve::serve;

/// Exit code for a command line that is not understood.
const EXIT_USAGE: u8 = 2;

/// The runner as a program, called `name`: serves, or with `observe` as its first argument watches one command.
pub fn main(name: &str, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|word| word == "observe").is_some() {
        let Some(options) = ObserveOptions::parse(arguments) else {
            eprint!("{name}: {OBSERVE_USAGE}");
            return ExitCode::from(EXIT_USAGE);
        };
        return observe(&options);
    }
    let options = match parse_args(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprint!("{name}: {error}\n\n{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
