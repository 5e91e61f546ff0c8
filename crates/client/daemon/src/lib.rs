//! The client's daemon: turns each command of a build into an action, and has it answered from the cache, by a worker, or
//! by this machine.
//!
//! One for each user, across builds. It trusts nothing that it remembers without looking; whatever it does not understand
//! runs as if it were not there, and no build fails because of it.
//!
//! Read `journey.rs` first: one command from beginning to end. `plan.rs` says what a command is as an action,
//! `attempt/` how it may be answered, `service.rs` what happens when the server does not. `limits.rs` has every bound.

mod attempt;
mod breaker;
mod colours;
mod counts;
mod course;
mod daemon;
mod door;
mod earlier;
mod failures;
mod filled;
mod journey;
mod limits;
mod link;
mod local_cache;
mod manner;
mod moves;
mod not_executed;
mod outages;
mod outputs;
mod patience;
mod plan;
mod rules;
mod service;
mod slots;
mod token;
mod tool;
mod uploads;
mod usual;
mod view;
mod volume;
mod wanted;

pub use attempt::observed::Observer;
pub use course::{Phase, Span};
pub use daemon::{Daemon, DaemonOptions, Finished, Witness};
pub use door::{Door, DoorError, open_door};
pub use local_cache::{Kept, LocalCacheOptions};
pub use not_executed::NotExecuted;
pub use plan::{Dependencies, Found};
pub use rules::Rules;
pub use service::ServiceOptions;
pub use settings::Strategy;
pub use token::TokenSource;
pub use volume::{Inputs, Volume};
