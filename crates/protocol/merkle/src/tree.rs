//! REAPI's `Tree`: a whole tree of directories in one message.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use blob::{Blob, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use prost::Message;
use reapi::execution as proto;
use thiserror::Error;

use crate::directory::{Directory, DirectoryError};
use crate::input_tree::{InputTree, TreeBoundError};
use crate::limits::{TREE_DIRECTORIES_MAX, TREE_NODES_MAX};
use crate::wire;

/// A complete tree: every directory canonical, every one that is referred to present.
///
/// It encodes as `OutputDirectory.is_topologically_sorted` promises (checklist E24): the root, then the
/// children, parents before children, each distinct directory once, none that nobody refers to, always in the
/// same order.
#[derive(Clone, Debug)]
pub struct Tree {
    function: DigestFunction,
    tree: InputTree,
    /// The encoding of each directory as it came: its digest is that of these bytes.
    encoded: HashMap<Digest, Bytes>,
}

/// Why something is not a complete tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The bytes are not a `Tree` message.
    #[error("not a Tree message: {reason}")]
    Encoding {
        /// What the decoder says.
        reason: String,
    },
    /// There is no root.
    #[error("the Tree has no root directory")]
    MissingRoot,
    /// There are several roots.
    #[error("the Tree has more than one root directory")]
    SeveralRoots,
    /// A directory is not canonical.
    #[error("{}: {source}", match position { None => "root of the Tree".to_owned(), Some(at) => format!("child {at} of the Tree") })]
    Directory {
        /// Which child, counted from 0; `None` is the root.
        position: Option<usize>,
        /// What is wrong with it.
        source: DirectoryError,
    },
    /// Directories are referred to and not there.
    #[error("{} directories that the Tree refers to are not in it, {} among them", missing.len(), missing.as_slice()[0])]
    MissingDirectories {
        /// Which; never empty.
        missing: DigestSet,
    },
    /// The tree is beyond what is handled here.
    #[error(transparent)]
    Bound(#[from] TreeBoundError),
}

/// `Tree` with its directories left as bytes; a message and its bytes look the same on the wire.
#[derive(Clone, PartialEq, Message)]
struct EncodedTree {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    root: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    children: Vec<Bytes>,
}

impl Tree {
    /// A tree of a root and children in any order. Children that nobody refers to are left out.
    pub fn from_directories(
        function: DigestFunction,
        root: Directory,
        children: impl IntoIterator<Item = Directory>,
    ) -> Result<Self, TreeError> {
        let mut parts = Parts::new(function);
        let encoded = root.encode();
        parts.add(encoded, root)?;
        for child in children {
            parts.add(child.encode(), child)?;
        }
        parts.assemble()
    }

    /// Checks a message. Digests are those of encoding each directory anew, so a tree with fields that are not
    /// known here is better read by [`decode`](Self::decode).
    pub fn from_proto(function: DigestFunction, proto: &proto::Tree) -> Result<Self, TreeError> {
        let root = proto.root.as_ref().ok_or(TreeError::MissingRoot)?;
        let mut parts = Parts::new(function);
        for (position, directory) in std::iter::once((None, root)).chain(numbered(&proto.children)) {
            let directory = Directory::from_proto(function, directory)
                .map_err(|source| TreeError::Directory { position, source })?;
            parts.add(directory.encode(), directory)?;
        }
        parts.assemble()
    }

    /// Decodes and checks a blob. Children may stand in any order; those that nobody refers to must be
    /// canonical too and are then left out.
    pub fn decode(function: DigestFunction, bytes: impl Into<Bytes>) -> Result<Self, TreeError> {
        let bytes = bytes.into();
        let (mut root, mut children) = (None, Vec::new());
        for record in wire::records(&bytes) {
            let record = record?;
            match record.number {
                1 if root.is_some() => return Err(TreeError::SeveralRoots),
                1 => root = Some(bytes.slice_ref(record.payload()?)),
                2 if children.len() >= TREE_DIRECTORIES_MAX => {
                    let root = root.map_or(Digest::empty(function), |root| Digest::of(function, &root));
                    return Err(TreeBoundError::TooManyDirectories { root }.into());
                }
                2 => children.push(bytes.slice_ref(record.payload()?)),
                _ => {}
            }
        }
        let root = root.ok_or(TreeError::MissingRoot)?;
        let mut parts = Parts::new(function);
        for (position, encoded) in std::iter::once((None, root)).chain(numbered(children)) {
            let directory = Directory::decode(function, &encoded)
                .map_err(|source| TreeError::Directory { position, source })?;
            parts.add(encoded, directory)?;
        }
        parts.assemble()
    }

    /// The way out, in the order of [`encode`](Self::encode).
    pub fn to_proto(&self) -> proto::Tree {
        let mut directories = self
            .tree
            .directories_in_order()
            .map(|(_, directory)| directory.to_proto());
        proto::Tree {
            root: directories.next(),
            children: directories.collect(),
        }
    }

    /// The canonical, topologically sorted encoding.
    pub fn encode(&self) -> Bytes {
        let mut directories = self
            .tree
            .directories_in_order()
            .map(|(digest, _)| self.encoded[&digest].clone());
        let root = directories.by_ref().take(1).collect();
        EncodedTree {
            root,
            children: directories.collect(),
        }
        .encode_to_vec()
        .into()
    }

    /// The encoding as a blob.
    pub fn blob(&self) -> Blob {
        Blob::from_bytes(self.function, self.encode())
    }

    /// The blobs of all directories, the root first, parents before children: what
    /// `OutputDirectory.root_directory_digest` needs in the CAS.
    pub fn directory_blobs(&self) -> impl Iterator<Item = Blob> {
        self.tree.directories_in_order().map(|(digest, _)| {
            Blob::verified(digest, self.encoded[&digest].clone())
                .expect("each encoding is kept under its digest")
        })
    }

    /// The digest of the root directory (not of the tree's own blob).
    pub fn root_digest(&self) -> Digest {
        self.tree.root()
    }

    /// The root directory.
    pub fn root(&self) -> &Directory {
        &self.tree.directories()[&self.tree.root()]
    }

    /// The digests of all files, each once, ascending.
    pub fn file_digests(&self) -> impl Iterator<Item = Digest> {
        self.tree.files().iter().copied()
    }

    /// The digests of all directories, each once, the root first, parents before children.
    pub fn directory_digests(&self) -> impl Iterator<Item = Digest> {
        self.tree.directories_in_order().map(|(digest, _)| digest)
    }

    /// For walking through it.
    pub fn as_input_tree(&self) -> &InputTree {
        &self.tree
    }

    /// For keeping only what is needed to walk through it.
    pub fn into_input_tree(self) -> InputTree {
        self.tree
    }
}

impl From<wire::WireError> for TreeError {
    fn from(error: wire::WireError) -> Self {
        TreeError::Encoding {
            reason: error.to_string(),
        }
    }
}

fn numbered<T>(children: impl IntoIterator<Item = T>) -> impl Iterator<Item = (Option<usize>, T)> {
    children
        .into_iter()
        .enumerate()
        .map(|(at, child)| (Some(at), child))
}

/// A tree while its directories come in, the root first.
pub(crate) struct Parts {
    function: DigestFunction,
    root: Option<Digest>,
    directories: HashMap<Digest, (Bytes, Arc<Directory>)>,
    nodes: usize,
}

impl Parts {
    pub(crate) fn new(function: DigestFunction) -> Self {
        Parts {
            function,
            root: None,
            directories: HashMap::new(),
            nodes: 0,
        }
    }

    pub(crate) fn add(&mut self, encoded: Bytes, directory: Directory) -> Result<(), TreeError> {
        let digest = Digest::of(self.function, &encoded);
        let root = *self.root.get_or_insert(digest);
        if let hash_map::Entry::Vacant(vacant) = self.directories.entry(digest) {
            self.nodes += directory.node_count();
            vacant.insert((encoded, Arc::new(directory)));
        }
        if self.nodes > TREE_NODES_MAX {
            return Err(TreeBoundError::TooManyNodes { root }.into());
        }
        if self.directories.len() > TREE_DIRECTORIES_MAX {
            return Err(TreeBoundError::TooManyDirectories { root }.into());
        }
        Ok(())
    }

    pub(crate) fn assemble(mut self) -> Result<Tree, TreeError> {
        let root = self.root.ok_or(TreeError::MissingRoot)?;
        let (mut directories, mut encoded) = (HashMap::new(), HashMap::new());
        let mut missing = Vec::new();
        let mut referred = vec![root];
        while let Some(digest) = referred.pop() {
            if directories.contains_key(&digest) {
                continue;
            }
            let (bytes, directory) = match self.directories.remove(&digest) {
                Some(part) => part,
                // The empty directory is there even where it is left out (checklist G6).
                None if digest.is_empty() => Default::default(),
                None => {
                    missing.push(digest);
                    continue;
                }
            };
            referred.extend(directory.directories().iter().map(|node| node.digest));
            directories.insert(digest, directory);
            encoded.insert(digest, bytes);
        }
        if !missing.is_empty() {
            return Err(TreeError::MissingDirectories {
                missing: missing.into_iter().collect(),
            });
        }
        let tree = InputTree::assemble(root, directories, DigestSet::default())?;
        Ok(Tree {
            function: self.function,
            tree,
            encoded,
        })
    }
}

#[cfg(test)]
mod tests;
