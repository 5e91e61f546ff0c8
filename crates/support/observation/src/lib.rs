//! What a command did with files, told by whoever watched it, and what follows for its inputs and outputs.
//!
//! The runner watches (`farrier-runner observe`) and writes [`Event`]s; the client's daemon reads them and makes [`Deeds`]
//! of them: what the command's result rests on, and what it made. std only, because the runner is.
//!
//! Read `event.rs`, then `deeds.rs`.

mod deeds;
mod event;

pub use deeds::{Deeds, Unkept};
pub use event::{At, EVENTS_BYTES_MAX, Event, decode, encode, kind_and_name, name_of};
