//! Where the dynamic linker finds a library: a program's own list, `LD_LIBRARY_PATH`, `ld.so.conf`, the standard places.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::elf::needs;

/// Places that need no configuration.
const STANDARD: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

pub(crate) struct LibraryDirectories {
    from_environment: Vec<PathBuf>,
    of_system: Vec<PathBuf>,
}

impl LibraryDirectories {
    pub(crate) fn of_system(environment: &[(OsString, OsString)]) -> LibraryDirectories {
        let from_environment = environment
            .iter()
            .find(|(name, _)| name == "LD_LIBRARY_PATH")
            .map(|(_, value)| std::env::split_paths(value).collect())
            .unwrap_or_default();
        let mut of_system = Vec::new();
        configured(Path::new("/etc/ld.so.conf"), &mut of_system);
        of_system.extend(STANDARD.map(PathBuf::from));
        LibraryDirectories {
            from_environment,
            of_system,
        }
    }

    /// The library that `user`, a program or library of this class, loads under `name`.
    pub(crate) fn find(&self, name: &[u8], run_path: &[u8], user: &Path, class: u8) -> Option<PathBuf> {
        let name = OsStr::from_bytes(name);
        if name.as_bytes().contains(&b'/') {
            let path = PathBuf::from(name);
            return path.is_file().then_some(path);
        }
        let origin = user.parent().unwrap_or(Path::new("/"));
        let own = run_path
            .split(|byte| *byte == b':')
            .filter(|directory| !directory.is_empty())
            .map(|directory| from_origin(directory, origin));
        own.chain(self.from_environment.iter().cloned())
            .chain(self.of_system.iter().cloned())
            .map(|directory| directory.join(name))
            .find(|path| is_of_class(path, class))
    }
}

fn is_of_class(path: &Path, class: u8) -> bool {
    File::open(path)
        .and_then(|mut file| needs(&mut file))
        .is_ok_and(|needs| needs.is_some_and(|needs| needs.class == class))
}

/// A directory of a run path, with `$ORIGIN` replaced.
fn from_origin(directory: &[u8], origin: &Path) -> PathBuf {
    let rest = directory
        .strip_prefix(b"$ORIGIN")
        .or(directory.strip_prefix(b"${ORIGIN}"));
    match rest {
        Some(rest) => {
            let mut path = origin.as_os_str().to_owned();
            path.push(OsStr::from_bytes(rest));
            PathBuf::from(path)
        }
        None => PathBuf::from(OsStr::from_bytes(directory)),
    }
}

/// The directories of `ld.so.conf`, and of the `*.conf` files of the directory that its `include` names.
fn configured(path: &Path, directories: &mut Vec<PathBuf>) {
    // Where there is none, there are only the standard places.
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(pattern) = line.strip_prefix("include") {
            let pattern = Path::new(pattern.trim());
            let is_all = pattern.file_name() == Some(OsStr::new("*.conf"));
            let Some(parent) = pattern
                .parent()
                .filter(|_| is_all && !path.starts_with("/etc/ld.so.conf.d"))
            else {
                continue;
            };
            let Ok(entries) = fs::read_dir(parent) else {
                continue;
            };
            let mut files: Vec<PathBuf> = entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|file| file.extension() == Some(OsStr::new("conf")))
                .collect();
            files.sort();
            for file in files {
                configured(&file, directories);
            }
        } else if line.starts_with('/') {
            directories.push(PathBuf::from(line));
        }
    }
}
