//! Which part of a server a request speaks to.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// An instance name: possibly empty, possibly with slashes, never one that would make a resource name ambiguous.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceName(Arc<str>);

/// Why something is not an instance name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstanceNameError {
    /// A segment that resource names use as a keyword (`ByteStream` naming rules, checklist G3).
    #[error("instance name `{name}` contains the reserved segment `{segment}`")]
    ReservedSegment {
        /// The name as sent.
        name: String,
        /// The segment.
        segment: &'static str,
    },
    /// A leading, trailing or doubled slash.
    #[error(
        "instance name `{name}` has an empty segment; write it without leading, trailing or double slashes"
    )]
    EmptySegment {
        /// The name as sent.
        name: String,
    },
    /// A segment that a file system would interpret, or a control character.
    #[error("instance name {name:?} contains {found:?}, which no instance name may contain")]
    Unprintable {
        /// The name as sent.
        name: String,
        /// What stood in it.
        found: String,
    },
    /// Longer than [`InstanceName::LENGTH_BYTES_MAX`].
    #[error(
        "instance name has {length_bytes} bytes; at most {} are allowed",
        InstanceName::LENGTH_BYTES_MAX
    )]
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
}

/// Segments that may not stand in an instance name.
const RESERVED_SEGMENTS: [&str; 7] = [
    "blobs",
    "uploads",
    "actions",
    "actionResults",
    "operations",
    "capabilities",
    "compressed-blobs",
];

impl InstanceName {
    /// Longest name taken, in bytes.
    pub const LENGTH_BYTES_MAX: usize = 255;

    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, InstanceNameError> {
        if name.is_empty() {
            return Ok(Self::default());
        }
        if name.len() > Self::LENGTH_BYTES_MAX {
            return Err(InstanceNameError::TooLong {
                length_bytes: name.len(),
            });
        }
        let named = || name.to_owned();
        if let Some(found) = name.chars().find(|character| character.is_control()) {
            return Err(InstanceNameError::Unprintable {
                name: named(),
                found: found.to_string(),
            });
        }
        for segment in name.split('/') {
            if segment.is_empty() {
                return Err(InstanceNameError::EmptySegment { name: named() });
            }
            if segment == "." || segment == ".." {
                return Err(InstanceNameError::Unprintable {
                    name: named(),
                    found: segment.to_owned(),
                });
            }
            if let Some(segment) = RESERVED_SEGMENTS
                .into_iter()
                .find(|reserved| *reserved == segment)
            {
                return Err(InstanceNameError::ReservedSegment {
                    name: named(),
                    segment,
                });
            }
        }
        Ok(InstanceName(name.into()))
    }

    /// The name; `""` is the unnamed instance.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InstanceName {
    /// The unnamed instance.
    fn default() -> Self {
        InstanceName("".into())
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_without_anything_are_legal() {
        for name in ["", "main", "team/a", "a/b/c/d", "blobs2", "Blobs"] {
            assert_eq!(InstanceName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn ambiguous_names_are_refused() {
        for segment in RESERVED_SEGMENTS {
            for name in [segment.to_owned(), format!("a/{segment}"), format!("{segment}/b")] {
                assert!(matches!(
                    InstanceName::new(&name),
                    Err(InstanceNameError::ReservedSegment { .. })
                ));
            }
        }
        for name in ["/", "/a", "a/", "a//b"] {
            assert!(matches!(
                InstanceName::new(name),
                Err(InstanceNameError::EmptySegment { .. })
            ));
        }
        for name in ["..", "a/../b", "a\0b", "a\nb", "."] {
            assert!(matches!(
                InstanceName::new(name),
                Err(InstanceNameError::Unprintable { .. })
            ));
        }
        assert!(matches!(
            InstanceName::new(&"a".repeat(256)),
            Err(InstanceNameError::TooLong { .. })
        ));
    }
}
