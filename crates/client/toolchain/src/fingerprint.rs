//! What a toolchain is made of, as one digest: two with the same one compile alike.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::elf::{Needs, needs};
use crate::libraries::LibraryDirectories;
use crate::limits::{PART_BYTES_MAX, PARTS_MAX};
use crate::run::{ProbeError, Run, run_well, words};

/// Programs a driver may run.
const PROGRAMS: [&str; 8] = [
    "cc1",
    "cc1plus",
    "cc1obj",
    "as",
    "ld",
    "collect2",
    "lto1",
    "lto-wrapper",
];
/// Files it may read or load.
const FILES: [&str; 2] = ["specs", "liblto_plugin.so"];

/// A toolchain's digest and its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 over the parts' names and contents and the version.
    pub digest: [u8; 32],
    /// Every file it is made of: what it is (`cc1`, `libgmp.so.10`), and where. Links are resolved.
    pub parts: BTreeMap<String, PathBuf>,
}

/// Why there is no fingerprint.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// The driver does not say what it runs.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A part cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More or larger parts than any toolchain has.
    #[error("a toolchain of more than {PARTS_MAX} parts, or {path} is larger than {PART_BYTES_MAX} bytes")]
    TooMuch {
        /// Which part was the one too many.
        path: PathBuf,
    },
}

/// Digests of files, remembered as long as device, inode, size, mtime and ctime stay the same. The caller keeps it.
#[derive(Clone, Debug, Default)]
pub struct FileDigests {
    known: HashMap<PathBuf, (FileState, [u8; 32])>,
    hashed: u64,
}

type FileState = (u64, u64, u64, (i64, i64), (i64, i64));

impl FileDigests {
    /// How many files were really hashed so far.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    fn digest(&mut self, path: &Path) -> Result<[u8; 32], FingerprintError> {
        let failed = |source| FingerprintError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let state = (
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
        );
        if let Some((known, digest)) = self.known.get(path)
            && *known == state
        {
            return Ok(*digest);
        }
        if metadata.size() > PART_BYTES_MAX {
            return Err(FingerprintError::TooMuch {
                path: path.to_owned(),
            });
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                length => hasher.update(&buffer[..length]),
            }
        }
        let digest: [u8; 32] = hasher.finalize().into();
        self.hashed += 1;
        if self.known.len() >= PARTS_MAX * 10 {
            self.known.clear();
        }
        self.known.insert(path.to_owned(), (state, digest));
        Ok(digest)
    }
}

/// The fingerprint of the toolchain that `driver`, an absolute path, belongs to. `arguments` are those that choose other
/// programs (`-B`, `--sysroot`, `-fuse-ld`); `environment` is the command's whole one.
pub fn fingerprint(
    driver: &Path,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
    version: &str,
    digests: &mut FileDigests,
) -> Result<Fingerprint, FingerprintError> {
    let mut parts = BTreeMap::new();
    parts.insert("driver".to_owned(), real(driver)?);
    for (questions, option) in [
        (PROGRAMS.as_slice(), "-print-prog-name="),
        (FILES.as_slice(), "-print-file-name="),
    ] {
        for name in questions {
            let mut asked = arguments.to_vec();
            asked.extend(words(&[&format!("{option}{name}")]));
            let answer = run_well(&Run {
                driver,
                arguments: &asked,
                cwd: Path::new("/"),
                environment,
                stdin: b"",
            })?;
            let printed = PathBuf::from(OsStr::from_bytes(answer.stdout.trim_ascii()));
            if let Some(found) = located(&printed, environment)? {
                parts.insert((*name).to_owned(), found);
            }
        }
    }
    add_libraries(&mut parts, environment)?;
    let mut hasher = Sha256::new();
    hasher.update((version.len() as u64).to_le_bytes());
    hasher.update(version.as_bytes());
    for (name, path) in &parts {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(digests.digest(path)?);
    }
    Ok(Fingerprint {
        digest: hasher.finalize().into(),
        parts,
    })
}

/// Where GNU binutils look for plugins by themselves, seen from the directory of the program.
const BFD_PLUGINS: &str = "../lib/bfd-plugins";

/// What a program that starts no others is made of, such as a linker: itself, the libraries that it loads, and the plugins
/// that binutils load unasked. Links are resolved; the parts are named as in [`Fingerprint`].
pub fn parts_of_program(
    program: &Path,
    environment: &[(OsString, OsString)],
) -> Result<BTreeMap<String, PathBuf>, FingerprintError> {
    let mut parts = BTreeMap::from([("program".to_owned(), real(program)?)]);
    let plugins = program.parent().unwrap_or(Path::new("/")).join(BFD_PLUGINS);
    // Where there is no such directory there are no plugins.
    for plugin in fs::read_dir(&plugins).into_iter().flatten() {
        let plugin = plugin.map_err(|source| FingerprintError::Read {
            path: plugins.clone(),
            source,
        })?;
        let path = real(&plugin.path())?;
        if parts.len() >= PARTS_MAX {
            return Err(FingerprintError::TooMuch { path });
        }
        parts.insert(format!("plugin {}", plugin.file_name().display()), path);
    }
    add_libraries(&mut parts, environment)?;
    Ok(parts)
}

fn real(path: &Path) -> Result<PathBuf, FingerprintError> {
    fs::canonicalize(path).map_err(|source| FingerprintError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Where a printed program is: a bare name is what the driver prints for one it would search in `PATH`.
fn located(
    printed: &Path,
    environment: &[(OsString, OsString)],
) -> Result<Option<PathBuf>, FingerprintError> {
    if printed.is_absolute() {
        return if printed.is_file() {
            real(printed).map(Some)
        } else {
            Ok(None)
        };
    }
    if printed.components().count() != 1 {
        return Ok(None);
    }
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.clone())
        .unwrap_or_default();
    for directory in std::env::split_paths(&path) {
        let candidate = directory.join(printed);
        if candidate.is_file() {
            return real(&candidate).map(Some);
        }
    }
    Ok(None)
}

/// Adds the libraries and interpreters that the parts load, and those that these load.
fn add_libraries(
    parts: &mut BTreeMap<String, PathBuf>,
    environment: &[(OsString, OsString)],
) -> Result<(), FingerprintError> {
    let directories = LibraryDirectories::of_system(environment);
    let mut waiting: VecDeque<PathBuf> = parts.values().cloned().collect();
    while let Some(path) = waiting.pop_front() {
        let failed = |source| FingerprintError::Read {
            path: path.clone(),
            source,
        };
        let mut file = File::open(&path).map_err(failed)?;
        let Some(Needs {
            interpreter,
            libraries,
            run_path,
            class,
        }) = needs(&mut file).map_err(failed)?
        else {
            continue;
        };
        let mut found: Vec<(Vec<u8>, PathBuf)> = Vec::new();
        if let Some(interpreter) = interpreter {
            let at = PathBuf::from(OsStr::from_bytes(&interpreter));
            if at.is_file() {
                found.push((interpreter, at));
            }
        }
        for library in libraries {
            if let Some(at) = directories.find(&library, &run_path, &path, class) {
                found.push((library, at));
            }
        }
        for (name, at) in found {
            let at = real(&at)?;
            if parts.values().any(|known| *known == at) {
                continue;
            }
            if parts.len() >= PARTS_MAX {
                return Err(FingerprintError::TooMuch { path: at });
            }
            let mut name = String::from_utf8_lossy(&name).into_owned();
            while parts.contains_key(&name) {
                name.push('+');
            }
            parts.insert(name, at.clone());
            waiting.push_back(at);
        }
    }
    Ok(())
}
