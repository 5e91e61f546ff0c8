//! Where the client keeps its things: a directory of this user.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::data_directory::DataDirectory;

/// The directory.
pub(super) struct State {
    directory: PathBuf,
}

impl State {
    /// `FARRIER_STATE_DIR`, `$XDG_CACHE_HOME/farrier`, else `$HOME/.cache/farrier`; made if it is not there.
    pub(super) fn open() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let directory = variable("FARRIER_STATE_DIR")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("farrier")))
            .or_else(|| Some(variable("HOME")?.join(".cache/farrier")))
            .context("neither FARRIER_STATE_DIR nor XDG_CACHE_HOME nor HOME is set")?;
        let directory = DataDirectory::open(&directory)?.path().to_owned();
        Ok(State { directory })
    }

    /// Where the daemon listens: where the environment says, else here.
    pub(super) fn socket(&self) -> PathBuf {
        let named = std::env::var_os(daemon_api::SOCKET_VARIABLE).filter(|value| !value.is_empty());
        named.map_or_else(|| self.directory.join("daemon.socket"), PathBuf::from)
    }

    /// The links to the wrapper. One place for all builds: `configure` and CMake write it down.
    pub(super) fn tools(&self) -> PathBuf {
        self.directory.join("tools")
    }

    /// The shell that make is given, and the makefile that says so.
    pub(super) fn shell(&self) -> PathBuf {
        self.directory.join("shell")
    }

    /// What the server keeps that is started when none is named.
    pub(super) fn server(&self) -> PathBuf {
        self.directory.join("server")
    }

    /// Results that the daemon keeps on this machine.
    pub(super) fn cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    /// What the daemon has found out about the steps of builds.
    pub(super) fn steps(&self) -> PathBuf {
        self.directory.join("steps")
    }

    /// What is noted of commands that are watched, while they run; emptied of what an earlier daemon has left.
    pub(super) fn notes(&self) -> Result<PathBuf> {
        let notes = self.directory.join("notes");
        match std::fs::remove_dir_all(&notes) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", notes.display()));
            }
            _ => {}
        }
        std::fs::create_dir(&notes).with_context(|| format!("cannot make {}", notes.display()))?;
        Ok(notes)
    }

    /// What a program in the background has to say.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// Where all of it is.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }
}
