//! What a front end can ask of the daemon for one command, in names that belong to no dialect.
//!
//! `rewrapper` has flags, `recc` has variables, `farrier run` has options; each turns its own into [`Settings`], and the
//! daemon reads nothing else. They travel as the pairs of `daemon_api::Request::settings`. One field per meaning: where
//! two dialects have two words for one thing, they meet here.
//!
//! A field that is unset leaves the daemon its own choice. A name that is not known is an error and never dropped: a
//! daemon that is older than its front end must not do something else than what was asked.
//!
//! Read `fields.rs` first: it is the list. `value.rs` has how each kind of value is written.

mod choices;
mod fields;
mod value;
mod virtual_input;

pub use choices::{Dialect, Kind, Strategy};
pub use fields::{Settings, SettingsError};
pub use virtual_input::VirtualInput;
