//! A step of the set-up that failed.

use std::fmt;

use rustix::io::Errno;

/// What was being done, on what, and what the kernel said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetupError {
    what: String,
    errno: Errno,
}

pub(crate) type Result<T> = std::result::Result<T, SetupError>;

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.errno)
    }
}

impl SetupError {
    pub(crate) fn new(what: impl Into<String>, errno: Errno) -> Self {
        SetupError {
            what: what.into(),
            errno,
        }
    }
}

/// Says which step a system call belonged to.
pub(crate) trait Step<T> {
    fn step(self, what: &str) -> Result<T>;
    /// For steps whose name costs something to build.
    fn step_with(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Step<T> for std::result::Result<T, Errno> {
    fn step(self, what: &str) -> Result<T> {
        self.map_err(|errno| SetupError::new(what, errno))
    }

    fn step_with(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| SetupError::new(what(), errno))
    }
}
