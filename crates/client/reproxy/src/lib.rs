//! In reproxy's place: its gRPC services, and the programs that start, watch and end it.
//!
//! The daemon implements [`in_place::Sessions`] (or all of [`service::Daemon`]) and is served by [`serving::serve`]; siso,
//! reclient's own rewrapper and `bootstrap` then find what they expect. Read `service.rs` first, then `wire.rs` (what
//! travels), `relay.rs` (how it gets to the daemon) and `ledger.rs` (what is remembered of commands).

pub mod auxiliary;
pub mod client;
pub mod in_place;
pub mod ledger;
pub mod outcome;
pub mod programs;
pub mod relay;
pub mod scandeps;
pub mod service;
pub mod serving;
pub mod wire;
