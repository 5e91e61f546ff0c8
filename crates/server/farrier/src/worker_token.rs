//! The secret that workers show, as an option.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::bad_options::BadOptions;

/// Itself, or where it is.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerToken {
    /// The token that `farrier up` prints.
    #[arg(
        long,
        env = "FARRIER_WORKER_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// A file that holds the token: on the server, `worker-token` in its data directory.
    #[arg(long, conflicts_with = "token", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl WorkerToken {
    /// Where it is, if it is in a file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// The token.
    pub(crate) fn read(&self) -> Result<String> {
        if let Some(path) = &self.token_file {
            let token = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))
                .map_err(BadOptions::mark)?;
            return Ok(token.trim().to_owned());
        }
        self.token
            .clone()
            .ok_or_else(|| BadOptions::message("--token is missing; paste the line that `farrier up` prints"))
    }
}
