//! PORT 5: what a runner must do.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{FrameError, InvalidRequest, Remains, RunRequest, RunResponse};

/// Runs one command to its end.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Returns when every process of the command is dead. A non-zero exit, a signal and a timeout are answers, not
    /// errors.
    ///
    /// When `cancel` fires, the command is killed and [`RunError::Cancelled`] returned once it is dead, so that its
    /// build directory can be removed at once. Dropping the future kills it too, but then nobody knows when.
    async fn run(&self, request: RunRequest, cancel: &CancellationToken) -> Result<RunResponse, RunError>;

    /// The same for a command that waits now and then for what the client brings: while `stands_still` is true its time
    /// does not run, for [`CLOCK_STOPPED_MAX`](crate::CLOCK_STOPPED_MAX) at most.
    async fn run_by_clock(
        &self,
        request: RunRequest,
        stands_still: watch::Receiver<bool>,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError>;

    /// The same for a command whose standard input and output are `conversation`. What it says there is bounded and kept
    /// by whoever holds the other ends.
    async fn converse(
        &self,
        request: RunRequest,
        conversation: Conversation,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError>;
}

/// A command's ends of two pipes.
#[derive(Debug)]
pub struct Conversation {
    /// What it reads as its standard input.
    pub stdin: OwnedFd,
    /// What it writes as its standard output.
    pub stdout: OwnedFd,
}

/// Why a command's end is not known. None of these is the command's fault but [`Invalid`](RunError::Invalid).
#[derive(Debug, Error)]
pub enum RunError {
    /// `cancel` fired; every process of the command is dead.
    #[error("the run was cancelled")]
    Cancelled,
    /// The request cannot be run by any runner.
    #[error("the command cannot be run: {0}")]
    Invalid(#[from] InvalidRequest),
    /// It was killed, because it was done or had to be, and some of it does not die. Whoever ran it must not take its place
    /// for free before the remains are gone.
    #[error("{message}")]
    Undead {
        /// What was waited for, and for how long.
        message: String,
        /// To wait for.
        remains: Remains,
    },
    /// Nobody listens at the runner's socket.
    #[error("cannot reach the runner at {}: {source}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The runner runs as many commands as it takes; trying again later helps.
    #[error("the runner is busy: {message}")]
    Busy {
        /// The runner's words.
        message: String,
    },
    /// The runner would not run the command.
    #[error("the runner refused: {message}")]
    Refused {
        /// The runner's words.
        message: String,
    },
    /// The connection ended before the answer: the runner died, and with it the command.
    #[error("lost the runner at {} before it answered: {source}", socket.display())]
    Lost {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The request is too long for a frame, or the runner sent something else than an answer.
    #[error("the worker and its runner do not understand each other: {0}")]
    Frame(#[from] FrameError),
}
