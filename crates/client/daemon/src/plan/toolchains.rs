//! What a command is made with: the driver and every program that it starts, by their contents.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use daemon_api::Request;
use file_digests::FileDigests;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::layout::{Layout, Place};
use super::why::Why;
use crate::limits::TOOLCHAINS_MAX;
use crate::tool::path_of;

/// Programs that a driver may start.
const PARTS: [&str; 8] = [
    "cc1",
    "cc1plus",
    "cc1obj",
    "as",
    "ld",
    "collect2",
    "lto1",
    "lto-wrapper",
];

/// A toolchain as it is now.
#[derive(Clone)]
pub(crate) struct Toolchain {
    /// Of the contents of all its programs.
    pub(crate) fingerprint: [u8; 32],
    /// A part of it that does not come with the host.
    pub(crate) elsewhere: Option<PathBuf>,
}

/// The toolchains that have been asked for.
pub(crate) struct Toolchains {
    digests: Arc<FileDigests>,
    parts: Mutex<HashMap<Key, Arc<[PathBuf]>>>,
}

/// Parts are where they are for this driver, with this search path.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    program: PathBuf,
    path: OsString,
    /// What the search path leads to: another program that comes to stand before it is another toolchain.
    found: Vec<Option<PathBuf>>,
}

impl Toolchains {
    pub(crate) fn new(digests: Arc<FileDigests>) -> Self {
        Toolchains {
            digests,
            parts: Mutex::default(),
        }
    }

    /// The toolchain of a driver. Its programs are looked at each time, and read when they have changed.
    pub(crate) fn of(&self, request: &Request, program: &Path) -> Result<Toolchain, Why> {
        let path = path_of(request);
        let found = ["as", "ld"].map(|name| in_path(&path, name)).to_vec();
        let program = program.canonicalize().map_err(|error| unknown(program, &error))?;
        let key = Key { program, path, found };
        let known = self.parts.lock().get(&key).cloned();
        let parts = match known {
            Some(parts) => parts,
            None => {
                let parts: Arc<[PathBuf]> =
                    parts(&key).map_err(|error| unknown(&key.program, &error))?.into();
                let mut known = self.parts.lock();
                if known.len() >= TOOLCHAINS_MAX {
                    known.clear();
                }
                known.insert(key, parts.clone());
                parts
            }
        };
        let mut hasher = Sha256::new();
        let mut elsewhere = None;
        let layout = Layout::new(None, Path::new("/farrier"));
        for part in parts.iter() {
            let file = self.digests.get(part).map_err(|error| unknown(part, &error))?;
            hasher.update(part.as_os_str().as_encoded_bytes());
            hasher.update([0]);
            hasher.update(file.digest.hash_bytes());
            if layout.place(part) != Place::Host {
                elsewhere.get_or_insert_with(|| part.clone());
            }
        }
        Ok(Toolchain {
            fingerprint: hasher.finalize().into(),
            elsewhere,
        })
    }
}

fn in_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The driver first.
fn parts(key: &Key) -> std::io::Result<Vec<PathBuf>> {
    let mut parts = vec![key.program.clone()];
    for name in PARTS {
        let asked = Command::new(&key.program)
            .arg(format!("-print-prog-name={name}"))
            .env_clear()
            .env("PATH", &key.path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()?;
        let answer = String::from_utf8_lossy(&asked.stdout).trim_end().to_owned();
        // Without a directory it is found by the search path, if at all.
        let found = match answer.contains('/') {
            true => Some(PathBuf::from(answer)),
            false => in_path(&key.path, name),
        };
        if let Some(part) = found.and_then(|found| found.canonicalize().ok())
            && part.is_file()
        {
            parts.push(part);
        }
    }
    Ok(parts)
}

fn unknown(path: &Path, error: &dyn std::fmt::Display) -> Why {
    Why::Toolchain(format!("{}: {error}", path.display()))
}
