//! What is said of a command that could only have run elsewhere and did not, in the words of whoever asked.

use std::fmt;
use std::time::Duration;

use settings::Dialect;

/// Why nobody has run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotExecuted {
    /// It ran for longer than `exec_timeout`.
    ExecTimeout,
    /// Everything about it together took longer than `reclient_timeout`.
    RemoteTimeout(Duration),
    /// The server or its workers could not, for this reason.
    Remote(String),
}

/// What `farrier exec` answers when a command could not be executed.
const EXIT_NOT_EXECUTED: i32 = 125;
/// recc's own.
const EXIT_RECC: i32 = 102;

impl fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotExecuted::ExecTimeout => f.write_str("exec_timeout is over"),
            NotExecuted::RemoteTimeout(limit) => write!(f, "reclient_timeout ({limit:?}) is over"),
            NotExecuted::Remote(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NotExecuted {}

impl NotExecuted {
    /// Out of whatever went wrong on the way.
    pub(crate) fn of(error: anyhow::Error) -> Self {
        let why = format!("{error:#}");
        error.downcast().unwrap_or(NotExecuted::Remote(why))
    }

    /// What the wrapper ends with.
    pub(crate) fn exit_code(&self, dialect: Dialect) -> i32 {
        match (dialect, self) {
            (Dialect::Farrier, _) => EXIT_NOT_EXECUTED,
            (Dialect::Recc, _) => EXIT_RECC,
            (Dialect::Reclient, NotExecuted::ExecTimeout) => 142,
            (Dialect::Reclient, NotExecuted::RemoteTimeout(_)) => 59,
            (Dialect::Reclient, NotExecuted::Remote(_)) => 45,
        }
    }

    /// The line on standard error.
    pub(crate) fn line(&self, dialect: Dialect, execution_id: &str, step: &str) -> String {
        match (dialect, self) {
            (Dialect::Reclient, NotExecuted::Remote(_)) => {
                format!("reclient[{execution_id}]: RemoteErrorResultStatus: {self}\n")
            }
            (Dialect::Reclient, _) => format!("reclient[{execution_id}]: TimeoutResultStatus: {self}\n"),
            // Whoever ran it.
            (Dialect::Recc, NotExecuted::ExecTimeout) => format!("recc: {step}: {self}\n"),
            (Dialect::Farrier, NotExecuted::ExecTimeout) => format!("farrier: {step}: {self}\n"),
            (Dialect::Recc, _) => format!("recc: {step}: no worker could run it: {self}\n"),
            (Dialect::Farrier, _) => format!("farrier: {step}: no worker could run it: {self}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_codes_and_words() {
        let limit = Duration::from_secs(5);
        let remote = || NotExecuted::Remote("no worker".to_owned());
        let cases = [
            (
                Dialect::Reclient,
                remote(),
                45,
                "reclient[id]: RemoteErrorResultStatus: no worker",
            ),
            (
                Dialect::Reclient,
                NotExecuted::ExecTimeout,
                142,
                "reclient[id]: TimeoutResultStatus: exec_timeout is over",
            ),
            (
                Dialect::Reclient,
                NotExecuted::RemoteTimeout(limit),
                59,
                "reclient[id]: TimeoutResultStatus: reclient_timeout (5s) is over",
            ),
            (
                Dialect::Recc,
                remote(),
                102,
                "recc: a.o: no worker could run it: no worker",
            ),
            (
                Dialect::Farrier,
                remote(),
                125,
                "farrier: a.o: no worker could run it: no worker",
            ),
            (
                Dialect::Farrier,
                NotExecuted::ExecTimeout,
                125,
                "farrier: a.o: exec_timeout is over",
            ),
        ];
        for (dialect, why, code, line) in cases {
            assert_eq!(why.exit_code(dialect), code, "{dialect:?} {why:?}");
            assert_eq!(why.line(dialect, "id", "a.o"), format!("{line}\n"));
        }
    }

    #[test]
    fn an_error_keeps_what_it_is() {
        let timeout = anyhow::Error::new(NotExecuted::ExecTimeout).context("on the way");
        assert_eq!(NotExecuted::of(timeout), NotExecuted::ExecTimeout);
        let other = anyhow::anyhow!("no worker").context("executing");
        assert_eq!(
            NotExecuted::of(other),
            NotExecuted::Remote("executing: no worker".to_owned())
        );
    }
}
