//! Where the facts are on a machine, and when they have to be read again.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::limits::{ALTERNATIVES_MAX, DATABASE_BYTES_MAX, READS_MAX, TEXT_BYTES_MAX};
use crate::{Database, Facts, Fingerprint, dpkg, fingerprint};

/// dpkg's list of packages; which files are put elsewhere than their package says; and where it writes what it changes, until
/// that is in the list.
const DPKG_STATUS: &str = "var/lib/dpkg/status";
const DPKG_DIVERSIONS: &str = "var/lib/dpkg/diversions";
const DPKG_UPDATES: &str = "var/lib/dpkg/updates";
/// Where data bases of rpm lie, and how the names of their files begin. What ends otherwise is for processes that have it
/// open.
const RPM: &[&str] = &["var/lib/rpm", "usr/lib/sysimage/rpm"];
const RPM_FILES: &[&str] = &["rpmdb.sqlite", "Packages"];
const RPM_NOT: &str = "-shm";
/// Lists of packages that count as they are.
const APK: &[&str] = &["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const ALTERNATIVES: &str = "etc/alternatives";
const OS_RELEASE: &[&str] = &["etc/os-release", "usr/lib/os-release"];

/// How much is read at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// What is known of the machine whose files are below `root`. What is not there is left out; what is and cannot be read is
/// an error.
pub fn read(root: &Path, architecture: &str) -> io::Result<Facts> {
    let mut databases = Vec::new();
    if let Some(status) = read_text(&root.join(DPKG_STATUS))?
        && let Some(reduced) = dpkg::reduced(&status)
    {
        databases.push(Database::of(DPKG_STATUS, &reduced));
        if let Some(diversions) = read_text(&root.join(DPKG_DIVERSIONS))? {
            databases.push(Database::of(DPKG_DIVERSIONS, &diversions));
        }
    }
    let in_rpm = rpm_files(root)?.into_iter();
    for name in in_rpm.chain(APK.iter().map(|name| (*name).to_owned())) {
        if let Some(sha256) = hash(&root.join(&name))? {
            databases.push(Database { name, sha256 });
        }
    }
    let mut os_release = None;
    for name in OS_RELEASE {
        if os_release.is_none() {
            os_release = read_text(&root.join(name))?;
        }
    }
    Ok(Facts {
        databases,
        in_change: !names(&root.join(DPKG_UPDATES))?.is_empty(),
        alternatives: alternatives(&root.join(ALTERNATIVES))?,
        os_release: os_release.unwrap_or_default(),
        architecture: architecture.to_owned(),
    })
}

/// Below the root, sorted.
fn rpm_files(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for directory in RPM {
        for name in names(&root.join(directory))? {
            let Ok(name) = String::from_utf8(name) else {
                continue;
            };
            if RPM_FILES.iter().any(|begins| name.starts_with(begins)) && !name.ends_with(RPM_NOT) {
                found.push(format!("{directory}/{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn alternatives(directory: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in names(directory)? {
        let path = directory.join(std::ffi::OsStr::from_bytes(&name));
        match fs::read_link(path) {
            Ok(target) => found.push((name, target.into_os_string().into_vec())),
            // A file that explains the directory.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What is in a directory; nothing if there is none.
fn names(directory: &Path) -> io::Result<Vec<Vec<u8>>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(of(directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        if found.len() == ALTERNATIVES_MAX {
            return Err(of(directory, io::Error::other("too many entries")));
        }
        found.push(entry?.file_name().into_vec());
    }
    Ok(found)
}

fn read_text(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut text = Vec::new();
    file.take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| of(path, error))?;
    match text.len() as u64 <= TEXT_BYTES_MAX {
        true => Ok(Some(text)),
        false => Err(of(path, io::Error::other("it is too large"))),
    }
}

fn hash(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let Some(mut file) = open(path)? else {
        return Ok(None);
    };
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = DATABASE_BYTES_MAX;
    loop {
        let length = file.read(&mut block).map_err(|error| of(path, error))?;
        if length == 0 {
            return Ok(Some(hash.finalize().into()));
        }
        left = left
            .checked_sub(length as u64)
            .ok_or_else(|| of(path, io::Error::other("it is too large")))?;
        hash.update(&block[..length]);
    }
}

/// A file; `None` if there is nothing, or something else.
fn open(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(of(path, error)),
    }
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(of(path, error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn of(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A machine's fingerprint, read again only when something that it is made of has been touched. Asking costs a few calls of
/// the kernel, so it can be asked before and after every command.
#[derive(Debug)]
pub struct HostTools {
    root: PathBuf,
    architecture: String,
    known: Option<(Stamp, Option<Fingerprint>)>,
}

/// What tells that files and directories have been touched: of each its device, number, length, and times of change.
type Stamp = Vec<Option<[i128; 5]>>;

impl HostTools {
    /// Of the machine that this program runs on.
    pub fn of_this_machine() -> Self {
        Self::at(Path::new("/"), std::env::consts::ARCH)
    }

    /// Of the machine whose files are below `root`.
    pub fn at(root: &Path, architecture: &str) -> Self {
        HostTools {
            root: root.to_owned(),
            architecture: architecture.to_owned(),
            known: None,
        }
    }

    /// What it is now; see [`fingerprint`] for `None`. An error if it cannot be read, or is changed all the time.
    pub fn fingerprint(&mut self) -> io::Result<Option<Fingerprint>> {
        let mut before = self.stamp()?;
        for _ in 0..READS_MAX {
            if let Some((stamp, known)) = &self.known
                && *stamp == before
            {
                return Ok(known.clone());
            }
            let found = fingerprint(&read(&self.root, &self.architecture)?);
            let after = self.stamp()?;
            if before == after {
                self.known = Some((after, found.clone()));
                return Ok(found);
            }
            before = after;
        }
        Err(io::Error::other("the packages of this machine are being changed"))
    }

    fn stamp(&self) -> io::Result<Stamp> {
        let named = [DPKG_STATUS, DPKG_DIVERSIONS, DPKG_UPDATES, ALTERNATIVES].into_iter();
        let named = named.chain(RPM.iter().chain(APK).chain(OS_RELEASE).copied());
        let paths = named.map(str::to_owned).chain(rpm_files(&self.root)?);
        paths
            .map(|path| {
                let path = self.root.join(path);
                match fs::metadata(&path) {
                    Ok(found) => Ok(Some(mark(&found))),
                    Err(error) if is_absent(&error) => Ok(None),
                    Err(error) => Err(of(&path, error)),
                }
            })
            .collect()
    }
}

fn mark(found: &Metadata) -> [i128; 5] {
    let nanoseconds = |seconds: i64, more: i64| i128::from(seconds) * 1_000_000_000 + i128::from(more);
    [
        found.dev().into(),
        found.ino().into(),
        found.size().into(),
        nanoseconds(found.mtime(), found.mtime_nsec()),
        nanoseconds(found.ctime(), found.ctime_nsec()),
    ]
}

#[cfg(test)]
mod tests;
