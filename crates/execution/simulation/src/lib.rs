//! A farm in a process: the real scheduler among workers, clients and networks that fail, all made of one seed.
//!
//! Time is a number, and what happens is planned on an agenda (`agenda.rs`). The server is the scheduler with a journal: a
//! crash takes what was not yet recorded, and whoever was not told knows nothing of it. Workers follow the rules of the
//! worker protocol: they say all they hold, and give up what runs when the server has been silent for a lease. An
//! observer (`observer.rs`) reads the journal as it is written and holds the scheduler to its invariants.

mod agenda;
mod job;
mod observer;
mod random;
pub mod replay;
mod server;
mod worker;
mod world;

pub use world::{Outcome, run};
