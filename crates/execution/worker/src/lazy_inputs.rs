//! Inputs that are fetched when a command opens them, and what it opened.
//!
//! An action that asks for it (or every one, if the operator wants that) gets its input root from a `lazy_root` instead of
//! links: nothing is fetched for what is not read. Read `policy.rs` (who gets one), `contents.rs` (where its files come
//! from), `memory.rs` (what is fetched ahead); the mounts are in `build_directory/lazy.rs`, the journey in
//! `executor/lazily.rs`.

mod contents;
mod memory;
mod message;
mod policy;

use std::path::Path;

use tasks::{CancellationToken, Group};

use crate::file_cache::FileId;

pub(crate) use contents::{FromCache, LazyError};
pub(crate) use memory::ReadBefore;
pub(crate) use message::{leave_out_observed, message, unobserved};
pub(crate) use policy::{Laziness, Observe};
pub use policy::{LazyInputs, LazyOptions};

/// What a worker needs to make lazy input roots.
pub(crate) struct LazyParts {
    pub(crate) options: LazyOptions,
    /// Why this machine cannot, if so.
    pub(crate) possible: Result<(), String>,
    pub(crate) read_before: ReadBefore,
    /// What fetches run in.
    pub(crate) group: Group,
}

impl LazyParts {
    /// Tries out what the options need, below the worker's own directory. An error is for the operator, who asked for what
    /// cannot be had. Blocking; on a runtime.
    pub(crate) fn open(options: LazyOptions, directory: &Path, group: &Group) -> Result<Self, String> {
        let possible = match options.when {
            LazyInputs::Never => Err("this worker lays its inputs out (--lazy-inputs never)".to_owned()),
            LazyInputs::OnRequest | LazyInputs::Always => lazy_root::probe(&directory.join(PROBE), group),
        };
        match (options.when, &possible) {
            (LazyInputs::Always, Err(why)) => return Err(why.clone()),
            (LazyInputs::OnRequest, Err(why)) => {
                tracing::warn!(reason = %why, "inputs are laid out also for actions that would have them lazily");
            }
            _ => {}
        }
        Ok(LazyParts {
            options,
            possible,
            read_before: ReadBefore::default(),
            group: group.clone(),
        })
    }

    /// For workers that are tested without.
    #[cfg(test)]
    pub(crate) fn none(group: &Group) -> Self {
        LazyParts {
            options: LazyOptions::default(),
            possible: Err("not in this test".to_owned()),
            read_before: ReadBefore::default(),
            group: group.clone(),
        }
    }

    /// Fetches `files` while the command goes on, until `stop`. What fails is fetched again, and told of, when the command
    /// opens it.
    pub(crate) fn fetch_ahead(&self, contents: &FromCache, files: Vec<FileId>, stop: CancellationToken) {
        let contents = contents.clone();
        self.group.spawn("input prefetch", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                ahead = contents.hold(&files) => match ahead {
                    Ok(_held) => tracing::debug!(files = files.len(), "fetched ahead"),
                    Err(error) => tracing::debug!(%error, "not fetched ahead"),
                },
            }
        });
    }
}

/// Below a worker's directory, while it starts.
const PROBE: &str = "probe";

#[cfg(test)]
mod tests {
    use super::*;

    /// On a machine where nothing can be mounted below `directory`.
    fn check(when: LazyInputs, expected: Result<bool, ()>) {
        let scratch = tempfile::tempdir().unwrap();
        let no_directory = scratch.path().join("file");
        std::fs::write(&no_directory, "").unwrap();
        let options = LazyOptions { when, observe: false };
        let opened = LazyParts::open(options, &no_directory, &Group::new("test"));
        let possible = opened.map(|parts| parts.possible.is_ok()).map_err(|why| {
            assert!(!why.is_empty());
        });
        assert_eq!(possible, expected, "{when:?}");
    }

    #[tokio::test]
    async fn who_wants_it_for_every_action_is_told_that_it_cannot_be() {
        check(LazyInputs::Always, Err(()));
        check(LazyInputs::OnRequest, Ok(false));
        check(LazyInputs::Never, Ok(false));
    }
}
