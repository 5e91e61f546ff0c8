//! The programs, called as a build calls them.

mod bootstrap;
mod recc;
mod rewrapper;
mod support;
