//! The programs, called as a build calls them.

#![allow(clippy::unwrap_used, reason = "tests: a failure is one")]

mod bootstrap;
mod recc;
mod rewrapper;
mod support;
