//! What was found out about the steps of builds, kept for as long as everything that it rests on stays as it is.
//!
//! Whoever has found something out by looking at files says which ones ([`Grounds`]): those that were read, those that
//! were looked for in vain, directories that were told apart. [`Memory::recall`] looks at each of them again, by `stat`
//! where nothing has changed, and gives the finding only if all of it holds. So nothing is ever believed because it was
//! true a moment ago; looking is only a hundred times cheaper than finding out.
//!
//! A file counts by its contents: one that was touched, or changed and changed back, is the same. Several findings for
//! one key are kept, so that going back to an earlier state of the sources finds what was known then.
//!
//! Read `grounds.rs` first, then `absent.rs` and `check.rs` (when grounds hold), `memory.rs` and `log.rs` (what outlives the process).

mod absent;
mod check;
mod grounds;
mod limits;
mod log;
mod memory;
mod strings;

pub use grounds::Grounds;
pub use memory::{Forgotten, Key, Memory};
