//! What a command is made with: the driver and every program that it starts, by their contents.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemon_api::Request;
use file_digests::FileDigests;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use toolchain::{FileDigests as FileDigestsOnce, FingerprintError};

use super::layout::{Layout, Place};
use super::why::Why;
use crate::limits::TOOLCHAINS_MAX;
use crate::tool::path_of;

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
                let parts: Arc<[PathBuf]> = parts(&key, request)
                    .map_err(|error| unknown(&key.program, &error))?
                    .into();
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

/// Every program and library that the driver starts or loads.
fn parts(key: &Key, request: &Request) -> Result<Vec<PathBuf>, FingerprintError> {
    let others = request.environment.iter().filter(|(name, _)| name != "PATH");
    let mut environment: Vec<_> = others.cloned().collect();
    environment.push(("PATH".into(), key.path.clone()));
    let found = toolchain::fingerprint(
        &key.program,
        &[],
        &environment,
        "",
        &mut FileDigestsOnce::default(),
    )?;
    Ok(found.parts.into_values().collect())
}

fn unknown(path: &Path, error: &dyn std::fmt::Display) -> Why {
    Why::Toolchain(format!("{}: {error}", path.display()))
}
