//! The name of one node in a directory.

use std::borrow::Borrow;
use std::fmt;

use thiserror::Error;

use crate::limits::{NODE_NAME_BYTES_MAX, quoted};

/// One component of a path: not empty, not `.` or `..`, without `/` and NUL, at most
/// [`NODE_NAME_BYTES_MAX`] bytes of UTF-8. Joining such names can never leave the directory they are joined to.
///
/// Ordered by bytes, which is the order that REAPI asks of a `Directory`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Box<str>);

/// Why something is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeNameError {
    /// No characters at all: an empty name, a doubled, leading or trailing slash.
    #[error("a name is empty")]
    Empty,
    /// `.` or `..`.
    #[error("`{name}` is not a name")]
    Dots {
        /// Which of the two.
        name: &'static str,
    },
    /// A slash or a NUL inside.
    #[error("name `{name}` holds {}", if *character == '/' { "a slash" } else { "a NUL" })]
    Character {
        /// The name, cut to a printable length.
        name: String,
        /// The first offending character.
        character: char,
    },
    /// Longer than a file system takes.
    #[error(
        "name `{name}` has {length_bytes} bytes; at most {} are possible",
        NODE_NAME_BYTES_MAX
    )]
    TooLong {
        /// The name, cut to a printable length.
        name: String,
        /// Its length.
        length_bytes: usize,
    },
    /// REAPI carries names as text, so other bytes cannot be expressed.
    #[error("name `{name}` is not UTF-8, and the protocol has no way to carry it")]
    NotUtf8 {
        /// The name with replacement characters, cut to a printable length.
        name: String,
    },
}

impl NodeName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NodeNameError> {
        Self::check(name)?;
        Ok(NodeName(name.into()))
    }

    /// Checks a name as the file system gives it.
    pub fn from_bytes(name: &[u8]) -> Result<Self, NodeNameError> {
        let text = std::str::from_utf8(name).map_err(|_| NodeNameError::NotUtf8 {
            name: quoted(&String::from_utf8_lossy(name)),
        })?;
        Self::new(text)
    }

    /// Whether `name` would be accepted, without keeping it.
    pub fn check(name: &str) -> Result<(), NodeNameError> {
        match name {
            "" => return Err(NodeNameError::Empty),
            "." => return Err(NodeNameError::Dots { name: "." }),
            ".." => return Err(NodeNameError::Dots { name: ".." }),
            _ => {}
        }
        if name.len() > NODE_NAME_BYTES_MAX {
            return Err(NodeNameError::TooLong {
                name: quoted(name),
                length_bytes: name.len(),
            });
        }
        match name.bytes().find(|byte| matches!(byte, b'/' | 0)) {
            Some(byte) => Err(NodeNameError::Character {
                name: quoted(name),
                character: byte.into(),
            }),
            None => Ok(()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for NodeName {
    type Error = NodeNameError;

    fn try_from(name: &str) -> Result<Self, NodeNameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(name: String) -> Result<Self, NodeNameError> {
        Self::check(&name)?;
        Ok(NodeName(name.into_boxed_str()))
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Hash and order are those of the text, so maps keyed by names are searched by `&str`.
impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_names_are_kept() {
        for name in [
            "a",
            "...",
            ".hidden",
            "a b",
            "été",
            "-rf",
            "a\\b",
            "a\nb",
            &"x".repeat(NODE_NAME_BYTES_MAX),
        ] {
            assert_eq!(NodeName::new(name).unwrap().as_str(), name);
            assert_eq!(NodeName::from_bytes(name.as_bytes()).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_could_leave_a_directory_is_refused() {
        assert_eq!(NodeName::new(""), Err(NodeNameError::Empty));
        assert_eq!(NodeName::new("."), Err(NodeNameError::Dots { name: "." }));
        assert_eq!(NodeName::new(".."), Err(NodeNameError::Dots { name: ".." }));
        for (name, character) in [("a/b", '/'), ("/", '/'), ("a\0", '\0')] {
            assert_eq!(
                NodeName::new(name),
                Err(NodeNameError::Character {
                    name: name.to_owned(),
                    character
                })
            );
        }
        assert!(matches!(
            NodeName::new(&"é".repeat(128)),
            Err(NodeNameError::TooLong {
                length_bytes: 256,
                ..
            })
        ));
        assert!(matches!(
            NodeName::from_bytes(b"a\xff"),
            Err(NodeNameError::NotUtf8 { .. })
        ));
    }

    #[test]
    fn messages_do_not_repeat_a_megabyte() {
        let message = NodeName::new(&"é".repeat(1 << 20)).unwrap_err().to_string();
        assert!(message.len() < 500, "{message}");
    }

    #[test]
    fn order_is_by_bytes() {
        let [a, b] = ["Z", "a"].map(|name| NodeName::new(name).unwrap());
        assert!(a < b);
    }
}
