//! Which trees there are, which are being made, and which have to go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use blob::Digest;
use merkle::InputTree;
use tokio_util::sync::CancellationToken;

use super::CachedTree;
use crate::limits::{SEEN_ROOTS_MAX, TREE_PATH_BYTES, TREE_PATHS_KEPT_MAX, TREES_MAX};

#[derive(Default)]
pub(super) struct State {
    pub(super) trees: VecDeque<Arc<CachedTree>>,
    /// Being laid out; cancelled when that has ended, well or not.
    pub(super) making: HashMap<Digest, CancellationToken>,
    /// Large input roots that were laid out by themselves lately, the last one first.
    pub(super) seen: VecDeque<Arc<InputTree>>,
}

/// What a tree takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) paths: u64,
    /// As if the file cache did not have the files too: it may have dropped them.
    pub(super) bytes: u64,
}

/// What there is of a tree.
pub(super) enum Found {
    Tree(Arc<CachedTree>),
    /// Somebody else makes it; fires when that has ended.
    Making(CancellationToken),
    /// It is the caller's to make.
    Turn(CancellationToken),
}

impl Weight {
    pub(super) fn of(input: &InputTree) -> Self {
        let paths = input.path_count();
        let contents = input.files().iter().map(Digest::size_bytes);
        let contents = contents.fold(0u64, u64::saturating_add);
        Weight {
            paths,
            bytes: contents.saturating_add(paths.saturating_mul(TREE_PATH_BYTES)),
        }
    }
}

impl State {
    /// The tree of this root, or who makes it; nobody does: then the caller has to.
    pub(super) fn find_or_claim(&mut self, root: Digest) -> Found {
        if let Some(tree) = self.trees.iter().find(|tree| tree.input.root() == root).cloned() {
            self.touch(&tree);
            return Found::Tree(tree);
        }
        match self.making.get(&root) {
            Some(ended) => Found::Making(ended.clone()),
            None => {
                let ended = CancellationToken::new();
                self.making.insert(root, ended.clone());
                Found::Turn(ended)
            }
        }
    }

    /// Notes that a tree was used.
    pub(super) fn touch(&mut self, tree: &Arc<CachedTree>) {
        if let Some(at) = self.trees.iter().position(|other| Arc::ptr_eq(other, tree))
            && let Some(tree) = self.trees.remove(at)
        {
            self.trees.push_front(tree);
        }
    }

    /// Remembers a large input root that was laid out by itself.
    pub(super) fn see(&mut self, input: &Arc<InputTree>) {
        self.seen.push_front(input.clone());
        self.seen.truncate(SEEN_ROOTS_MAX);
    }

    /// Forgets the least recently used that nobody uses, until the bounds are kept or all that is left is in use.
    pub(super) fn evict(&mut self, bytes_max: u64) {
        let is_too_much = |trees: &VecDeque<Arc<CachedTree>>| {
            let sum = |of: fn(&Weight) -> u64| {
                trees
                    .iter()
                    .map(|tree| of(&tree.weight))
                    .fold(0, u64::saturating_add)
            };
            trees.len() > TREES_MAX
                || sum(|weight| weight.bytes) > bytes_max
                || sum(|weight| weight.paths) > TREE_PATHS_KEPT_MAX
        };
        while is_too_much(&self.trees) {
            let Some(at) = self.trees.iter().rposition(|tree| Arc::strong_count(tree) == 1) else {
                break;
            };
            self.trees.remove(at);
        }
    }
}
