//! What a directory holds: files, directories, symlinks.

use std::fmt;

use blob::{Digest, DigestError, DigestFunction};
use prost_types::Timestamp;
use reapi::execution as proto;

use crate::directory::DirectoryError;
use crate::limits::{NODE_PROPERTIES_MAX, SYMLINK_TARGET_BYTES_MAX, quoted};
use crate::name::NodeName;

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNode {
    /// Its name.
    pub name: NodeName,
    /// Its content.
    pub digest: Digest,
    /// Whether it may be run.
    pub is_executable: bool,
    /// Modification time, mode and the like, where given. Boxed: hardly ever there.
    pub node_properties: Option<Box<NodeProperties>>,
}

/// A directory in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryNode {
    /// Its name.
    pub name: NodeName,
    /// The digest of its encoded `Directory`.
    pub digest: Digest,
}

/// A symlink in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymlinkNode {
    /// Its name.
    pub name: NodeName,
    /// Where it points to.
    pub target: SymlinkTarget,
    /// Modification time, mode and the like, where given.
    pub node_properties: Option<Box<NodeProperties>>,
}

/// What a symlink says: not empty, without NUL, at most [`SYMLINK_TARGET_BYTES_MAX`] bytes. Otherwise free:
/// absolute, with `..`, or dangling, it is kept verbatim (`SymlinkAbsolutePathStrategy.ALLOWED`). Whoever follows
/// it must do so inside a confined root.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymlinkTarget(Box<str>);

/// Properties of a node beside its content, sorted by name as REAPI asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeProperties {
    properties: Vec<(String, String)>,
    mtime: Option<Timestamp>,
    unix_mode: Option<u32>,
}

/// The three kinds of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink.
    Symlink,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeKind::File => "file",
            NodeKind::Directory => "directory",
            NodeKind::Symlink => "symlink",
        })
    }
}

impl SymlinkTarget {
    /// Checks a target; `name` is the symlink's, for the message.
    pub fn new(name: &str, target: &str) -> Result<Self, DirectoryError> {
        if target.is_empty() {
            return Err(DirectoryError::EmptySymlinkTarget { name: quoted(name) });
        }
        if target.contains('\0') {
            return Err(DirectoryError::NulInSymlinkTarget { name: quoted(name) });
        }
        if target.len() > SYMLINK_TARGET_BYTES_MAX {
            return Err(DirectoryError::LongSymlinkTarget {
                name: quoted(name),
                length_bytes: target.len(),
            });
        }
        Ok(SymlinkTarget(target.into()))
    }

    /// The target.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SymlinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NodeProperties {
    /// Properties with a known field each, none of the free ones.
    pub fn new(mtime: Option<Timestamp>, unix_mode: Option<u32>) -> Self {
        NodeProperties {
            properties: Vec::new(),
            mtime,
            unix_mode,
        }
    }

    /// The free ones: name and value, ascending by name.
    pub fn properties(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Time of last modification.
    pub fn mtime(&self) -> Option<Timestamp> {
        self.mtime
    }

    /// Permission bits.
    pub fn unix_mode(&self) -> Option<u32> {
        self.unix_mode
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == NodeProperties::default()
    }

    /// Checks a proto; `node` names what it belongs to, for the message.
    pub(crate) fn from_proto(node: &str, proto: &proto::NodeProperties) -> Result<Self, DirectoryError> {
        let bad = |reason: String| DirectoryError::NodeProperties {
            node: quoted(node),
            reason,
        };
        if proto.properties.len() > NODE_PROPERTIES_MAX {
            return Err(bad(format!(
                "{} properties; at most {NODE_PROPERTIES_MAX} are possible",
                proto.properties.len()
            )));
        }
        if let Some(pair) = proto
            .properties
            .windows(2)
            .find(|pair| pair[0].name > pair[1].name)
        {
            let [before, after] = [&pair[0].name, &pair[1].name].map(|name| quoted(name));
            return Err(bad(format!(
                "`{before}` stands before `{after}`; they must be sorted by name"
            )));
        }
        if proto
            .properties
            .first()
            .is_some_and(|property| property.name.is_empty())
        {
            return Err(bad("a property has no name".to_owned()));
        }
        if let Some(mtime) = proto
            .mtime
            .filter(|mtime| !(0..1_000_000_000).contains(&mtime.nanos))
        {
            return Err(bad(format!(
                "mtime has {} nanoseconds; 0 to 999999999 are possible",
                mtime.nanos
            )));
        }
        Ok(NodeProperties {
            properties: proto
                .properties
                .iter()
                .map(|property| (property.name.clone(), property.value.clone()))
                .collect(),
            mtime: proto.mtime,
            unix_mode: proto.unix_mode,
        })
    }

    /// The way out.
    pub fn to_proto(&self) -> proto::NodeProperties {
        proto::NodeProperties {
            properties: self
                .properties
                .iter()
                .map(|(name, value)| proto::NodeProperty {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            mtime: self.mtime,
            unix_mode: self.unix_mode,
        }
    }
}

fn name(kind: NodeKind, name: &str) -> Result<NodeName, DirectoryError> {
    NodeName::new(name).map_err(|source| DirectoryError::Name { kind, source })
}

fn digest(
    function: DigestFunction,
    kind: NodeKind,
    name: &str,
    proto: Option<&proto::Digest>,
) -> Result<Digest, DirectoryError> {
    Digest::required(function, proto, "digest").map_err(|source: DigestError| DirectoryError::Digest {
        kind,
        name: quoted(name),
        source,
    })
}

fn properties(
    name: &str,
    proto: Option<&proto::NodeProperties>,
) -> Result<Option<Box<NodeProperties>>, DirectoryError> {
    proto
        .map(|proto| NodeProperties::from_proto(name, proto).map(Box::new))
        .transpose()
}

impl FileNode {
    pub(crate) fn from_proto(
        function: DigestFunction,
        proto: &proto::FileNode,
    ) -> Result<Self, DirectoryError> {
        Ok(FileNode {
            name: name(NodeKind::File, &proto.name)?,
            digest: digest(function, NodeKind::File, &proto.name, proto.digest.as_ref())?,
            is_executable: proto.is_executable,
            node_properties: properties(&proto.name, proto.node_properties.as_ref())?,
        })
    }

    pub(crate) fn to_proto(&self) -> proto::FileNode {
        proto::FileNode {
            name: self.name.as_str().to_owned(),
            digest: Some(self.digest.to_proto()),
            is_executable: self.is_executable,
            node_properties: self.node_properties.as_deref().map(NodeProperties::to_proto),
        }
    }
}

impl DirectoryNode {
    pub(crate) fn from_proto(
        function: DigestFunction,
        proto: &proto::DirectoryNode,
    ) -> Result<Self, DirectoryError> {
        Ok(DirectoryNode {
            name: name(NodeKind::Directory, &proto.name)?,
            digest: digest(function, NodeKind::Directory, &proto.name, proto.digest.as_ref())?,
        })
    }

    pub(crate) fn to_proto(&self) -> proto::DirectoryNode {
        proto::DirectoryNode {
            name: self.name.as_str().to_owned(),
            digest: Some(self.digest.to_proto()),
        }
    }
}

impl SymlinkNode {
    pub(crate) fn from_proto(proto: &proto::SymlinkNode) -> Result<Self, DirectoryError> {
        Ok(SymlinkNode {
            name: name(NodeKind::Symlink, &proto.name)?,
            target: SymlinkTarget::new(&proto.name, &proto.target)?,
            node_properties: properties(&proto.name, proto.node_properties.as_ref())?,
        })
    }

    pub(crate) fn to_proto(&self) -> proto::SymlinkNode {
        proto::SymlinkNode {
            name: self.name.as_str().to_owned(),
            target: self.target.as_str().to_owned(),
            node_properties: self.node_properties.as_deref().map(NodeProperties::to_proto),
        }
    }
}
