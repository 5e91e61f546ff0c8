//! The two calls between a worker and the runner that spawns its commands.
//!
//! A worker is large, threaded and full of caches; forking it would be slow and would hand its memory and descriptors
//! to strangers' commands. So the *runner* is a separate, small process that does nothing but spawn, confine, watch and
//! kill. This crate is what both sides share:
//!
//! - [`RunRequest`] and [`RunResponse`]: one command, and what became of it; the client may talk to it meanwhile;
//! - [`Capabilities`]: which confinement the runner's kernel lets it have, asked once with `Hello`;
//! - the frames that carry them over a Unix socket: [`Request`], [`Reply`];
//! - with the feature `client`: the port `Runner` and `UnixRunner`, which speaks to a runner's socket.
//!
//! One connection carries one request and one reply. Closing it early cancels: the runner kills every process of the
//! command. Between the two the client may say that the command's time stands still, because it waits for something that
//! is not its own to bring, and that it goes on. Where some processes do not die, the reply says so, and the end of the
//! connection that they have. Without the feature `client` the crate needs nothing but std, so the runner stays small.
//!
//! What it never does: start, confine or touch anything. Read `run.rs` first.
//!
//! # Who owns the files of a build directory
//!
//! Commands run as [`Capabilities::action_uid`] and [`Capabilities::action_gid`], which are ids *of the host*. The
//! worker makes every directory of the build directory writable for that id (`chown`, or nothing when the runner is
//! [`UidMode::Rootless`] and the id is the worker's own). When [`Capabilities::hardlinks_safe`] is true, input files
//! may be hard links into a shared cache as long as they belong to somebody else (root) and are not writable for
//! others: no command can then write them or change their mode. When it is false, the command's user owns the files it
//! can see, so inputs must be copies. A tree beneath a build directory or of an image ([`Base`]) is made in the same way;
//! overlayfs keeps it as it is whoever owns it.

mod capabilities;
mod codec;
mod frame;
mod input_root_place;
#[cfg(feature = "client")]
mod remains;
mod run;
#[cfg(feature = "client")]
mod runner;
#[cfg(feature = "client")]
mod unix_runner;

pub use capabilities::{Availability, Capabilities, Mechanism, UidMode};
pub use frame::{
    CLOCK_GOES, CLOCK_STANDS_STILL, CONVERSATION_DESCRIPTORS, FRAME_BYTES_MAX, FrameError, Refusal, Reply,
    Request, read_frame, write_frame,
};
pub use input_root_place::{InputRootPlace, PLACE_BYTES_MAX, PLACE_DEPTH_MAX, PlaceError};
#[cfg(feature = "client")]
pub use remains::Remains;
pub use run::{
    BUILD_PATH, Base, CLOCK_STOPPED_MAX, DEFAULT_PATH, DEFAULT_USER, Image, InvalidRequest,
    LOG_MARKER_BYTES_MAX, MOUNT_POINTS, Outcome, ResourceUsage, Root, RunRequest, RunResponse, User,
    log_marker,
};
#[cfg(feature = "client")]
pub use runner::{Conversation, RunError, Runner};
#[cfg(feature = "client")]
pub use unix_runner::UnixRunner;
