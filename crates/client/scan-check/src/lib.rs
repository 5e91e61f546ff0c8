//! The include scanner against the compilers' own `-M`: what a compiler reads and the scanner does not name is a failure,
//! what the scanner names in addition has to have a reason, and what it is unsure about is counted by reason.
//!
//! Only for tests: it understands the commands of real builds well enough to scan them, and refuses the rest. The parser
//! that the client itself uses is another one.

pub mod asked;
pub mod command;
pub mod depfile;
pub mod records;
pub mod scanning;
