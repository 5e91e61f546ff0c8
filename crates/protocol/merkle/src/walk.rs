//! Collecting a tree whose directories are elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use blob::{Digest, DigestSet};
use thiserror::Error;

use crate::directory::Directory;
use crate::input_tree::{InputTree, TreeBoundError};
use crate::limits::{TREE_DEPTH_MAX, TREE_DIRECTORIES_MAX, TREE_NODES_MAX};

/// Says which directories to fetch next and takes what came; fetches nothing itself.
///
/// ```
/// # use std::collections::HashMap;
/// # use blob::Digest;
/// # use merkle::{Directory, InputTree, Walk, WalkError};
/// fn collect(root: Digest, store: &HashMap<Digest, Directory>) -> Result<InputTree, WalkError> {
///     let mut walk = Walk::new(root);
///     while !walk.is_done() {
///         for digest in walk.wanted() {
///             match store.get(&digest) {
///                 Some(directory) => walk.supply(digest, directory.clone())?,
///                 None => walk.missing(digest)?,
///             }
///         }
///     }
///     walk.finish()
/// }
/// ```
///
/// Answering everything that is wanted before asking again makes one round per level of the tree. What is
/// missing is collected, not fatal, so that all of it can be reported at once (checklist E3). The empty
/// directory is always there (G6) and never wanted.
#[derive(Clone, Debug)]
pub struct Walk {
    root: Digest,
    directories: HashMap<Digest, Arc<Directory>>,
    /// What is asked for and not answered, with the level it was first met at.
    wanted: BTreeMap<Digest, usize>,
    missing: BTreeSet<Digest>,
    nodes: usize,
}

/// Why a walk cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WalkError {
    /// The tree is beyond what is handled here.
    #[error(transparent)]
    Bound(#[from] TreeBoundError),
    /// Something was supplied that is not wanted, or no longer.
    #[error("directory {digest} was not asked for")]
    NotWanted {
        /// What was supplied.
        digest: Digest,
    },
    /// Finished too early.
    #[error("{wanted} directories of tree {root} are still to be fetched")]
    Unfinished {
        /// The root.
        root: Digest,
        /// How many are wanted.
        wanted: usize,
    },
}

impl Walk {
    /// A walk that wants its root.
    pub fn new(root: Digest) -> Self {
        let mut walk = Walk {
            root,
            directories: HashMap::new(),
            wanted: BTreeMap::new(),
            missing: BTreeSet::new(),
            nodes: 0,
        };
        walk.want(root, 1);
        walk
    }

    /// The directories to fetch next: everything asked for and not yet answered, each distinct one once.
    pub fn wanted(&self) -> DigestSet {
        self.wanted.keys().copied().collect()
    }

    /// Whether there is nothing left to fetch.
    pub fn is_done(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Takes a directory. The caller has checked that it was decoded from bytes that hash to `digest`.
    pub fn supply(&mut self, digest: Digest, directory: impl Into<Arc<Directory>>) -> Result<(), WalkError> {
        let level = self.answered(digest)?;
        let directory = directory.into();
        self.nodes += directory.node_count();
        if self.nodes > TREE_NODES_MAX {
            return Err(TreeBoundError::TooManyNodes { root: self.root }.into());
        }
        if level >= TREE_DEPTH_MAX && !directory.directories().is_empty() {
            return Err(TreeBoundError::TooDeep { root: self.root }.into());
        }
        self.directories.insert(digest, Arc::clone(&directory));
        for node in directory.directories() {
            self.want(node.digest, level + 1);
        }
        if self.directories.len() + self.wanted.len() + self.missing.len() > TREE_DIRECTORIES_MAX {
            return Err(TreeBoundError::TooManyDirectories { root: self.root }.into());
        }
        Ok(())
    }

    /// Notes that a directory is not to be had.
    pub fn missing(&mut self, digest: Digest) -> Result<(), WalkError> {
        self.answered(digest)?;
        self.missing.insert(digest);
        Ok(())
    }

    /// The whole tree, when all is answered.
    pub fn finish(self) -> Result<InputTree, WalkError> {
        if !self.is_done() {
            return Err(WalkError::Unfinished {
                root: self.root,
                wanted: self.wanted.len(),
            });
        }
        let missing = self.missing.into_iter().collect();
        Ok(InputTree::assemble(self.root, self.directories, missing)?)
    }

    fn want(&mut self, digest: Digest, level: usize) {
        if self.directories.contains_key(&digest) || self.missing.contains(&digest) {
            return;
        }
        if digest.is_empty() {
            self.directories.insert(digest, Arc::default());
        } else {
            self.wanted.entry(digest).or_insert(level);
        }
    }

    fn answered(&mut self, digest: Digest) -> Result<usize, WalkError> {
        self.wanted.remove(&digest).ok_or(WalkError::NotWanted { digest })
    }
}

#[cfg(test)]
mod tests;
