//! Execution through a real gRPC server: clients on one side, scripted workers on the other.
//!
//! Tests are named after the checklist items of `docs/reapi.md` they show.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(unreachable_pub, reason = "a test program has no outside")]

mod cancellation;
mod execute;
mod holds;
mod live_output;
mod merging;
mod operations;
mod refusals;
mod restarts;
mod support;
mod waiting;
mod workers;
