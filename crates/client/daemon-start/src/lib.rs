//! How front ends start the client's daemon: found beside them, detached from what they were called in, and waited for
//! until it listens.
//!
//! A build calls a front end many times at once. Of those that find no daemon one starts it, by [`claim`]; the others wait
//! for it as well. std only, because it is on the path of the first command of a build.

mod claim;
mod spawn;

pub use claim::{Claim, claim};
pub use spawn::{NotStarted, Start, find_program, spawn, wait_for};
