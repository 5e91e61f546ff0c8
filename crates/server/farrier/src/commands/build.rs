//! What builds need: `farrier run`, the daemon behind it, and what both can tell.
//!
//! Read `run.rs` first, then `daemon.rs`. `ask.rs` is how a command speaks to the daemon, `state.rs` where things lie.

mod absorb;
mod ask;
mod background;
mod daemon;
mod own_server;
mod proxy;
mod report;
mod reproducible;
mod reproxy;
mod run;
mod scandeps;
mod state;
mod stats;
mod summary;
mod token;
mod tools;
mod trace;
mod why;

pub(crate) use daemon::{DaemonCommand, daemon};
pub(crate) use report::{ReportOptions, StepsOptions, status, steps};
pub(crate) use run::{RunOptions, run};
pub(crate) use stats::stats;
pub(crate) use trace::{TraceOptions, trace};
pub(crate) use why::{WhyOptions, why};
