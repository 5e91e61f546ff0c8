//! Where a command runs: the working directory, and the variables that differ from this process's.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Variables that a shell keeps true. `/bin/sh` gives them to its commands whether it had them or not.
const HERE: &str = "PWD";
const BEFORE: &str = "OLDPWD";

/// What commands see.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    /// Variables of the environment that have other values here.
    pub(crate) set: Vec<(OsString, OsString)>,
}

impl Place {
    /// As a shell begins: `PWD` is believed if it names the working directory.
    pub(crate) fn new() -> io::Result<Self> {
        let named = env::var_os(HERE).map(PathBuf::from);
        let is_here = |named: &PathBuf| match (fs::metadata(named), fs::metadata(".")) {
            (Ok(named), Ok(here)) => named.dev() == here.dev() && named.ino() == here.ino(),
            _ => false,
        };
        Ok(
            match named.filter(|named| named.is_absolute() && is_here(named)) {
                Some(directory) => Place {
                    directory,
                    set: Vec::new(),
                },
                None => {
                    let directory = env::current_dir()?;
                    let set = vec![(HERE.into(), directory.clone().into())];
                    Place { directory, set }
                }
            },
        )
    }

    /// `cd`, as shells do it: the name is what was walked, whatever symlinks are on the way.
    pub(crate) fn change(&mut self, to: &[u8]) -> io::Result<()> {
        let named = walked(&self.directory, Path::new(OsStr::from_bytes(to)));
        env::set_current_dir(&named)?;
        let before = std::mem::replace(&mut self.directory, named);
        self.put(BEFORE, before.into());
        self.put(HERE, self.directory.clone().into());
        Ok(())
    }

    /// A variable that commands see. One that the environment does not have stays the shell's own.
    pub(crate) fn assigned(&mut self, name: &str, value: &[u8]) {
        if env::var_os(name).is_some() {
            self.put(name, OsString::from_vec(value.to_vec()));
        }
    }

    fn put(&mut self, name: &str, value: OsString) {
        self.set.retain(|(set, _)| set != name);
        self.set.push((name.into(), value));
    }
}

/// A path from a directory, with `.` and `..` taken out of its text.
fn walked(from: &Path, to: &Path) -> PathBuf {
    use std::path::Component;
    let mut path = match to.is_absolute() {
        true => PathBuf::from("/"),
        false => from.to_owned(),
    };
    for component in to.components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_walked_as_they_are_written() {
        let check = |to: &str, expected: &str| {
            assert_eq!(
                walked(Path::new("/a/b"), Path::new(to)),
                Path::new(expected),
                "{to}"
            );
        };
        check("c", "/a/b/c");
        check("../x/./y", "/a/x/y");
        check("/q/../r", "/r");
        check("../../../..", "/");
    }
}
