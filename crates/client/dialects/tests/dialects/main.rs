//! The programs, called as a build calls them.

mod recc;
mod rewrapper;
mod support;
