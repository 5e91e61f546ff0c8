//! A tree of directories in memory, each distinct one once.

use std::collections::HashMap;
use std::sync::Arc;

use blob::{Digest, DigestSet};
use thiserror::Error;

use crate::directory::Directory;
use crate::limits::{
    TREE_DEPTH_MAX, TREE_DIRECTORIES_MAX, TREE_NODES_MAX, TREE_PATH_BYTES_MAX, TREE_PATHS_MAX, quoted,
};
use crate::name::{NodeName, NodeNameError};
use crate::node::{DirectoryNode, FileNode, SymlinkNode};
use crate::shape::{Shape, survey};

/// All directories under a root, and what they refer to. Made by a [`Walk`](crate::Walk) or a
/// [`Tree`](crate::Tree). Bounded: see [`TREE_DEPTH_MAX`], [`TREE_DIRECTORIES_MAX`], [`TREE_NODES_MAX`].
///
/// The input root of an action, usually; the content of an output directory has the same form.
#[derive(Clone, Debug)]
pub struct InputTree {
    root: Digest,
    directories: HashMap<Digest, Arc<Directory>>,
    files: DigestSet,
    missing: DigestSet,
    shape: Shape,
}

/// A tree beyond what is handled here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TreeBoundError {
    /// Too many levels.
    #[error("tree {root} is deeper than {} directories", TREE_DEPTH_MAX)]
    TooDeep {
        /// Its root.
        root: Digest,
    },
    /// Too many distinct directories.
    #[error("tree {root} has more than {} distinct directories", TREE_DIRECTORIES_MAX)]
    TooManyDirectories {
        /// Its root.
        root: Digest,
    },
    /// Too many nodes over all distinct directories.
    #[error(
        "tree {root} has more than {} files, directories and symlinks",
        TREE_NODES_MAX
    )]
    TooManyNodes {
        /// Its root.
        root: Digest,
    },
    /// It would expand to more paths than anyone can create.
    #[error(
        "tree {root} stands for {paths} paths; at most {} are created",
        TREE_PATHS_MAX
    )]
    TooManyPaths {
        /// Its root.
        root: Digest,
        /// How many; `u64::MAX` stands for that and more.
        paths: u64,
    },
    /// A path that no system call takes.
    #[error(
        "tree {root} has a path of {path_bytes} bytes; at most {} are possible",
        TREE_PATH_BYTES_MAX
    )]
    PathTooLong {
        /// Its root.
        root: Digest,
        /// Length of the longest path in bytes.
        path_bytes: usize,
    },
    /// A directory contains itself: whoever supplied it did not check the digest.
    #[error(
        "tree {root} contains itself, so a directory in it was supplied under a digest that is not its own"
    )]
    Cyclic {
        /// Its root.
        root: Digest,
    },
}

/// One node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A directory; what it holds follows.
    Directory(&'a DirectoryNode),
    /// A file.
    File(&'a FileNode),
    /// A symlink.
    Symlink(&'a SymlinkNode),
}

/// Text that is not the path of a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("path `{path}`: {source}")]
pub struct TreePathError {
    /// The path, cut to a printable length.
    pub path: String,
    /// What is wrong with one of its components.
    pub source: NodeNameError,
}

/// Splits a path into names; the empty path has none.
pub(crate) fn components(path: &str) -> Result<Vec<&str>, TreePathError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/')
        .map(|name| match NodeName::check(name) {
            Ok(()) => Ok(name),
            Err(source) => Err(TreePathError {
                path: quoted(path),
                source,
            }),
        })
        .collect()
}

impl InputTree {
    /// Checks the bounds; counts are checked by whoever collected the directories, before they took memory.
    pub(crate) fn assemble(
        root: Digest,
        directories: HashMap<Digest, Arc<Directory>>,
        missing: DigestSet,
    ) -> Result<Self, TreeBoundError> {
        let shape = survey(root, |digest| directories.get(digest).map(Arc::as_ref))
            .map_err(|_| TreeBoundError::Cyclic { root })?;
        if shape.depth > TREE_DEPTH_MAX {
            return Err(TreeBoundError::TooDeep { root });
        }
        let files = directories
            .values()
            .flat_map(|directory| directory.files())
            .map(|file| file.digest)
            .collect();
        Ok(InputTree {
            root,
            directories,
            files,
            missing,
            shape,
        })
    }

    /// The digest of the root directory.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// Every directory that is at hand, by digest.
    pub fn directories(&self) -> &HashMap<Digest, Arc<Directory>> {
        &self.directories
    }

    /// Every directory that is at hand, each once, the root first, parents before children, in an order that
    /// depends on nothing but the tree.
    pub fn directories_in_order(&self) -> impl Iterator<Item = (Digest, &Arc<Directory>)> {
        self.shape
            .order
            .iter()
            .filter_map(|digest| Some((*digest, self.directories.get(digest)?)))
    }

    /// The digests of all files.
    pub fn files(&self) -> &DigestSet {
        &self.files
    }

    /// Directories that are referred to and not at hand.
    pub fn missing(&self) -> &DigestSet {
        &self.missing
    }

    /// Directories on the longest way down, the root included.
    pub fn depth(&self) -> usize {
        self.shape.depth
    }

    /// Nodes that exist once every path is written out; `u64::MAX` stands for that and more.
    pub fn path_count(&self) -> u64 {
        self.shape.paths
    }

    /// Every path with its node: a directory before what it holds, the root itself not. Directories that are
    /// [`missing`](Self::missing) come without content. Refuses at once what would expand beyond
    /// [`TREE_PATHS_MAX`] or [`TREE_PATH_BYTES_MAX`].
    pub fn entries(&self) -> Result<impl Iterator<Item = (String, Entry<'_>)>, TreeBoundError> {
        let Shape {
            paths, path_bytes, ..
        } = self.shape;
        if paths > TREE_PATHS_MAX {
            return Err(TreeBoundError::TooManyPaths {
                root: self.root,
                paths,
            });
        }
        if path_bytes > TREE_PATH_BYTES_MAX {
            return Err(TreeBoundError::PathTooLong {
                root: self.root,
                path_bytes,
            });
        }
        let root = self.directories.get(&self.root);
        let open = root
            .map(|directory| Open {
                directory,
                at: 0,
                outer_bytes: 0,
            })
            .into_iter()
            .collect();
        Ok(Entries {
            tree: self,
            open,
            path: String::new(),
        })
    }

    /// The node at `path`; `None` if there is none, or if the path is the root's. Symlinks are not followed.
    pub fn entry(&self, path: &str) -> Result<Option<Entry<'_>>, TreePathError> {
        let components = components(path)?;
        let Some((last, parents)) = components.split_last() else {
            return Ok(None);
        };
        let Some(parent) = self.descend(parents) else {
            return Ok(None);
        };
        let directory = parent.directory(last).map(Entry::Directory);
        let file = || parent.file(last).map(Entry::File);
        let symlink = || parent.symlink(last).map(Entry::Symlink);
        Ok(directory.or_else(file).or_else(symlink))
    }

    /// The directory at `path`, the root at the empty one. Symlinks are not followed.
    pub fn directory_at(&self, path: &str) -> Result<Option<&Arc<Directory>>, TreePathError> {
        Ok(self.descend(&components(path)?))
    }

    fn descend(&self, components: &[&str]) -> Option<&Arc<Directory>> {
        let root = self.directories.get(&self.root)?;
        components.iter().try_fold(root, |parent, name| {
            self.directories.get(&parent.directory(name)?.digest)
        })
    }
}

/// Depth first, with the open directories on a stack of its own.
struct Entries<'a> {
    tree: &'a InputTree,
    open: Vec<Open<'a>>,
    /// The path of the innermost open directory, with a slash at its end unless it is the root.
    path: String,
}

struct Open<'a> {
    directory: &'a Directory,
    /// Position in files, then symlinks, then directories.
    at: usize,
    /// Length of `path` without this directory.
    outer_bytes: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (String, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let open = self.open.last_mut()?;
            let at = open.at;
            open.at += 1;
            let directory = open.directory;
            let (files, symlinks) = (directory.files(), directory.symlinks());
            if let Some(file) = files.get(at) {
                return Some((format!("{}{}", self.path, file.name), Entry::File(file)));
            }
            if let Some(symlink) = symlinks.get(at - files.len()) {
                return Some((format!("{}{}", self.path, symlink.name), Entry::Symlink(symlink)));
            }
            if let Some(node) = directory.directories().get(at - files.len() - symlinks.len()) {
                let path = format!("{}{}", self.path, node.name);
                let outer_bytes = self.path.len();
                if let Some(directory) = self.tree.directories.get(&node.digest) {
                    self.path.push_str(node.name.as_str());
                    self.path.push('/');
                    self.open.push(Open {
                        directory,
                        at: 0,
                        outer_bytes,
                    });
                }
                return Some((path, Entry::Directory(node)));
            }
            let outer_bytes = open.outer_bytes;
            self.path.truncate(outer_bytes);
            self.open.pop();
        }
    }
}

#[cfg(test)]
mod tests;
