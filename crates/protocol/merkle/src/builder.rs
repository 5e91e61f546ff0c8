//! Making a tree, one path at a time.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::btree_map;

use blob::{Blob, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use thiserror::Error;

use crate::directory::{Directory, DirectoryError};
use crate::input_tree::{TreePathError, components};
use crate::limits::{DIRECTORY_NODES_MAX, TREE_DEPTH_MAX, TREE_DIRECTORIES_MAX, TREE_NODES_MAX, quoted};
use crate::name::NodeName;
use crate::node::{DirectoryNode, FileNode, NodeKind, NodeProperties, SymlinkNode, SymlinkTarget};
use crate::shape::survey;
use crate::tree::{Parts, Tree};

/// Takes files, symlinks and directories at relative paths in any order and makes the directories for them.
/// Parents come by themselves. The result depends on what was inserted, never on the order.
#[derive(Clone, Debug)]
pub struct TreeBuilder {
    /// The root first; every directory after its parent.
    directories: Vec<Growing>,
    nodes: usize,
}

#[derive(Clone, Debug, Default)]
struct Growing {
    nodes: BTreeMap<NodeName, Node>,
    node_properties: Option<NodeProperties>,
}

#[derive(Clone, Debug)]
enum Node {
    /// Where in `TreeBuilder::directories`.
    Directory(usize),
    File {
        digest: Digest,
        is_executable: bool,
        node_properties: Option<Box<NodeProperties>>,
    },
    Symlink {
        target: SymlinkTarget,
        node_properties: Option<Box<NodeProperties>>,
    },
}

/// A finished tree.
#[derive(Clone, Debug)]
pub struct BuiltTree {
    /// The digest of the root directory.
    pub root: Digest,
    /// Each distinct directory once, the root first, parents before children.
    pub directories: Vec<(Digest, Directory)>,
}

/// Why something cannot be in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TreeBuildError {
    /// Not a relative path of legal names.
    #[error(transparent)]
    Path(#[from] TreePathError),
    /// The root is a directory and nothing else.
    #[error("a {kind} cannot stand at the root of the tree: its path is empty")]
    Root {
        /// What was to be inserted.
        kind: NodeKind,
    },
    /// Something else is there already.
    #[error("cannot put a {kind} at `{path}`: `{at}` is already there as {}", match existing { NodeKind::File => "a file", NodeKind::Directory => "a directory", NodeKind::Symlink => "a symlink" })]
    Conflict {
        /// Where it was to go.
        path: String,
        /// What it is.
        kind: NodeKind,
        /// Where the other one is: the same path, or one above it.
        at: String,
        /// What the other one is.
        existing: NodeKind,
    },
    /// The symlink's target is not possible.
    #[error(transparent)]
    SymlinkTarget(DirectoryError),
    /// Nothing is there that could have properties.
    #[error("`{path}` is not in the tree, so it cannot have node properties")]
    NoSuchNode {
        /// Where they were to go.
        path: String,
    },
    /// Deeper than [`TREE_DEPTH_MAX`].
    #[error("`{path}` is deeper than {} directories", TREE_DEPTH_MAX)]
    TooDeep {
        /// Where it was to go.
        path: String,
    },
    /// More than [`DIRECTORY_NODES_MAX`], [`TREE_NODES_MAX`] or [`TREE_DIRECTORIES_MAX`].
    #[error(
        "no room for `{path}`: a directory takes {} nodes, a tree {} nodes and {} directories",
        DIRECTORY_NODES_MAX,
        TREE_NODES_MAX,
        TREE_DIRECTORIES_MAX
    )]
    TooManyNodes {
        /// Where it was to go.
        path: String,
    },
    /// One tree uses one digest function (checklist G7).
    #[error("file `{name}` has digest {digest}, but the tree is built with {}", function.name())]
    MixedFunctions {
        /// The file.
        name: String,
        /// Its digest.
        digest: Digest,
        /// The tree's function.
        function: DigestFunction,
    },
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// An empty tree.
    pub fn new() -> Self {
        TreeBuilder {
            directories: vec![Growing::default()],
            nodes: 0,
        }
    }

    /// Puts a file at `path`. The same file twice is fine; another one is a conflict.
    pub fn insert_file(
        &mut self,
        path: &str,
        digest: Digest,
        is_executable: bool,
    ) -> Result<(), TreeBuildError> {
        self.insert(
            path,
            NodeKind::File,
            Node::File {
                digest,
                is_executable,
                node_properties: None,
            },
        )
    }

    /// Puts a symlink at `path`; its target is kept verbatim. The same symlink twice is fine.
    pub fn insert_symlink(&mut self, path: &str, target: &str) -> Result<(), TreeBuildError> {
        let target = SymlinkTarget::new(path, target).map_err(TreeBuildError::SymlinkTarget)?;
        self.insert(
            path,
            NodeKind::Symlink,
            Node::Symlink {
                target,
                node_properties: None,
            },
        )
    }

    /// Makes sure that there is a directory at `path`; the root, at the empty path, always is.
    pub fn insert_directory(&mut self, path: &str) -> Result<(), TreeBuildError> {
        let components = components(path)?;
        self.directory(path, &components, NodeKind::Directory)?;
        Ok(())
    }

    /// Gives properties to what is at `path`, in place of those it had.
    pub fn set_node_properties(
        &mut self,
        path: &str,
        properties: NodeProperties,
    ) -> Result<(), TreeBuildError> {
        let components = components(path)?;
        let no_such_node = || TreeBuildError::NoSuchNode { path: quoted(path) };
        let mut at = 0;
        for (position, name) in components.iter().enumerate() {
            let is_last = position + 1 == components.len();
            match self.directories[at]
                .nodes
                .get_mut(*name)
                .ok_or_else(no_such_node)?
            {
                Node::Directory(child) => at = *child,
                Node::File { node_properties, .. } | Node::Symlink { node_properties, .. } if is_last => {
                    *node_properties = Some(Box::new(properties));
                    return Ok(());
                }
                _ => return Err(no_such_node()),
            }
        }
        self.directories[at].node_properties = Some(properties);
        Ok(())
    }

    fn insert(&mut self, path: &str, kind: NodeKind, node: Node) -> Result<(), TreeBuildError> {
        let components = components(path)?;
        let Some((last, parents)) = components.split_last() else {
            return Err(TreeBuildError::Root { kind });
        };
        let parent = self.directory(path, parents, kind)?;
        let room = self.has_room(parent);
        match self.directories[parent].nodes.entry(name(last)) {
            btree_map::Entry::Occupied(present) if present.get().is_same(&node) => return Ok(()),
            btree_map::Entry::Occupied(present) => {
                return Err(conflict(path, kind, &components, present.get().kind()));
            }
            btree_map::Entry::Vacant(_) if !room => {
                return Err(TreeBuildError::TooManyNodes { path: quoted(path) });
            }
            btree_map::Entry::Vacant(vacant) => vacant.insert(node),
        };
        self.nodes += 1;
        Ok(())
    }

    /// The directory at `components`, made where it is not there; `path` and `kind` are what it is wanted for.
    fn directory(
        &mut self,
        path: &str,
        components: &[&str],
        kind: NodeKind,
    ) -> Result<usize, TreeBuildError> {
        if components.len() >= TREE_DEPTH_MAX {
            return Err(TreeBuildError::TooDeep { path: quoted(path) });
        }
        let mut at = 0;
        for (position, component) in components.iter().enumerate() {
            at = match self.directories[at].nodes.get(*component) {
                Some(Node::Directory(child)) => *child,
                Some(other) => return Err(conflict(path, kind, &components[..=position], other.kind())),
                None if !self.has_room(at) || self.directories.len() >= TREE_DIRECTORIES_MAX => {
                    return Err(TreeBuildError::TooManyNodes { path: quoted(path) });
                }
                None => {
                    let child = self.directories.len();
                    self.directories.push(Growing::default());
                    self.directories[at]
                        .nodes
                        .insert(name(component), Node::Directory(child));
                    self.nodes += 1;
                    child
                }
            };
        }
        Ok(at)
    }

    fn has_room(&self, directory: usize) -> bool {
        self.nodes < TREE_NODES_MAX && self.directories[directory].nodes.len() < DIRECTORY_NODES_MAX
    }

    /// The directories, with `function` throughout.
    pub fn build(self, function: DigestFunction) -> Result<BuiltTree, TreeBuildError> {
        let mut digests = vec![Digest::empty(function); self.directories.len()];
        let mut distinct = HashMap::new();
        // Backwards, every directory comes after all those in it.
        for (at, growing) in self.directories.into_iter().enumerate().rev() {
            let directory = growing.finish(function, &digests)?;
            digests[at] = directory.digest(function);
            distinct.insert(digests[at], directory);
        }
        let root = digests[0];
        let order = survey(root, |digest| distinct.get(digest))
            .expect("a directory is built from finished ones, so none contains itself")
            .order;
        let directories = order
            .into_iter()
            .map(|digest| {
                (
                    digest,
                    distinct
                        .remove(&digest)
                        .expect("the order names each directory once"),
                )
            })
            .collect();
        Ok(BuiltTree { root, directories })
    }
}

fn name(component: &str) -> NodeName {
    NodeName::new(component).expect("the path was checked component by component")
}

fn conflict(path: &str, kind: NodeKind, at: &[&str], existing: NodeKind) -> TreeBuildError {
    TreeBuildError::Conflict {
        path: quoted(path),
        kind,
        at: quoted(&at.join("/")),
        existing,
    }
}

impl Node {
    fn kind(&self) -> NodeKind {
        match self {
            Node::Directory(_) => NodeKind::Directory,
            Node::File { .. } => NodeKind::File,
            Node::Symlink { .. } => NodeKind::Symlink,
        }
    }

    /// Same content; properties are set apart from it.
    fn is_same(&self, other: &Node) -> bool {
        match (self, other) {
            (
                Node::File {
                    digest,
                    is_executable,
                    ..
                },
                Node::File {
                    digest: other_digest,
                    is_executable: other_is_executable,
                    ..
                },
            ) => digest == other_digest && is_executable == other_is_executable,
            (
                Node::Symlink { target, .. },
                Node::Symlink {
                    target: other_target, ..
                },
            ) => target == other_target,
            _ => false,
        }
    }
}

impl Growing {
    /// The map has sorted the names and keeps each once, so the lists are canonical.
    fn finish(self, function: DigestFunction, digests: &[Digest]) -> Result<Directory, TreeBuildError> {
        let (mut files, mut directories, mut symlinks) = (Vec::new(), Vec::new(), Vec::new());
        for (name, node) in self.nodes {
            match node {
                Node::Directory(at) => directories.push(DirectoryNode {
                    name,
                    digest: digests[at],
                }),
                Node::File { digest, .. } if digest.function() != function => {
                    return Err(TreeBuildError::MixedFunctions {
                        name: quoted(name.as_str()),
                        digest,
                        function,
                    });
                }
                Node::File {
                    digest,
                    is_executable,
                    node_properties,
                } => {
                    files.push(FileNode {
                        name,
                        digest,
                        is_executable,
                        node_properties,
                    });
                }
                Node::Symlink {
                    target,
                    node_properties,
                } => {
                    symlinks.push(SymlinkNode {
                        name,
                        target,
                        node_properties,
                    });
                }
            }
        }
        Ok(Directory::assembled(
            files,
            directories,
            symlinks,
            self.node_properties,
        ))
    }
}

impl BuiltTree {
    /// The root directory.
    pub fn root_directory(&self) -> &Directory {
        &self.directories[0].1
    }

    /// One blob for each distinct directory, the root first.
    pub fn blobs(&self) -> impl Iterator<Item = Blob> {
        self.directories
            .iter()
            .map(|(digest, directory)| directory.blob(digest.function()))
    }

    /// The digests of all files.
    pub fn file_digests(&self) -> DigestSet {
        self.directories
            .iter()
            .flat_map(|(_, directory)| directory.files())
            .map(|file| file.digest)
            .collect()
    }

    /// The same as one `Tree` message.
    pub fn into_tree(self) -> Tree {
        let mut parts = Parts::new(self.root.function());
        for (_, directory) in self.directories {
            let encoded: Bytes = directory.encode();
            parts
                .add(encoded, directory)
                .expect("the builder keeps within the bounds of a tree");
        }
        parts
            .assemble()
            .expect("the builder keeps within the bounds of a tree and leaves nothing out")
    }
}

#[cfg(test)]
mod tests;
