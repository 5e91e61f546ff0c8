//! The flags of each program, in the words of their own documentation's tables: names and defaults are reclient's.

mod bootstrap;
mod connection;
mod logging;
mod reproxy;
mod rewrapper;
mod tools;

pub use bootstrap::BOOTSTRAP;
pub use connection::CONNECTION;
pub use logging::LOGGING;
pub use reproxy::REPROXY;
pub use rewrapper::REWRAPPER;
pub use tools::{DUMPSTATS, REPROXYSTATUS, REPROXYTOOL, SCANDEPS_SERVER};

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;
