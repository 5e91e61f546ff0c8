//! Which variables a command gets, and what they say of the directory that it runs in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use compiler::Step;
use daemon_api::Request;

use super::build::text;
use super::toolchains::Toolchain;
use super::why::Why;
use crate::tool::{path_of, variable};

/// Where tools are looked for by a command whose tools all come with the host.
const HOST_PATH: &str = "/usr/bin:/bin";
/// Variables that only matter on a terminal, which no command that is kept has.
pub(super) const ONLY_ON_TERMINALS: [&str; 3] = ["TERM", "TERM_URLS", "GCC_URLS"];

/// What the command gets of the environment.
pub(super) struct Environment {
    /// The variables that it may read, sorted.
    pub(super) variables: Vec<(String, String)>,
    /// Another name of the working directory, where it has one that gets into the result.
    pub(super) other_name: Option<PathBuf>,
}

impl Environment {
    /// As the step may read it. `needs_root`: the name of the working directory may get into the result.
    pub(super) fn of(
        request: &Request,
        step: &Step,
        toolchain: &Toolchain,
        needs_root: bool,
    ) -> Result<Self, Why> {
        let mut variables = Vec::new();
        let mut other_name = None;
        for name in step
            .environment
            .iter()
            .filter(|name| !ONLY_ON_TERMINALS.contains(name))
        {
            let Some(value) = variable(request, name) else {
                continue;
            };
            if *name == "PWD" {
                // Debug information takes it, if it is another name of the directory where the command runs.
                let path = Path::new(value);
                if !needs_root || !is_other_name(path, &request.directory) {
                    continue;
                }
                other_name = Some(path.to_owned());
            }
            variables.push(((*name).to_owned(), text(Path::new(value))?.to_owned()));
        }
        let path = match toolchain.elsewhere {
            None => HOST_PATH.to_owned(),
            Some(_) => text(Path::new(&path_of(request)))?.to_owned(),
        };
        variables.retain(|(name, _)| name != "PATH");
        variables.push(("PATH".to_owned(), path));
        variables.sort();
        Ok(Environment {
            variables,
            other_name,
        })
    }

    /// Gives variables other values, or their first.
    pub(super) fn set(&mut self, variables: Vec<(OsString, OsString)>) -> Result<(), Why> {
        for (name, value) in variables {
            let (name, value) = (
                text(Path::new(&name))?.to_owned(),
                text(Path::new(&value))?.to_owned(),
            );
            self.variables.retain(|(known, _)| *known != name);
            self.variables.push((name, value));
        }
        self.variables.sort();
        Ok(())
    }
}

/// Whether `path` leads to the working directory, by another name.
pub(super) fn is_other_name(path: &Path, directory: &Path) -> bool {
    path != directory && path.canonicalize().is_ok_and(|real| real == directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_of_the_directory_is_told_from_another_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = real.with_file_name("link");
        std::os::unix::fs::symlink("real", &link).unwrap();
        assert!(is_other_name(&link, &real));
        assert!(!is_other_name(&real, &real));
        assert!(!is_other_name(scratch.path(), &real));
        assert!(!is_other_name(Path::new("/no/such"), &real));
    }
}
