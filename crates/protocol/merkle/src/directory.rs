//! One directory: checked, canonical.

use blob::{Blob, Digest, DigestError, DigestFunction};
use bytes::Bytes;
use prost::Message;
use reapi::execution as proto;
use thiserror::Error;

use crate::limits::{DIRECTORY_NODES_MAX, SYMLINK_TARGET_BYTES_MAX, quoted};
use crate::name::{NodeName, NodeNameError};
use crate::node::{DirectoryNode, FileNode, NodeKind, NodeProperties, SymlinkNode};
use crate::wire;

/// A REAPI `Directory` in canonical form: every name legal, every list strictly ascending by the bytes of the
/// name, no name twice.
///
/// Fields that this version of the protocol does not know are dropped on decoding. The digest of a directory
/// that was received is therefore the digest of the bytes that came, never that of encoding it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    files: Vec<FileNode>,
    directories: Vec<DirectoryNode>,
    symlinks: Vec<SymlinkNode>,
    node_properties: Option<Box<NodeProperties>>,
}

/// Why something is not a canonical directory (checklist E26).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DirectoryError {
    /// The bytes are not a `Directory` message.
    #[error("not a Directory message: {reason}")]
    Encoding {
        /// What the decoder says.
        reason: String,
    },
    /// A name that is not one component of a path.
    #[error("{kind}: {source}")]
    Name {
        /// Of which list.
        kind: NodeKind,
        /// What is wrong with it.
        source: NodeNameError,
    },
    /// A list is not ascending.
    #[error("{kind} `{before}` stands before `{after}`; each list must be sorted by the bytes of the name")]
    Unsorted {
        /// Of which list.
        kind: NodeKind,
        /// The name that comes first.
        before: String,
        /// The name that comes second and should not.
        after: String,
    },
    /// One name twice, in one list or in two.
    #[error("name `{name}` stands twice in the directory")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A digest is missing or malformed.
    #[error("{kind} `{name}`: {source}")]
    Digest {
        /// Of which list.
        kind: NodeKind,
        /// Whose.
        name: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// A symlink to nowhere.
    #[error("symlink `{name}` has no target")]
    EmptySymlinkTarget {
        /// The symlink.
        name: String,
    },
    /// A target that no system call takes.
    #[error("the target of symlink `{name}` holds a NUL")]
    NulInSymlinkTarget {
        /// The symlink.
        name: String,
    },
    /// A target that no system call takes.
    #[error(
        "the target of symlink `{name}` has {length_bytes} bytes; at most {} are possible",
        SYMLINK_TARGET_BYTES_MAX
    )]
    LongSymlinkTarget {
        /// The symlink.
        name: String,
        /// The length of its target.
        length_bytes: usize,
    },
    /// Node properties that are unsorted, too many or out of range.
    #[error("node properties of `{node}`: {reason}")]
    NodeProperties {
        /// Whose; empty for the directory itself.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// More nodes than one directory may hold.
    #[error("the directory holds more than {} nodes", DIRECTORY_NODES_MAX)]
    TooManyNodes,
}

impl Directory {
    /// A directory of these nodes, in any order.
    pub fn new(
        mut files: Vec<FileNode>,
        mut directories: Vec<DirectoryNode>,
        mut symlinks: Vec<SymlinkNode>,
        node_properties: Option<NodeProperties>,
    ) -> Result<Self, DirectoryError> {
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        directories.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        symlinks.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut check = Check::default();
        files.into_iter().try_for_each(|node| check.file(node))?;
        directories
            .into_iter()
            .try_for_each(|node| check.directory(node))?;
        symlinks.into_iter().try_for_each(|node| check.symlink(node))?;
        check.finish(node_properties)
    }

    /// Checks a message; `function` is the one of the request that it came with.
    pub fn from_proto(function: DigestFunction, proto: &proto::Directory) -> Result<Self, DirectoryError> {
        let mut check = Check::default();
        for node in &proto.files {
            check.file(FileNode::from_proto(function, node)?)?;
        }
        for node in &proto.directories {
            check.directory(DirectoryNode::from_proto(function, node)?)?;
        }
        for node in &proto.symlinks {
            check.symlink(SymlinkNode::from_proto(node)?)?;
        }
        let properties = proto.node_properties.as_ref();
        check.finish(
            properties
                .map(|proto| NodeProperties::from_proto("", proto))
                .transpose()?,
        )
    }

    /// Decodes and checks a blob. Stops at the first bad node, so what it takes is in proportion to `bytes`.
    pub fn decode(function: DigestFunction, bytes: &[u8]) -> Result<Self, DirectoryError> {
        let mut check = Check::default();
        let mut properties: Option<proto::NodeProperties> = None;
        for record in wire::records(bytes) {
            let record = record?;
            match record.number {
                1 => check.file(FileNode::from_proto(
                    function,
                    &Message::decode(record.payload()?)?,
                )?)?,
                2 => check.directory(DirectoryNode::from_proto(
                    function,
                    &Message::decode(record.payload()?)?,
                )?)?,
                3 => check.symlink(SymlinkNode::from_proto(&Message::decode(record.payload()?)?)?)?,
                // A field that stands several times is one message in pieces.
                5 => properties.get_or_insert_default().merge(record.payload()?)?,
                _ => {}
            }
        }
        check.finish(
            properties
                .map(|proto| NodeProperties::from_proto("", &proto))
                .transpose()?,
        )
    }

    /// Made of parts whose order and names are right by construction.
    pub(crate) fn assembled(
        files: Vec<FileNode>,
        directories: Vec<DirectoryNode>,
        symlinks: Vec<SymlinkNode>,
        node_properties: Option<NodeProperties>,
    ) -> Self {
        Directory {
            files,
            directories,
            symlinks,
            node_properties: node_properties.map(Box::new),
        }
    }

    /// The way out.
    pub fn to_proto(&self) -> proto::Directory {
        proto::Directory {
            files: self.files.iter().map(FileNode::to_proto).collect(),
            directories: self.directories.iter().map(DirectoryNode::to_proto).collect(),
            symlinks: self.symlinks.iter().map(SymlinkNode::to_proto).collect(),
            node_properties: self.node_properties.as_deref().map(NodeProperties::to_proto),
        }
    }

    /// The canonical encoding: fields in the order of their numbers.
    pub fn encode(&self) -> Bytes {
        self.to_proto().encode_to_vec().into()
    }

    /// The canonical encoding as a blob.
    pub fn blob(&self, function: DigestFunction) -> Blob {
        Blob::from_bytes(function, self.encode())
    }

    /// The digest of the canonical encoding.
    pub fn digest(&self, function: DigestFunction) -> Digest {
        Digest::of(function, &self.encode())
    }

    /// Ascending by name.
    pub fn files(&self) -> &[FileNode] {
        &self.files
    }

    /// Ascending by name.
    pub fn directories(&self) -> &[DirectoryNode] {
        &self.directories
    }

    /// Ascending by name.
    pub fn symlinks(&self) -> &[SymlinkNode] {
        &self.symlinks
    }

    /// Those of the directory itself.
    pub fn node_properties(&self) -> Option<&NodeProperties> {
        self.node_properties.as_deref()
    }

    /// Files, directories and symlinks together.
    pub fn node_count(&self) -> usize {
        self.files.len() + self.directories.len() + self.symlinks.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.node_count() == 0
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&FileNode> {
        self.files
            .binary_search_by(|node| node.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.files[at])
    }

    /// The directory of this name.
    pub fn directory(&self, name: &str) -> Option<&DirectoryNode> {
        self.directories
            .binary_search_by(|node| node.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.directories[at])
    }

    /// The symlink of this name.
    pub fn symlink(&self, name: &str) -> Option<&SymlinkNode> {
        self.symlinks
            .binary_search_by(|node| node.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.symlinks[at])
    }
}

impl From<wire::WireError> for DirectoryError {
    fn from(error: wire::WireError) -> Self {
        DirectoryError::Encoding {
            reason: error.to_string(),
        }
    }
}

impl From<prost::DecodeError> for DirectoryError {
    fn from(error: prost::DecodeError) -> Self {
        DirectoryError::Encoding {
            reason: error.to_string(),
        }
    }
}

/// A directory while its nodes come in.
#[derive(Default)]
struct Check {
    directory: Directory,
}

impl Check {
    fn file(&mut self, node: FileNode) -> Result<(), DirectoryError> {
        self.follows(
            NodeKind::File,
            self.directory.files.last().map(|last| &last.name),
            &node.name,
        )?;
        self.directory.files.push(node);
        Ok(())
    }

    fn directory(&mut self, node: DirectoryNode) -> Result<(), DirectoryError> {
        self.follows(
            NodeKind::Directory,
            self.directory.directories.last().map(|last| &last.name),
            &node.name,
        )?;
        self.directory.directories.push(node);
        Ok(())
    }

    fn symlink(&mut self, node: SymlinkNode) -> Result<(), DirectoryError> {
        self.follows(
            NodeKind::Symlink,
            self.directory.symlinks.last().map(|last| &last.name),
            &node.name,
        )?;
        self.directory.symlinks.push(node);
        Ok(())
    }

    fn follows(
        &self,
        kind: NodeKind,
        last: Option<&NodeName>,
        name: &NodeName,
    ) -> Result<(), DirectoryError> {
        if self.directory.node_count() >= DIRECTORY_NODES_MAX {
            return Err(DirectoryError::TooManyNodes);
        }
        match last.map(|last| (last.cmp(name), last)) {
            None | Some((std::cmp::Ordering::Less, _)) => Ok(()),
            Some((std::cmp::Ordering::Equal, _)) => Err(duplicate(name)),
            Some((std::cmp::Ordering::Greater, last)) => Err(DirectoryError::Unsorted {
                kind,
                before: quoted(last.as_str()),
                after: quoted(name.as_str()),
            }),
        }
    }

    fn finish(mut self, node_properties: Option<NodeProperties>) -> Result<Directory, DirectoryError> {
        let Directory {
            files,
            directories,
            symlinks,
            ..
        } = &self.directory;
        let files = || files.iter().map(|node| &node.name);
        let directories = || directories.iter().map(|node| &node.name);
        let symlinks = || symlinks.iter().map(|node| &node.name);
        let common = common(files(), directories())
            .or_else(|| common(files(), symlinks()))
            .or_else(|| common(directories(), symlinks()));
        if let Some(name) = common {
            return Err(duplicate(name));
        }
        self.directory.node_properties = node_properties.map(Box::new);
        Ok(self.directory)
    }
}

fn duplicate(name: &NodeName) -> DirectoryError {
    DirectoryError::Duplicate {
        name: quoted(name.as_str()),
    }
}

/// The first name that stands in both ascending lists.
fn common<'a>(
    mut a: impl Iterator<Item = &'a NodeName>,
    mut b: impl Iterator<Item = &'a NodeName>,
) -> Option<&'a NodeName> {
    let (mut left, mut right) = (a.next()?, b.next()?);
    loop {
        match left.cmp(right) {
            std::cmp::Ordering::Less => left = a.next()?,
            std::cmp::Ordering::Greater => right = b.next()?,
            std::cmp::Ordering::Equal => return Some(left),
        }
    }
}

#[cfg(test)]
mod tests;
