//! A real runner process runs real commands: as root, and as an ordinary user.
//!
//! Run as root these tests try both ways; run as an ordinary user, only the one there is.
#![allow(
    clippy::unwrap_used,
    reason = "this is all tests; the lint's own exception only sees the marked functions"
)]

mod clock;
mod confinement;
mod conversation;
mod fallback;
mod floods;
mod host;
mod killed;
mod lifecycle;
mod limits;
mod neighbours;
mod network;
mod neutral;
mod observing;
mod outcomes;
mod overlays;
mod places;
mod reading;
mod roots;
mod spares;
mod speed;
mod system_calls;
mod tracing;
mod undead;
mod writing;
