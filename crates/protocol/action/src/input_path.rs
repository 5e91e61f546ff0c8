//! A path inside the input root.

use std::fmt;

use merkle::{NodeName, NodeNameError};
use thiserror::Error;

use crate::limits::{PATH_BYTES_MAX, quoted};

/// A path inside the input root: legal names joined by slashes, or empty for the root itself. It cannot lead out.
///
/// What it says is meant literally. A symlink on the way may still lead anywhere, so whoever opens such a path
/// does it without following symlinks, or inside a confined root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputPath(String);

/// Why a text is not a path inside the input root.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputPathError {
    /// It starts with a slash.
    #[error("path `{text}` is absolute; it must be relative")]
    Absolute {
        /// The text.
        text: String,
    },
    /// It ends with a slash.
    #[error("path `{text}` ends with a slash")]
    TrailingSlash {
        /// The text.
        text: String,
    },
    /// Its `..` lead out of the input root.
    #[error(
        "path `{text}`, seen from {}, leads out of the input root",
        Place(working_directory)
    )]
    Escapes {
        /// The text.
        text: String,
        /// Where it starts.
        working_directory: InputPath,
    },
    /// A component is not a name.
    #[error("path `{text}`: {source}")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with the component.
        source: NodeNameError,
    },
    /// Longer than any system call takes.
    #[error(
        "path `{text}` has {length_bytes} bytes; at most {} are possible",
        PATH_BYTES_MAX
    )]
    TooLong {
        /// The text, or what it resolves to, cut to a printable length.
        text: String,
        /// Its length.
        length_bytes: usize,
    },
}

impl InputPath {
    /// The input root itself.
    pub const fn root() -> Self {
        InputPath(String::new())
    }

    /// Reads `text` as seen from `working_directory`. `..` is followed as long as it stays inside the root, by
    /// the text alone; `.` is skipped (real clients send both, checklist E20). The empty text is the working
    /// directory.
    pub fn resolve(working_directory: &InputPath, text: &str) -> Result<Self, InputPathError> {
        check_text(text)?;
        let mut path = working_directory.0.clone();
        for component in text.split('/').filter(|_| !text.is_empty()) {
            match component {
                "." => {}
                ".." if path.is_empty() => {
                    let working_directory = working_directory.clone();
                    return Err(InputPathError::Escapes {
                        text: quoted(text),
                        working_directory,
                    });
                }
                ".." => path.truncate(path.rfind('/').unwrap_or(0)),
                name => {
                    NodeName::check(name).map_err(|source| InputPathError::Name {
                        text: quoted(text),
                        source,
                    })?;
                    if !path.is_empty() {
                        path.push('/');
                    }
                    path.push_str(name);
                }
            }
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(InputPathError::TooLong {
                text: quoted(&path),
                length_bytes: path.len(),
            });
        }
        Ok(InputPath(path))
    }

    /// Reads `text` as seen from the root.
    pub fn new(text: &str) -> Result<Self, InputPathError> {
        Self::resolve(&InputPath::root(), text)
    }

    /// The path; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its names, from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        // The empty text splits into one empty name; it has none.
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The last name; `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// The directory it is in; `None` for the root.
    pub fn parent(&self) -> Option<InputPath> {
        (!self.is_root()).then(|| InputPath(self.0[..self.0.rfind('/').unwrap_or(0)].to_owned()))
    }

    /// Whether `self` is `other` or below it.
    pub fn is_within(&self, other: &InputPath) -> bool {
        other.is_root()
            || self
                .0
                .strip_prefix(&other.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What every path in a message must obey, wherever it starts.
pub(crate) fn check_text(text: &str) -> Result<(), InputPathError> {
    if text.len() > PATH_BYTES_MAX {
        return Err(InputPathError::TooLong {
            text: quoted(text),
            length_bytes: text.len(),
        });
    }
    if text.starts_with('/') {
        return Err(InputPathError::Absolute { text: quoted(text) });
    }
    if text.ends_with('/') {
        return Err(InputPathError::TrailingSlash { text: quoted(text) });
    }
    let mut names = text
        .split('/')
        .filter(|name| !text.is_empty() && !matches!(*name, "." | ".."));
    names
        .try_for_each(NodeName::check)
        .map_err(|source| InputPathError::Name {
            text: quoted(text),
            source,
        })
}

impl AsRef<std::path::Path> for InputPath {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl fmt::Display for InputPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path in a sentence.
struct Place<'a>(&'a InputPath);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_root() {
            f.write_str("the root")
        } else {
            write!(f, "`{}`", self.0)
        }
    }
}

#[cfg(test)]
mod tests;
