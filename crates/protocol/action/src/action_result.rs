//! Checking what somebody says an action has produced.

use std::collections::HashSet;

use blob::{Digest, DigestError, DigestFunction, DigestSet};
use reapi::execution::{ActionResult, OutputSymlink};
use thiserror::Error;

use crate::input_path::{InputPathError, check_text};
use crate::limits::{OUTPUTS_MAX, quoted};

/// Everything that a result refers to in the content-addressable storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultReferences {
    /// Output files, stdout, stderr.
    pub blobs: DigestSet,
    /// `Tree` blobs of output directories; what is inside them is referred to as well. Each once, in order of
    /// appearance.
    pub trees: Vec<Digest>,
    /// `Directory` blobs at the root of output directories; what is below them is referred to as well. Each once,
    /// in order of appearance.
    pub root_directories: Vec<Digest>,
}

/// Why a result makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionResultError {
    /// A digest is missing or malformed.
    #[error("{field} of `{path}`: {source}")]
    Digest {
        /// Which one.
        field: &'static str,
        /// Of which output; `stdout`, `stderr` for those.
        path: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// Not a path.
    #[error("output {0}")]
    Path(InputPathError),
    /// A file or symlink that has no name of its own.
    #[error("an output {kind} has an empty path; only a directory may")]
    EmptyPath {
        /// `file` or `symlink`.
        kind: &'static str,
    },
    /// One path twice.
    #[error("output `{path}` is listed twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// A symlink to nowhere.
    #[error("output symlink `{path}` has an impossible target: {reason}")]
    SymlinkTarget {
        /// The symlink.
        path: String,
        /// What is wrong with its target.
        reason: String,
    },
    /// A directory without content.
    #[error("output directory `{path}` has neither tree_digest nor root_directory_digest")]
    NoContent {
        /// The directory.
        path: String,
    },
    /// Content that is not what its digest says.
    #[error("the contents of output file `{path}` have digest {actual}, not {expected}")]
    WrongContents {
        /// The file.
        path: String,
        /// The digest listed.
        expected: Digest,
        /// The digest of the contents.
        actual: Box<Digest>,
    },
    /// More than [`OUTPUTS_MAX`].
    #[error("{count} outputs; at most {} are possible", OUTPUTS_MAX)]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// Checks a result and lists what it refers to.
///
/// Paths are relative to a working directory that is not known here. `..` is therefore taken, since real clients
/// have outputs above their working directory (checklist E20); whether they stay inside the input root is
/// checked with the command.
pub fn check_action_result(
    function: DigestFunction,
    result: &ActionResult,
) -> Result<ResultReferences, ActionResultError> {
    #[allow(deprecated, reason = "results for clients of API 2.0 fill these fields")]
    let old_symlinks = [&result.output_file_symlinks, &result.output_directory_symlinks];
    let count = [
        result.output_files.len(),
        result.output_directories.len(),
        result.output_symlinks.len(),
    ]
    .into_iter()
    .chain(old_symlinks.iter().map(|symlinks| symlinks.len()))
    .sum();
    if count > OUTPUTS_MAX {
        return Err(ActionResultError::TooMany { count });
    }

    let mut paths = Paths::default();
    let mut blobs = Vec::with_capacity(result.output_files.len() + 2);
    for file in &result.output_files {
        paths.named("file", &file.path)?;
        let digest = digest(function, "digest", &file.path, file.digest.as_ref())?;
        check_contents(&file.path, digest, &file.contents)?;
        blobs.push(digest);
    }

    let (mut trees, mut root_directories) = (Vec::new(), Vec::new());
    for directory in &result.output_directories {
        paths.add(&directory.path)?;
        if directory.tree_digest.is_none() && directory.root_directory_digest.is_none() {
            return Err(ActionResultError::NoContent {
                path: quoted(&directory.path),
            });
        }
        if let Some(tree) = &directory.tree_digest {
            trees.push(digest(function, "tree_digest", &directory.path, Some(tree))?);
        }
        if let Some(root) = &directory.root_directory_digest {
            root_directories.push(digest(
                function,
                "root_directory_digest",
                &directory.path,
                Some(root),
            )?);
        }
    }

    // A result for clients of both generations lists a symlink in the new list and in an old one.
    let mut old_paths = paths.clone();
    for symlink in &result.output_symlinks {
        check_symlink(&mut paths, symlink)?;
    }
    for symlink in old_symlinks.into_iter().flatten() {
        check_symlink(&mut old_paths, symlink)?;
    }

    for (path, field) in [
        ("stdout", &result.stdout_digest),
        ("stderr", &result.stderr_digest),
    ] {
        if let Some(present) = field {
            blobs.push(digest(function, "digest", path, Some(present))?);
        }
    }
    Ok(ResultReferences {
        blobs: blobs.into_iter().collect(),
        trees: each_once(trees),
        root_directories: each_once(root_directories),
    })
}

impl ResultReferences {
    /// Everything that is named in the result itself: blobs, trees and root directories. If one of these is
    /// missing, there is no need to look inside the others.
    pub fn direct(&self) -> DigestSet {
        self.blobs
            .iter()
            .chain(&self.trees)
            .chain(&self.root_directories)
            .copied()
            .collect()
    }
}

#[derive(Clone, Default)]
struct Paths<'a> {
    seen: HashSet<&'a str>,
}

impl<'a> Paths<'a> {
    fn add(&mut self, path: &'a str) -> Result<(), ActionResultError> {
        check_text(path).map_err(ActionResultError::Path)?;
        if self.seen.insert(path) {
            Ok(())
        } else {
            Err(ActionResultError::Duplicate { path: quoted(path) })
        }
    }

    /// As [`add`](Self::add), for what must have a name.
    fn named(&mut self, kind: &'static str, path: &'a str) -> Result<(), ActionResultError> {
        if path.is_empty() {
            return Err(ActionResultError::EmptyPath { kind });
        }
        self.add(path)
    }
}

fn digest(
    function: DigestFunction,
    field: &'static str,
    path: &str,
    proto: Option<&reapi::execution::Digest>,
) -> Result<Digest, ActionResultError> {
    Digest::required(function, proto, field).map_err(|source| ActionResultError::Digest {
        field,
        path: quoted(path),
        source,
    })
}

fn check_contents(path: &str, expected: Digest, contents: &[u8]) -> Result<(), ActionResultError> {
    // Nothing inlined looks like an empty file inlined, so it says nothing.
    if contents.is_empty() {
        return Ok(());
    }
    let actual = Digest::of(expected.function(), contents);
    if actual == expected {
        return Ok(());
    }
    Err(ActionResultError::WrongContents {
        path: quoted(path),
        expected,
        actual: Box::new(actual),
    })
}

fn check_symlink<'a>(paths: &mut Paths<'a>, symlink: &'a OutputSymlink) -> Result<(), ActionResultError> {
    paths.named("symlink", &symlink.path)?;
    match merkle::SymlinkTarget::new(&symlink.path, &symlink.target) {
        Ok(_) => Ok(()),
        Err(error) => Err(ActionResultError::SymlinkTarget {
            path: quoted(&symlink.path),
            reason: error.to_string(),
        }),
    }
}

fn each_once(mut digests: Vec<Digest>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    digests.retain(|digest| seen.insert(*digest));
    digests
}

#[cfg(test)]
mod tests;
