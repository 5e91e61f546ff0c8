//! A command as reproxy's service takes it, from and to what our daemon takes.
//!
//! What a message says and we cannot do is refused by name, not left out: a command that runs without something that was
//! asked for has another result.

mod from_proto;
mod to_proto;

pub use from_proto::{Refused, request};
pub(crate) use to_proto::command;
pub use to_proto::run_request;

#[cfg(test)]
mod tests;
