//! Errors that trying again will not mend: the program was told something it cannot work with.

use std::fmt;
use std::process::ExitCode;

/// The exit code of a program that cannot work with its options, as the parser of the command line has it too.
pub(crate) const EXIT_BAD_OPTIONS: u8 = 2;

/// An error of the options: the program ends with [`EXIT_BAD_OPTIONS`], and whoever started it should not do so again
/// with the same ones.
#[derive(Debug)]
pub(crate) struct BadOptions(anyhow::Error);

impl BadOptions {
    /// Marks an error as one of the options.
    pub(crate) fn mark(error: impl Into<anyhow::Error>) -> anyhow::Error {
        BadOptions(error.into()).into()
    }

    /// Marks what is said as an error of the options.
    pub(crate) fn message(text: impl Into<String>) -> anyhow::Error {
        BadOptions(anyhow::Error::msg(text.into())).into()
    }
}

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With every cause: this is the end of the chain for whoever prints it.
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for BadOptions {}

/// What the program ends with after this error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.is::<BadOptions>() {
        true => ExitCode::from(EXIT_BAD_OPTIONS),
        false => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_mark_outlives_context_and_tells_every_cause_once() {
        let cause = anyhow::anyhow!("too many").context("--slots");
        let error = Err::<(), _>(BadOptions::mark(cause))
            .context("cannot work")
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot work: --slots: too many");
        assert_eq!(exit_code(&error), ExitCode::from(2));
        assert_eq!(exit_code(&anyhow::anyhow!("no route")), ExitCode::FAILURE);
    }
}
