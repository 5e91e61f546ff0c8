//! What people type: `run`, `exec`, `cas`, `action`, `workers`, `queue`.
//!
//! A command is a journey over a [`Server`](remote_action::Server): `exec.rs` reads from top to bottom, the files beside
//! it are its steps. What is written to disk is written by `destination.rs`, what is printed goes through
//! `output.rs`.

pub(crate) mod action;
pub(crate) mod build;
pub(crate) mod cas;
mod connection;
mod destination;
mod digest_argument;
pub(crate) mod exec;
pub(crate) mod farm;
pub(crate) mod image;
mod local_files;
mod output;
mod shell;
#[cfg(test)]
mod test_server;
mod timings;
mod trees;
