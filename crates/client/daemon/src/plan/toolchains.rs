//! What a command is made with: the driver and every program that it starts, by their contents.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compiler::Tool;
use daemon_api::Request;
use file_digests::{FileDigests, Stamp};
use sha2::{Digest as _, Sha256};
use toolchain::{ENVIRONMENT, FileDigests as FileDigestsOnce, FingerprintError};

use super::layout::is_host;
use super::memo::Memo;
use super::script;
use super::why::Why;
use crate::limits::TOOLCHAINS_MAX;
use crate::tool::{environment_of, path_of};

/// A toolchain as it is now.
#[derive(Clone)]
pub(crate) struct Toolchain {
    /// Of the contents of all its programs.
    pub(crate) fingerprint: [u8; 32],
    /// A part of it that does not come with the host.
    pub(crate) elsewhere: Option<PathBuf>,
    /// All of them.
    pub(crate) parts: Arc<[PathBuf]>,
}

/// The toolchains that have been asked for.
pub(crate) struct Toolchains {
    digests: Arc<FileDigests>,
    parts: Memo<Key, Arc<[PathBuf]>>,
}

/// Everything that decides where the parts are.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    program: PathBuf,
    /// Drivers start others.
    is_driver: bool,
    /// Another driver in the same place may start other programs.
    state: Stamp,
    /// Who runs it, if it is a script, and these as they are.
    interpreters: Vec<(PathBuf, Stamp)>,
    /// These by names that lead to the host from elsewhere: a virtual environment is what lies beside its name.
    named: Vec<PathBuf>,
    /// What the search path leads to: another program that comes to stand before it is another toolchain.
    found: Vec<Option<PathBuf>>,
    /// Variables that lead a driver to its parts, and these to their libraries.
    environment: Vec<(OsString, OsString)>,
}

/// The variable that leads programs to their libraries.
pub(super) const LIBRARIES: &str = "LD_LIBRARY_PATH";

impl Toolchains {
    pub(crate) fn new(digests: Arc<FileDigests>) -> Self {
        Toolchains {
            digests,
            parts: Memo::new(TOOLCHAINS_MAX),
        }
    }

    /// The toolchain of a driver, or of a tool that starts no others. Its programs are looked at each time, and read when
    /// they have changed.
    pub(crate) fn of(&self, request: &Request, program: &Path) -> Result<Toolchain, Why> {
        let key = key(request, program).map_err(|error| unknown(program, &error))?;
        let find = |key: &Key| parts(key, request).map(Arc::from);
        let parts = self.parts.get_or_find(key.clone(), find);
        let parts = parts.map_err(|error| unknown(&key.program, &error))?;
        let made = self.made_of(parts);
        if made.is_err() {
            // One of them has gone: the next who asks learns where they are now.
            self.parts.forget(&key);
        }
        made
    }

    /// The toolchain that has these parts.
    pub(crate) fn made_of(&self, parts: Arc<[PathBuf]>) -> Result<Toolchain, Why> {
        Ok(Toolchain {
            fingerprint: self.fingerprint(&parts)?,
            elsewhere: parts.iter().find(|part| !is_host(part)).cloned(),
            parts,
        })
    }

    fn fingerprint(&self, parts: &[PathBuf]) -> Result<[u8; 32], Why> {
        let mut hasher = Sha256::new();
        for part in parts {
            let file = self.digests.get(part).map_err(|error| unknown(part, &error))?;
            hasher.update(part.as_os_str().as_encoded_bytes());
            hasher.update([0]);
            hasher.update(file.digest.hash_bytes());
        }
        Ok(hasher.finalize().into())
    }
}

fn key(request: &Request, program: &Path) -> std::io::Result<Key> {
    let path = path_of(request);
    let matters = |name: &OsStr| name == LIBRARIES || ENVIRONMENT.iter().any(|known| *known == name);
    let mut environment = environment_of(request);
    environment.retain(|(name, _)| matters(name));
    let is_driver = is_driver(request);
    let mut named = vec![program.to_owned()];
    let program = program.canonicalize()?;
    // A driver that is a script is asked what it starts.
    let interpreters = match is_driver {
        true => Vec::new(),
        false => script::interpreters(&program, &path)?,
    };
    named.extend(interpreters.iter().cloned());
    named.retain(|name| !is_driver && !is_host(name));
    let with_state = |program: PathBuf| {
        let program = program.canonicalize()?;
        let state = Stamp::of(&std::fs::metadata(&program)?);
        std::io::Result::Ok((program, state))
    };
    Ok(Key {
        state: Stamp::of(&std::fs::metadata(&program)?),
        interpreters: interpreters
            .into_iter()
            .map(with_state)
            .collect::<Result<_, _>>()?,
        found: ["as", "ld"].map(|name| in_path(&path, OsStr::new(name))).to_vec(),
        program,
        named,
        is_driver,
        environment,
    })
}

/// By the name that the command is called by, as its options are read.
fn is_driver(request: &Request) -> bool {
    let name = request.arguments.first().map(Path::new);
    let name = name.and_then(Path::file_name).and_then(OsStr::to_str);
    let tool = name.and_then(compiler::is_tool_name);
    matches!(tool, Some(Tool::GccDriver | Tool::ClangDriver))
}

pub(super) fn in_path(path: &OsStr, name: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Every program and library that the driver starts or loads.
fn parts(key: &Key, request: &Request) -> Result<Vec<PathBuf>, FingerprintError> {
    let environment = environment_of(request);
    if !key.is_driver {
        let interpreters = key.interpreters.iter().map(|(program, _)| program);
        let mut parts = key.named.clone();
        for program in std::iter::once(&key.program).chain(interpreters) {
            parts.extend(toolchain::parts_of_program(program, &environment)?.into_values());
        }
        parts.sort();
        parts.dedup();
        return Ok(parts);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_other_parts_is_another_key() {
        let gcc = Path::new("/usr/bin/gcc");
        let request = |variables: &[(&str, &str)]| Request {
            arguments: vec![gcc.into()],
            directory: "/".into(),
            environment: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            settings: Vec::new(),
            is_terminal: false,
        };
        let key_of = |variables: &[(&str, &str)]| key(&request(variables), gcc).unwrap();
        let plain = key_of(&[("PATH", "/usr/bin")]);
        assert!(plain == key_of(&[("PATH", "/usr/bin"), ("EDITOR", "ed")]));
        for other in [
            ("COMPILER_PATH", "/x"),
            ("GCC_EXEC_PREFIX", "/x"),
            ("LD_LIBRARY_PATH", "/x"),
        ] {
            assert!(plain != key_of(&[("PATH", "/usr/bin"), other]), "{other:?}");
        }
        assert!(plain != key_of(&[("PATH", "/nowhere")]));
    }

    #[test]
    fn a_real_toolchain_is_the_same_each_time_and_comes_with_the_host() {
        let request = Request {
            arguments: vec!["gcc".into()],
            directory: "/".into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            settings: Vec::new(),
            is_terminal: false,
        };
        let toolchains = Toolchains::new(Arc::new(FileDigests::new(crate::service::FUNCTION)));
        let gcc = Path::new("/usr/bin/gcc");
        let first = toolchains.of(&request, gcc).unwrap();
        assert_eq!(first.elsewhere, None);
        assert_eq!(
            toolchains.of(&request, gcc).unwrap().fingerprint,
            first.fingerprint
        );
        let mut fingerprints = vec![first.fingerprint];
        for tool in ["ld", "nm"] {
            let request = Request {
                arguments: vec![tool.into()],
                ..request.clone()
            };
            let found = toolchains
                .of(&request, &Path::new("/usr/bin").join(tool))
                .unwrap();
            assert_eq!(found.elsewhere, None);
            assert!(!fingerprints.contains(&found.fingerprint), "{tool}");
            fingerprints.push(found.fingerprint);
        }
    }
}
