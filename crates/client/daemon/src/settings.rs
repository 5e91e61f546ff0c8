//! What a front end or the environment wants of one command.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use daemon_api::Request;

use crate::tool::variable;

/// Who answers what is not in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// This machine.
    #[default]
    Local,
    /// A worker; a command that none can run fails.
    Remote,
    /// A worker; this machine where that does not work out.
    RemoteLocalFallback,
}

impl Strategy {
    /// The name that reclient gives it.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Local => "local",
            Strategy::Remote => "remote",
            Strategy::RemoteLocalFallback => "remote_local_fallback",
        }
    }

    /// By the name that reclient gives it.
    pub fn from_name(name: &OsStr) -> Option<Self> {
        Some(match name.to_str()? {
            "local" => Strategy::Local,
            "remote" => Strategy::Remote,
            "remote_local_fallback" => Strategy::RemoteLocalFallback,
            _ => return None,
        })
    }
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) strategy: Strategy,
    pub(crate) root: Option<PathBuf>,
    pub(crate) build: String,
    /// Not for a command: what the daemon itself is asked.
    pub(crate) question: Option<OsString>,
}

/// The build of commands that say none.
const NO_BUILD: &str = "unnamed";
/// The longest name of a build.
const BUILD_BYTES_MAX: usize = 128;

impl Settings {
    /// From the request: what the front end set, then the environment, then what the daemon was started with.
    pub(crate) fn of(request: &Request, default: Strategy) -> Self {
        let find = |setting: &str, name: &str| {
            let set = request.settings.iter().find(|(n, _)| n == setting);
            let set = set.map(|(_, value)| value.as_os_str());
            set.or_else(|| variable(request, name))
                .filter(|value| !value.is_empty())
        };
        let build = find("build", "FARRIER_BUILD").and_then(OsStr::to_str);
        Settings {
            strategy: find("strategy", "FARRIER_STRATEGY")
                .and_then(Strategy::from_name)
                .unwrap_or(default),
            root: find("root", "FARRIER_ROOT").map(PathBuf::from),
            build: build
                .filter(|build| build.len() <= BUILD_BYTES_MAX)
                .unwrap_or(NO_BUILD)
                .to_owned(),
            question: find("question", "").map(OsStr::to_owned),
        }
    }
}
